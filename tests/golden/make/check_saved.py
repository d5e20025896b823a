"""Opens in transformers the models that Permille saved, and compares their logits with the goldens. Run from the root of the source tree, in an
environment with torch 2.11 and transformers 5.17, after
    PERMILLE_EXPORT=FOLDER build/dev/tests/core_tests "[save]"
with
    python tests/golden/make/check_saved.py FOLDER
"""
import json
import sys
from pathlib import Path

import torch
from models import padded, ragged
from safetensors.torch import load_file
from transformers import AutoModelForSeq2SeqLM

GOLDEN = Path("tests/golden")


def sentences(ids, lengths):
    return [part.tolist() for part in ids.split(lengths)]


def main():
    failed = False
    for folder in sorted(Path(sys.argv[1]).iterdir()):
        model, loading = AutoModelForSeq2SeqLM.from_pretrained(folder, attn_implementation="eager", output_loading_info=True)
        model.eval()
        want, golden = load_file(GOLDEN / folder.name / "forward.safetensors"), json.loads((GOLDEN / folder.name / "forward.json").read_text())
        sources, labels = sentences(want["source_ids"], golden["source_lengths"]), sentences(want["labels"], golden["target_lengths"])
        batch, mask = padded(sources, model.config.pad_token_id), padded([[1] * len(s) for s in sources], 0)
        with torch.no_grad():
            logits = model(input_ids=batch, attention_mask=mask, labels=padded(labels, -100)).logits
            begin = model.generate(input_ids=batch, attention_mask=mask, max_new_tokens=3, decoder_start_token_id=labels[0][-1]).shape[1]
        difference = (ragged(logits, golden["target_lengths"]) - want["logits"]).abs().max().item()
        missing = sorted(loading["missing_keys"]) + sorted(loading["unexpected_keys"])
        print(folder.name, "largest difference of the logits", difference, "missing or unexpected", missing, "generates", begin)
        failed = failed or difference > 1e-4 or bool(missing)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
