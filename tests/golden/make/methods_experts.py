"""Makes tests/golden/FAMILY/methods_experts.safetensors and .json, as methods.py does its own: feed-forward blocks as mixtures of trained copies, written
here from the formula with every expert computing every token, and the balancing of Wang et al. 2024 (arXiv 2408.15664) after each update. Run after
models.py and families.py from the root of the source tree:
    python tests/golden/make/methods_experts.py [FAMILY...]
"""
import torch
from methods import base, inputs, layers, record
from torch import nn


class Mixture(nn.Module):
    """The sum over the chosen experts of softmax(scores of the chosen) times W2 phi(W1 x + b1) + b2."""

    def __init__(self, fc1, fc2, phi, count, active, keep):
        super().__init__()
        self.weights = nn.ParameterDict({name.replace(".", "_"): nn.Parameter(torch.stack([tensor.detach()] * count)) for name, tensor in (
            ("fc1.weight", fc1.weight), ("fc1.bias", fc1.bias), ("fc2.weight", fc2.weight), ("fc2.bias", fc2.bias))})
        self.router = nn.Parameter(torch.randn(count, fc1.in_features) * 0.02)
        self.bias, self.phi, self.active, self.keep = torch.zeros(count), phi, active, keep

    def forward(self, x):
        w = self.weights
        scores = x @ self.router.T
        places = (scores + self.bias).argsort(-1, descending=True).argsort(-1)
        chosen = places < self.active
        self.load = (chosen & self.keep.unsqueeze(-1)).sum((0, 1))
        gates = scores.masked_fill(~chosen, -torch.inf).softmax(-1)
        middle = self.phi(torch.einsum("bld,efd->blef", x, w["fc1_weight"]) + w["fc1_bias"])
        return torch.einsum("ble,bled->bld", gates, torch.einsum("blef,edf->bled", middle, w["fc2_weight"]) + w["fc2_bias"])

    def names(self, path):
        return {f"{path}.router.weight": self.router} | {f"{path}.experts.{name.replace('_', '.')}": p for name, p in self.weights.items()}


def experts(count, active, balance, last, stacks=("encoder", "decoder")):
    model, trained = base(), {}
    arguments, labels = inputs()
    keep = {"encoder": arguments["attention_mask"] == 1, "decoder": labels != -100}
    mixtures = {}
    for side in stacks:
        for path, layer in [(path, layer) for path, layer in layers(model) if path.startswith(side)][-last:]:
            mixture = Mixture(layer.fc1, layer.fc2, layer.activation_fn, count, active, keep[side])
            model.add_module(f"{path.replace('.', '_')}_mixture", mixture)
            mixtures[path] = mixture
            read = {}
            layer.fc1.register_forward_hook(lambda _m, inputs, _output, read=read: read.update(x=inputs[0]))
            layer.fc2.register_forward_hook(lambda _m, _inputs, _output, read=read, mixture=mixture: mixture(read["x"]))
            trained |= mixture.names(path)
    if balance:  # away from zero, so that they change the choice
        for mixture in mixtures.values():
            mixture.bias = torch.randn(count) * 0.1
        model.constants = {f"{path}.router.balance": mixture.bias for path, mixture in mixtures.items()}

        def after_update(_number):
            for mixture in mixtures.values():
                load = mixture.load.float()
                mixture.bias = mixture.bias + balance * (load.mean() - load).sign()

        model.after_update = after_update
    return model, trained, 0.05


CASES = {
    "experts": ("experts", {"balance": 0.05}, lambda: experts(4, 2, 0.05, 2)),
    "experts_all_active": ("experts", {"experts": 2, "balance": 0.0, "layers": "last 1", "stacks": "decoder"},
                           lambda: experts(2, 2, 0.0, 1, ("decoder",))),
    "experts_many": ("experts", {"experts": 5, "active": 3, "balance": 0.0, "layers": "last 1", "stacks": "encoder"},
                     lambda: experts(5, 3, 0.0, 1, ("encoder",))),
}

if __name__ == "__main__":
    record("methods_experts", CASES)
