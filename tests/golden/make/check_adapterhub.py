"""Checks that AdapterHub's library opens the folders that Permille writes for it, and computes the same logits with them.

Run from the root of the source tree, in an environment with torch, adapters 1.3.0 and the transformers that it asks for (4.57):
    python tests/golden/make/check_adapterhub.py build/dev/tests/core_tests
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import adapters
import torch
from safetensors.torch import load_file
from transformers import MBartForConditionalGeneration

BASE = Path("tests/golden/mbart50")
TOLERANCE = 1e-4


def padded(ids, lengths, filler):
    return torch.nn.utils.rnn.pad_sequence(ids.split(lengths), batch_first=True, padding_value=filler)


def arguments_and_lengths(config):
    """Of the pairs of the base's golden file."""
    forward, sizes = load_file(BASE / "forward.safetensors"), json.loads((BASE / "forward.json").read_text())
    source = padded(forward["source_ids"], sizes["source_lengths"], config.pad_token_id)
    labels = padded(forward["labels"], sizes["target_lengths"], config.pad_token_id)
    decoder = torch.cat([torch.full((len(labels), 1), config.decoder_start_token_id), labels[:, :-1]], 1)
    return dict(input_ids=source, attention_mask=(source != config.pad_token_id).long(), decoder_input_ids=decoder), sizes["target_lengths"]


def main():
    torch.set_num_threads(1)
    base = MBartForConditionalGeneration.from_pretrained(BASE).eval()
    arguments, lengths = arguments_and_lengths(base.config)

    def logits(model):
        with torch.no_grad():
            found = model(**arguments).logits
        return torch.cat([row[:length] for row, length in zip(found, lengths)])

    plain, failed = logits(base), 0
    assert torch.allclose(plain, load_file(BASE / "forward.safetensors")["logits"], atol=1e-4)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.argv[1], "[.adapterhub]"], check=True, env=os.environ | {"PERMILLE_EXPORT": folder}, stdout=subprocess.DEVNULL)
        for place in sorted(Path(folder).iterdir()):
            model = MBartForConditionalGeneration.from_pretrained(BASE).eval()
            adapters.init(model)
            model.load_adapter(str(place), set_active=True, use_safetensors=True, with_head=False)
            want = load_file(place / "logits.safetensors")["logits"]
            difference, effect = (logits(model) - want).abs().max().item(), (plain - want).abs().max().item()
            good = difference < TOLERANCE < effect
            failed += not good
            print(f"{place.name}: differs by {difference:.2e} from Permille, by {effect:.2e} from the base: {'same' if good else 'WRONG'}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
