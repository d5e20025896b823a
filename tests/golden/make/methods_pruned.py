"""Makes tests/golden/FAMILY/methods_pruned.{safetensors,json}, as methods.py does its own: DSEE with its second phase, in which weights, heads and
neurons of the base are set to zero after some updates, by sorting all importances. Written here from the paper's equations. Run after models.py and
families.py from the root of the source tree:
    python tests/golden/make/methods_pruned.py [FAMILY...]
"""
import torch
from methods import base, family, layers, record
from methods_lowrank import chosen, modules, parameters
from torch import nn

RANK, ENTRIES, SCALE = 3, 11, 6.0 / 3


def smallest(scores, count):
    return scores.flatten().argsort()[:count]


def dsee(update, by, share=0.0, heads=0, neurons=0, targets=("q_proj", "v_proj")):
    """Prunes after `update`; importance by |W|, |B A + S| or both."""
    model = base()
    tensors, constants, seen = {}, {}, chosen(model, targets)
    for name, module in seen:
        out, width = module.weight.shape
        tensors |= {f"{name}.lora_A": torch.randn(RANK, width) * 0.02, f"{name}.lora_B": torch.zeros(out, RANK), f"{name}.sparse": torch.zeros(ENTRIES)}
        constants[f"{name}.places"] = torch.randperm(out * width)[:ENTRIES].sort().values
    trained = parameters(model, tensors)

    def change(name, module):
        if f"{name}.lora_A" not in trained:
            return torch.zeros_like(module.weight)
        sparse = torch.zeros(module.weight.numel()).index_put((constants[f"{name}.places"],), trained[f"{name}.sparse"]).view_as(module.weight)
        return trained[f"{name}.lora_B"] @ trained[f"{name}.lora_A"] + sparse

    gone = {}  # inputs of a projection that are removed
    for name, module in modules(model, nn.Linear):
        module.register_forward_pre_hook(lambda _m, read, name=name: (read[0] * gone[name],) if name in gone else None)
        module.register_forward_hook(lambda module, read, y, name=name: y + SCALE * nn.functional.linear(read[0], change(name, module)))
    linears = modules(model, nn.Linear)
    blocks = [(path.replace(".layers.", "."), layer) for path, layer in layers(model)]
    if share:
        constants |= {f"{name}.kept": torch.full(((module.weight.numel() + 7) // 8,), 255, dtype=torch.uint8) for name, module in linears}
    attentions = [(f"{block}.{ours}", f"{block.replace('.', '.layers.')}.{theirs}", getattr(layer, theirs)) for block, layer in blocks
                  for ours, theirs in (("self_attn", "self_attn"), ("cross_attn", "encoder_attn")) if hasattr(layer, theirs)]
    if heads:
        constants |= {f"{ours}.kept_heads": torch.ones(module.num_heads, dtype=torch.uint8) for ours, _path, module in attentions}
    if neurons:
        constants |= {f"{block}.ffn.kept_neurons": torch.ones(layer.fc1.out_features, dtype=torch.uint8) for block, layer in blocks}
    model.constants = constants

    @torch.no_grad()
    def after_update(number):
        if number != update:
            return
        sizes = {name: {"weight": module.weight.abs(), "update": change(name, module).abs(),
                        "both": module.weight.abs() + change(name, module).abs()}[by] for name, module in linears}
        matrices = {name: torch.ones_like(module.weight) for name, module in linears}
        if heads:
            for _ours, path, module in attentions:
                score = sizes[f"{path}.q_proj"].sum(1) + sizes[f"{path}.v_proj"].sum(1)
                out = torch.arange(len(score)).view(module.num_heads, -1)[smallest(score.view(module.num_heads, -1).sum(1), heads)].flatten()
                for part in "qkv":
                    matrices[f"{path}.{part}_proj"][out] = 0
                matrices[f"{path}.out_proj"][:, out] = 0
                gone[f"{path}.out_proj"] = torch.ones(len(score)).index_fill(0, out, 0)
        if neurons:
            for block, _layer in blocks:
                path = block.replace(".", ".layers.")
                out = smallest(sizes[f"{path}.fc1"].sum(1) + sizes[f"{path}.fc2"].sum(0), neurons)
                matrices[f"{path}.fc1"][out] = 0
                matrices[f"{path}.fc2"][:, out] = 0
                gone[f"{path}.fc2"] = torch.ones(sizes[f"{path}.fc1"].shape[0]).index_fill(0, out, 0)
        judged = [name for name, _module in linears if by != "update" or f"{name}.lora_A" in trained]
        left = torch.cat([sizes[name].masked_fill(matrices[name] == 0, float("inf")).flatten() for name in judged])
        present = int(torch.isfinite(left).sum())
        left[smallest(left, round(share * present))] = -1
        for name in judged:
            count = matrices[name].numel()
            matrices[name].view(-1)[left[:count] < 0] = 0
            left = left[count:]
        for name, module in linears:
            module.weight.mul_(matrices[name])

    model.after_update = after_update
    return model, trained, 0.1


def most_heads():
    """Fewer than the fewest that an attention has."""
    return 1 if family() == "marian" else 2


SETTINGS = {"rank": RANK, "entries": ENTRIES, "alpha": 6.0, "places": "random"}
CASES = {
    "weights": ("dsee", SETTINGS | {"prune": 0.3, "prune_at": 0.4}, lambda: dsee(2, "weight", share=0.3)),
    "weights_and_update": ("dsee", SETTINGS | {"prune": 0.5, "prune_by": "both", "prune_at": 0.6}, lambda: dsee(3, "both", share=0.5)),
    "update": ("dsee", SETTINGS | {"prune": 0.5, "prune_by": "update", "prune_at": 0.4}, lambda: dsee(2, "update", share=0.5)),
    "heads": ("dsee", SETTINGS | {"heads": 1, "prune_by": "update", "prune_at": 0.4}, lambda: dsee(2, "update", heads=1)),
    "all_three": ("dsee", lambda: SETTINGS | {"targets": "all", "heads": most_heads(), "neurons": 9, "prune": 0.2, "prune_by": "both", "prune_at": 0.4},
                  lambda: dsee(2, "both", 0.2, most_heads(), 9, ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"))),
}

if __name__ == "__main__":
    record("methods_pruned", CASES)
