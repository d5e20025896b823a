"""Makes tests/golden/FAMILY/methods_adapters.safetensors and .json, as methods.py does its own: adapters in their places, Compacter, LoRETTA,
AdaLink and MAD-X's language adapters, written here from their papers' formulae and put into transformers' models with hooks. Run after models.py and
families.py from the root of the source tree:
    python tests/golden/make/methods_adapters.py [FAMILY...]
"""
import math

import torch
from methods import Adapter, base, changed, is_norm, layers, pre_norm, record, stacks
from torch import nn

# A block's first module, its last, its norm, and our name of an adapter there.
PLACES = {"self": ("self_attn", "self_attn", "self_attn_layer_norm", "attention_adapters"),
          "cross": ("encoder_attn", "encoder_attn", "encoder_attn_layer_norm", "cross_attention_adapters"),
          "ffn": ("fc1", "fc2", "final_layer_norm", "output_adapters")}


class Block(nn.Module):
    """a(x) = Wu phi(Wd x + bd) + bu"""

    def __init__(self, width, middle, phi):
        super().__init__()
        self.adapter_down, self.adapter_up, self.phi = nn.Sequential(nn.Linear(width, middle)), nn.Linear(middle, width), phi

    def forward(self, x):
        return self.adapter_up(self.phi(self.adapter_down(x)))


class Kronecker(nn.Module):
    """y = x W + b, W = sum_i A_i (x) (s_i t_i)"""

    def __init__(self, rule, ins, outs):
        super().__init__()
        n = rule.size(0)
        self.rule = [rule]  # in a list, so that it is no parameter of this module
        self.W_left, self.W_right = nn.Parameter(torch.randn(n, ins // n, 2) * 0.5), nn.Parameter(torch.randn(n, 2, outs // n) * 0.5)
        self.b = nn.Parameter(torch.zeros(outs))

    def forward(self, x):
        rule = self.rule[0]
        return x @ sum(torch.kron(rule[i], self.W_left[i] @ self.W_right[i]) for i in range(rule.size(0))) + self.b


def factors(ins, outs):
    """Primes of the two widths one after the other, gathered while the product is at most 16."""
    found = []
    for number in (ins, outs):
        prime = 2
        while number > 1:
            if number % prime == 0:
                number //= prime
                if found and found[-1] * prime <= 16:
                    found[-1] *= prime
                else:
                    found.append(prime)
            else:
                prime += 1
    return found


class Train(nn.Module):
    """A tensor train as a matrix [ins, outs]."""

    def __init__(self, ins, outs, rank):
        super().__init__()
        self.shape, sizes = (ins, outs), factors(ins, outs)
        bonds = [1] + [rank] * (len(sizes) - 1) + [1]
        sigma = (1 / (ins + outs)) ** (0.5 / len(sizes))
        for k, size in enumerate(sizes):
            core = torch.randn(bonds[k], size, bonds[k + 1]) * sigma / math.sqrt(bonds[k + 1])
            self.register_parameter(f"core{k}", nn.Parameter(core))

    def matrix(self):
        whole = None
        for name, core in self.named_parameters():
            if name.startswith("core"):
                whole = core if whole is None else torch.tensordot(whole, core, dims=1)
        return whole.reshape(self.shape)


class TrainMap(Train):
    def __init__(self, ins, outs, rank):
        super().__init__(ins, outs, rank)
        self.bias = nn.Parameter(torch.zeros(outs))

    def forward(self, x):
        return x @ self.matrix() + self.bias


class Seen:
    """What passes a block in the current pass: `read`, what it reads itself, and `stream`, what its output will be added to."""

    def __init__(self, layer, place):
        first, _last, norm, _name = PLACES[place]
        self.norm = getattr(layer, norm)
        getattr(layer, first).register_forward_pre_hook(self.see_input, with_kwargs=True)
        if pre_norm():
            self.norm.register_forward_pre_hook(self.see_stream)

    def see_input(self, _module, args, given):
        self.read = args[0] if args else given["hidden_states"]
        if not pre_norm():
            self.stream = self.read

    def see_stream(self, _module, args):
        self.stream = args[0]

    def sum(self, h):
        """The residual sum; where the norm follows, as the layers above see it: AdapterHub's original_ln_before."""
        return self.stream + h if pre_norm() else nn.functional.layer_norm(self.stream + h, h.shape[-1:], self.norm.weight, self.norm.bias)


def put(make, reads, places, model=None):
    """An adapter made by make(width) at each of the places, h + a(...) for a block that gives h, before the residual addition and the norm of a
    post-norm model. reads: "output" (h), "sum" (see Seen), "read" (what the block reads) or "stream" (what h is added to)."""
    model, trained = model or base(), {}
    for path, layer in layers(model):
        for place in places:
            _first, last, _norm, name = PLACES[place]
            if not hasattr(layer, last):
                continue
            adapter, seen = make(model.config.d_model), Seen(layer, place)
            model.add_module(f"{path}.{name}".replace(".", "_"), adapter)
            trained |= {f"{path}.{name}.{part}": p for part, p in adapter.named_parameters()}

            def after(_module, _inputs, output, adapter=adapter, seen=seen):
                return changed(output, lambda h: h + adapter({"output": lambda: h, "sum": lambda: seen.sum(h), "read": lambda: seen.read,
                                                              "stream": lambda: seen.stream}[reads]()))

            getattr(layer, last).register_forward_hook(after)
    return model, trained, 0.05


def norms(made):
    model, trained, spread = made
    for name, parameter in model.named_parameters():
        if is_norm(name):
            parameter.requires_grad_(True)
            trained[name] = parameter
    return model, trained, spread


def encoder_output(middle):
    """Bapna and Firat's adapters after every layer, and one on what each cross-attention reads."""
    model, trained = base(), {}
    for i, (path, layer) in enumerate(layers(model)):
        adapter = Adapter(model.config.d_model, middle)
        model.add_module(f"adapter_{i}", adapter)
        layer.register_forward_hook(lambda _m, _i, output, adapter=adapter: changed(output, adapter))
        trained |= {f"{path}.adapter.{name}": p for name, p in adapter.named_parameters()}
        if path.startswith("decoder"):
            memory = Adapter(model.config.d_model, middle)
            model.add_module(f"memory_adapter_{i}", memory)

            def before(_module, args, kwargs, memory=memory):
                return args, kwargs | {"key_value_states": memory(kwargs["key_value_states"])}

            layer.encoder_attn.register_forward_pre_hook(before, with_kwargs=True)
            trained |= {f"{path}.enc_adapters.{name}": p for name, p in memory.named_parameters()}
    return model, trained, 0.05


class Scaled(Block):
    def __init__(self, width, middle, phi, scale):
        super().__init__(width, middle, phi)
        self.scaling = nn.Parameter(torch.tensor([scale]))

    def forward(self, x):
        return super().forward(x) * self.scaling


class Fixed(Block):
    def forward(self, x):
        return super().forward(x) * 4.0


class Compact(nn.Module):
    def __init__(self, rule, width, middle):
        super().__init__()
        self.adapter_down, self.adapter_up = nn.Sequential(Kronecker(rule, width, middle)), Kronecker(rule, middle, width)

    def forward(self, x):
        return self.adapter_up(nn.functional.gelu(self.adapter_down(x)))


def compacter(blocks, most, reads, places):
    """Middle layers of `blocks` times the division, which is the largest number up to `most` that divides the model's width."""
    model = base()
    n = max(n for n in range(1, most + 1) if model.config.d_model % n == 0)
    rule = nn.Parameter(torch.randn(n, n, n) * 0.1)
    model, trained, spread = put(lambda width: Compact(rule, width, blocks * n), reads, places, model)
    return model, trained | {"shared.phm_rule": rule}, spread


class TrainAdapter(nn.Module):
    def __init__(self, width, middle, rank):
        super().__init__()
        self.down, self.up = TrainMap(width, middle, rank), TrainMap(middle, width, rank)

    def forward(self, x):
        return self.up(torch.tanh(self.down(x)))


def loretta_rep(rank, bond, alpha):
    model, trained = base(), {}
    for path, layer in layers(model):
        for block in ("self_attn", "encoder_attn"):
            if not hasattr(layer, block):
                continue
            for name in ("q_proj", "v_proj"):
                projection = getattr(getattr(layer, block), name)
                a, b = Train(projection.in_features, rank, bond), Train(rank, projection.out_features, bond)
                key = f"{path}.{block}.{name}"
                model.add_module(f"{key.replace('.', '_')}_a", a)
                model.add_module(f"{key.replace('.', '_')}_b", b)
                trained |= {f"{key}.A.{part}": p for part, p in a.named_parameters()}
                trained |= {f"{key}.B.{part}": p for part, p in b.named_parameters()}
                projection.register_forward_hook(lambda _m, inputs, output, a=a, b=b:
                                                 output + alpha / rank * inputs[0] @ a.matrix() @ b.matrix())
    return norms((model, trained, 0.05))


def adalink(rank):
    """E + Wu relu(Wd E + bd) + bu of the scaled embeddings E; Marian scales them after the lookup, the others within."""
    model, trained = base(), {}
    for side, stack in stacks(model):
        width = model.config.d_model
        link = nn.ModuleDict({"down": nn.Linear(width, rank), "up": nn.Linear(rank, width)})
        model.add_module(f"{side}_adalink", link)
        trained |= {f"{side}.adalink.{name}": p for name, p in link.named_parameters()}
        scale = stack.embed_scale if type(stack.embed_tokens) is nn.Embedding else 1.0
        stack.embed_tokens.register_forward_hook(lambda _m, _i, rows, link=link, scale=scale:
                                                 rows + link["up"](torch.relu(link["down"](rows * scale))) / scale)
    return model, trained, 0.05


def language_adapters(middle):
    model, trained, spread = put(lambda width: Block(width, middle, torch.relu), "sum", ["ffn"])
    half = model.config.d_model // 2
    networks = nn.ModuleDict({part: nn.Sequential(nn.Linear(half, half // 2), nn.ReLU(), nn.Linear(half // 2, half)) for part in "FG"})
    model.add_module("invertible", networks)

    def before(_module, args, kwargs):
        x1, x2 = args[0].chunk(2, -1)
        y1 = x1 + networks["F"](x2)
        return (torch.cat([y1, x2 + networks["G"](y1)], -1), *args[1:]), kwargs

    model.model.encoder.layers[0].register_forward_pre_hook(before, with_kwargs=True)
    return model, trained | {f"encoder.invertible_adapters.{name}": p for name, p in networks.named_parameters()}, spread


relu, swish = torch.relu, nn.functional.silu
CASES = {
    "bottleneck_encoder_output": ("bottleneck", {"bottleneck_dim": 5, "encoder_output": True}, lambda: encoder_output(5)),
    "pfeiffer": ("pfeiffer", {"bottleneck_dim": 5, "cross_attention": True},
                 lambda: put(lambda width: Block(width, 5, relu), "sum", ["cross", "ffn"])),
    "houlsby": ("houlsby", {"bottleneck_dim": 4, "cross_attention": True, "train_layernorm": True},
                lambda: norms(put(lambda width: Block(width, 4, swish), "output", ["self", "cross", "ffn"]))),
    "parallel": ("parallel", {"bottleneck_dim": 6}, lambda: put(lambda width: Fixed(width, 6, relu), "read", ["ffn"])),
    "parallel_stream": ("parallel", {"bottleneck_dim": 3, "places": "both", "input": "stream", "learned_scale": True, "scale": 2.0},
                        lambda: put(lambda width: Scaled(width, 3, relu, 2.0), "stream", ["self", "cross", "ffn"])),
    "compacter": ("compacter", {"middle_blocks": 2, "division": 3, "rank": 2}, lambda: compacter(2, 3, "output", ["self", "ffn"])),
    "compacter_plus": ("compacter", {"middle_blocks": 2, "rank": 2, "variant": "compacter++"}, lambda: compacter(2, 4, "sum", ["ffn"])),
    "loretta_adp": ("loretta_adp", {"bottleneck_dim": 7, "tensor_rank": 3},
                    lambda: norms(put(lambda width: TrainAdapter(width, 7, 3), "output", ["self", "ffn"]))),
    "loretta_rep": ("loretta_rep", {"rank": 4, "tensor_rank": 3, "alpha": 8.0}, lambda: loretta_rep(4, 3, 8.0)),
    "adalink": ("adalink", {"rank": 6, "activation": "relu", "bias": True}, lambda: adalink(6)),
    "language_adapters": ("language_adapters", {"bottleneck_dim": 5}, lambda: language_adapters(5)),
}

if __name__ == "__main__":
    record("methods_adapters", CASES)
