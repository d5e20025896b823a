"""Checks that Hugging Face PEFT opens the adapter folders that Permille writes, and computes the same logits with them.

Run from the root of the source tree, in an environment with torch 2.11, transformers 5.17 and peft 0.21:
    python tests/golden/make/check_peft_export.py build/dev/tests/core_tests
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import peft
import torch
from models import ragged
from peft_folders import golden_arguments
from safetensors.torch import load_file
from transformers import AutoModelForSeq2SeqLM

TOLERANCE = 1e-4


def main():
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.argv[1], "[.export]"], check=True, env=os.environ | {"PERMILLE_EXPORT": folder}, stdout=subprocess.DEVNULL)
        failed = 0
        for place in sorted(Path(folder).iterdir(), key=lambda path: int(path.name.split("-")[0])):
            folder_of_base = Path(json.loads((place / "adapter_config.json").read_text())["base_model_name_or_path"])
            base = AutoModelForSeq2SeqLM.from_pretrained(folder_of_base).eval()
            arguments, targets = golden_arguments(folder_of_base, base.config)
            with torch.no_grad():
                plain = ragged(base(**arguments).logits, targets)
                got = ragged(peft.PeftModel.from_pretrained(base, place).eval()(**arguments).logits, targets)
            want = load_file(place / "logits.safetensors")["logits"]
            difference, effect = (got - want).abs().max().item(), (plain - want).abs().max().item()
            good = difference < TOLERANCE < effect
            failed += not good
            print(f"{place.name}, {folder_of_base.name}: differs by {difference:.2e} from Permille, by {effect:.2e} from the base: {'same' if good else 'WRONG'}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
