"""Checks that Hugging Face PEFT opens the adapter folders that Permille writes, and computes the same logits with them.

Run from the root of the source tree, in an environment with torch 2.11, transformers 5.17 and peft 0.21:
    python tests/golden/make/check_peft_export.py build/dev/tests/core_tests
"""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import peft
import torch
from models import OUT, example_pairs, inputs, ragged
from safetensors.torch import load_file
from transformers import M2M100ForConditionalGeneration

TOLERANCE = 1e-4


def main():
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.argv[1], "[.export]"], check=True, env=os.environ | {"PERMILLE_EXPORT": folder}, stdout=subprocess.DEVNULL)
        pairs = example_pairs()
        arguments, _labels = inputs(pairs)
        failed = 0
        for place in sorted(Path(folder).iterdir()):
            base = M2M100ForConditionalGeneration.from_pretrained(OUT).eval()
            model = peft.PeftModel.from_pretrained(base, place).eval()
            with torch.no_grad():
                got = ragged(model(**arguments).logits, [len(t) for _, t in pairs])
                plain = ragged(M2M100ForConditionalGeneration.from_pretrained(OUT).eval()(**arguments).logits, [len(t) for _, t in pairs])
            want = load_file(place / "logits.safetensors")["logits"]
            difference, effect = (got - want).abs().max().item(), (plain - want).abs().max().item()
            good = difference < TOLERANCE < effect
            failed += not good
            print(f"{place.name}: differs by {difference:.2e} from Permille, by {effect:.2e} from the base: {'same' if good else 'WRONG'}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
