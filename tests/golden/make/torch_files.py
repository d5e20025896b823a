"""Makes tests/golden/torch_files/: checkpoints as torch.save writes them, and what torch.load gives back for them (expected.safetensors).

zip.bin, zip_protocol4.bin, legacy.bin: one state dict with every type, tied names, views with strides and offsets, a parameter, a scalar and empty
tensors. model/*: the weights of tests/golden/m2m100 as pytorch_model.bin in both forms, in halves and in float16 and bfloat16 shards. Run from the
root of the source tree, in an environment with torch 2.11 and safetensors:
    python tests/golden/make/torch_files.py
"""
import json
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

OUT = Path("tests/golden/torch_files")
SEED = 4
VERSIONS = {"torch": torch.__version__, "seed": SEED, "maker": "tests/golden/make/torch_files.py"}


def state_dict():
    torch.manual_seed(SEED)
    state = OrderedDict()
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool):
        state[str(dtype).removeprefix("torch.")] = (torch.randn(3, 5) * 10).abs().to(dtype)
    table = torch.randn(7, 4)
    state["shared"] = table
    state["tied"] = table
    state["turned"] = table.t()
    state["row"] = table[3]
    state["column"] = table[:, 2]
    state["steps"] = torch.arange(40, dtype=torch.int64).view(4, 10)[1:, ::3]
    state["half_turned"] = torch.randn(2, 3, 4).half().permute(2, 0, 1)
    state["scalar"] = torch.tensor(2.5)
    state["one"] = torch.ones(1, 1, 1)
    state["empty"] = torch.empty(0, 7)
    state["parameter"] = torch.nn.Parameter(torch.randn(5))
    state["buffer"] = torch.nn.Parameter(torch.randn(2, 2), requires_grad=False)
    state["größe"] = torch.randn(2)
    # As Module.state_dict does: an attribute of the dictionary, which the pickle sets by BUILD.
    state._metadata = OrderedDict([("", {"version": 1}), ("encoder", {"version": 2})])
    return state


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    state = state_dict()
    torch.save(state, OUT / "zip.bin")
    torch.save(state, OUT / "zip_protocol4.bin", pickle_protocol=4)
    torch.save(state, OUT / "legacy.bin", _use_new_zipfile_serialization=False)
    expected = torch.load(OUT / "zip.bin", weights_only=True)
    save_file({name: tensor.detach().contiguous().clone() for name, tensor in expected.items()}, OUT / "expected.safetensors",
              metadata={"made": json.dumps(VERSIONS)})

    weights = load_file("tests/golden/m2m100/model.safetensors")
    names = sorted(weights)
    for form, new in (("zip", True), ("legacy", False)):
        (OUT / form).mkdir(exist_ok=True)
        state = OrderedDict((name, weights[name]) for name in names)
        for alias in ("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight"):
            state[alias] = state["model.shared.weight"]
        torch.save(state, OUT / form / "pytorch_model.bin", _use_new_zipfile_serialization=new)
    (OUT / "shards").mkdir(exist_ok=True)
    weight_map = {}
    for part, dtype in ((0, torch.float16), (1, torch.bfloat16)):
        file = f"pytorch_model-{part + 1:05}-of-00002.bin"
        chosen = names[part::2]
        torch.save(OrderedDict((name, weights[name].to(dtype)) for name in chosen), OUT / "shards" / file)
        weight_map.update((name, file) for name in chosen)
    index = {"metadata": {"total_size": sum(t.numel() * 2 for t in weights.values())}, "weight_map": dict(sorted(weight_map.items()))}
    (OUT / "shards" / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main()
