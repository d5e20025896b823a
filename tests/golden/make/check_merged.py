"""Opens in transformers the models that Permille merged adapters into and that have another shape than their base, because tables came apart or pruned
neurons were left out: no tensor is missing or left over, and the logits are those of base and adapter together. Run from the root of the source tree, in the environment of packaging/reference-python:
    python tests/golden/make/check_merged.py build/dev/tests/core_tests
"""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from models import ragged
from peft_folders import golden_arguments
from safetensors.torch import load_file
from transformers import AutoModelForSeq2SeqLM

GOLDEN = Path("tests/golden")
TOLERANCE = 1e-4


def main():
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(1)
    failed = 0
    with tempfile.TemporaryDirectory() as export:
        subprocess.run([sys.argv[1], "[.merged]"], check=True, env=os.environ | {"PERMILLE_EXPORT": export}, stdout=subprocess.DEVNULL)
        places = sorted(Path(export).iterdir())
        assert places, "nothing was merged"
        for place in places:
            base = GOLDEN / place.name.split("-")[0]
            model, loading = AutoModelForSeq2SeqLM.from_pretrained(place / "merged", attn_implementation="eager", output_loading_info=True)
            arguments, targets = golden_arguments(base, model.config)
            with torch.no_grad():
                got = ragged(model.eval()(**arguments).logits, targets)
                plain = ragged(AutoModelForSeq2SeqLM.from_pretrained(base).eval()(**arguments).logits, targets)
            want, names = load_file(place / "logits.safetensors")["logits"], [*loading["missing_keys"], *loading["unexpected_keys"]]
            difference, effect = (got - want).abs().max().item(), (plain - want).abs().max().item()
            good = difference < TOLERANCE < effect and not names
            failed += not good
            print(f"{place.name}: differs by {difference:.2e} from Permille, by {effect:.2e} from the base, missing or left over {names}: "
                  f"{'same' if good else 'WRONG'}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
