"""Makes tests/golden/half.json: how far transformers' own bfloat16 and float16 are from float32, for every golden model. For encoder states and
logits that is the root of the mean square of the difference over that of the float32 values, for the loss the difference in nats per label.

Run after models.py and families.py from the root of the source tree, in the environment of packaging/reference-python:
    python tests/golden/make/half.py
"""
import json
from pathlib import Path

import torch
import transformers
from models import loss_sum, padded, ragged
from safetensors.torch import load_file
from transformers import AutoModelForSeq2SeqLM

GOLDEN = Path("tests/golden")


def relative(got, want):
    return ((got.double() - want.double()).square().mean() / want.double().square().mean()).sqrt().item()


def deviations(folder, dtype):
    want, golden = load_file(folder / "forward.safetensors"), json.loads((folder / "forward.json").read_text())
    sources, targets = golden["source_lengths"], golden["target_lengths"]
    model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=dtype).eval()
    batch = padded([ids.tolist() for ids in want["source_ids"].split(sources)], model.config.pad_token_id)
    mask = padded([[1] * length for length in sources], 0)
    labels = padded([ids.tolist() for ids in want["labels"].split(targets)], -100)
    with torch.no_grad():
        out = model(input_ids=batch, attention_mask=mask, labels=labels)
    return {"encoder_states": relative(ragged(out.encoder_last_hidden_state, sources), want["encoder_states"]),
            "logits": relative(ragged(out.logits, targets), want["logits"]),
            "loss": abs(loss_sum(out.logits.float(), labels).item() - golden["losses"]["plain"]) / golden["losses"]["labels"]}


def main():
    torch.set_num_threads(1)
    kept = {"made": {"torch": torch.__version__, "transformers": transformers.__version__, "maker": "tests/golden/make/half.py"}}
    for file in sorted(GOLDEN.glob("*/forward.safetensors")):
        kept[file.parent.name] = {dtype: deviations(file.parent, getattr(torch, dtype)) for dtype in ("bfloat16", "float16")}
    (GOLDEN / "half.json").write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
