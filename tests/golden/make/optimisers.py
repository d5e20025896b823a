"""Makes tests/golden/optimisers.safetensors and optimisers.json: what Adafactor of transformers (scale_parameter and relative_step off, as T-Few has
it) and torch's AdamW make of given gradients, with and without weight decay, at a learning rate that changes.

Run from the root of the source tree, in an environment with torch 2.11 and transformers 5.17:
    python tests/golden/make/optimisers.py
"""
import json
import pathlib

import torch
import transformers
from safetensors.torch import save_file
from transformers.optimization import Adafactor

OUT = pathlib.Path("tests/golden")
SEED = 5
SHAPES = {"bias": [7], "matrix": [4, 6], "tall": [9, 1], "stack": [2, 3, 4]}
RATES = [0.01, 0.03, 0.02, 0.005, 0.05]
ADAM = {"betas": (0.9, 0.98), "eps": 1e-6}


def make(name, values, decay, rate):
    if name == "adamw":
        return torch.optim.AdamW(values, lr=rate, weight_decay=decay, **ADAM)
    return Adafactor(values, lr=rate, weight_decay=decay, scale_parameter=False, relative_step=False, warmup_init=False)


def main():
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    kept = {f"start.{name}": torch.randn(shape) for name, shape in SHAPES.items()}
    for step in range(len(RATES)):  # from tiny to large, so that the update is clipped at times and not at others
        kept |= {f"gradient.{step}.{name}": torch.randn(shape) * 10.0 ** (2 * step - 6) for name, shape in SHAPES.items()}
        kept[f"gradient.{step}.matrix"][0] = 0
    for optimiser in ("adafactor", "adamw"):
        for decay in (0.0, 0.1):
            values = {name: torch.nn.Parameter(kept[f"start.{name}"].clone()) for name in SHAPES}
            chosen = make(optimiser, list(values.values()), decay, RATES[0])
            for step, rate in enumerate(RATES):
                chosen.param_groups[0]["lr"] = rate
                for name, value in values.items():
                    value.grad = kept[f"gradient.{step}.{name}"].clone()
                chosen.step()
                kept |= {f"{optimiser}.{decay}.{step}.{name}": value.detach().clone() for name, value in values.items()}
    made = {"torch": torch.__version__, "transformers": transformers.__version__, "seed": SEED, "maker": "tests/golden/make/optimisers.py"}
    save_file(kept, OUT / "optimisers.safetensors", metadata={"made": json.dumps(made)})
    (OUT / "optimisers.json").write_text(json.dumps({"made": made, "shapes": SHAPES, "rates": RATES}, indent=1) + "\n")


if __name__ == "__main__":
    main()
