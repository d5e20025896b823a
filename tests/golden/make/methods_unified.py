"""Makes tests/golden/FAMILY/methods_unified.{safetensors,json}, as methods.py does its own: UniPELT, MAM adapters and T-Few's lora_scaling, written
here from their papers' equations around transformers' models. A gate of UniPELT is averaged over a source sentence's words, and each token's own in the
decoder; the prefix is scaled for each query by itself, as the equation has it. Run after models.py and families.py from the root of the source tree:
    python tests/golden/make/methods_unified.py [FAMILY...]
"""
import torch
from methods import base, layers, record
from methods_adapters import Block, Fixed, Seen, put
from methods_lowrank import modules, parameters
from methods_prompts import prefix
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask


def attend_with_gate(module, query, key, value, attention_mask, scaling=None, dropout=0.0, **_others):
    """softmax(q [g P_K; K]^T) [g P_V; V] with a gate g for each query."""
    batch, heads, length, size = query.shape
    keys, values = (p.reshape(-1, heads, size).transpose(0, 1) for p in module.prefix())  # [H, l, size]
    gate = module.gate(module.read).expand(batch, length, 1)
    own_keys, own_values = (torch.einsum("bqo,hls->bhqls", gate, p) for p in (keys, values))  # of every query
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = torch.cat([torch.einsum("bhqs,bhqls->bhql", query, own_keys), query @ key.transpose(2, 3)], -1) * scale
    if attention_mask is not None:
        scores = scores + nn.functional.pad(attention_mask, (keys.shape[1], 0))
    weights = torch.softmax(scores, -1)
    first, rest = weights.split([keys.shape[1], key.shape[2]], -1)
    context = torch.einsum("bhql,bhqls->bhqs", first, own_values) + rest @ value
    return context.transpose(1, 2).contiguous(), weights


AttentionInterface.register("with_gate", attend_with_gate)
AttentionMaskInterface.register("with_gate", eager_mask)


def unipelt(length, middle, rank):
    model = base("with_gate")
    width, trained, mask = model.config.d_model, {}, {}
    model.register_forward_pre_hook(lambda _m, _a, given: mask.update(source=given["attention_mask"][..., None].float()), with_kwargs=True)

    def new_gate(stem, size, of_source):
        linear = nn.Linear(size, 1)
        trained.update({f"{stem}gate.{name}": p for name, p in linear.named_parameters()})

        def gate(x):
            opened = torch.sigmoid(linear(x))
            return (opened * mask["source"]).sum(1, keepdim=True) / mask["source"].sum(1, keepdim=True) if of_source else opened

        return gate

    attentions = {"encoder.self_attn": [layer.self_attn for layer in model.model.encoder.layers],
                  "decoder.self_attn": [layer.self_attn for layer in model.model.decoder.layers],
                  "decoder.cross_attn": [layer.encoder_attn for layer in model.model.decoder.layers]}
    for kind, blocks in attentions.items():
        values = nn.Parameter(torch.randn(length, len(blocks) * 2 * width))
        trained[f"{kind}.prefix"] = values
        side, name = kind.split(".")
        for i, block in enumerate(blocks):
            object.__setattr__(block, "prefix", lambda values=values, i=i: values[:, i * 2 * width:(i + 1) * 2 * width].split(width, 1))
            object.__setattr__(block, "gate", new_gate(f"{side}.layers.{i}.{name}.prefix_", width, side == "encoder"))
            block.register_forward_pre_hook(lambda block, a, given: object.__setattr__(block, "read", given["hidden_states"] if not a else a[0]),
                                            with_kwargs=True)
            for projection in ("q_proj", "v_proj"):
                linear = getattr(block, projection)
                a, b = nn.Parameter(torch.randn(rank, width) * 0.2), nn.Parameter(torch.zeros(width, rank))
                stem = f"{side}.layers.{i}.{'encoder_attn' if name == 'cross_attn' else name}.{projection}"
                trained |= {f"{stem}.lora_A": a, f"{stem}.lora_B": b}
                gate = new_gate(f"{stem}.lora_", width, side == "encoder" or (name == "cross_attn" and projection == "v_proj"))
                linear.register_forward_hook(lambda _m, read, y, a=a, b=b, gate=gate: y + gate(read[0]) * (read[0] @ a.T @ b.T))
    for path, layer in layers(model):
        stem = f"{path}.output_adapters."
        block, seen, gate = Block(width, middle, torch.relu), Seen(layer, "ffn"), new_gate(stem, width, path.startswith("encoder"))
        trained |= {stem + name: p for name, p in block.named_parameters()}
        layer.fc2.register_forward_hook(lambda _m, _r, h, block=block, gate=gate, seen=seen: h + block(seen.sum(h)) * gate(seen.sum(h)))
    return model, trained, 0.1


def mam(length, middle, width):
    model, trained, spread = prefix(length, middle)
    _model, more, _spread = put(lambda size: Fixed(size, width, torch.relu), "read", ["ffn"], model)
    return model, more | trained, spread


def lora_scaling():
    model = base()
    places, tensors = modules(model, nn.Linear), {}
    for name, linear in places:
        tensors |= {f"{name}.scaling_input": torch.ones(1, linear.in_features), f"{name}.scaling_output": torch.ones(linear.out_features, 1)}
    trained = parameters(model, tensors)
    for name, linear in places:
        linear.register_forward_pre_hook(lambda _m, read, name=name: (read[0] * trained[f"{name}.scaling_input"][0], *read[1:]))
        linear.register_forward_hook(lambda _m, _r, y, name=name: y * trained[f"{name}.scaling_output"][:, 0])
    return model, trained, 0.1


CASES = {
    "unipelt": ("unipelt", {"prefix_length": 3, "bottleneck_dim": 5, "rank": 2}, lambda: unipelt(3, 5, 2)),
    "mam": ("mam", {"prefix.prefix_length": 2, "prefix.hidden_dim": 7, "parallel.bottleneck_dim": 6}, lambda: mam(2, 7, 6)),
    "lora_scaling": ("ia3", {"targets": "all", "sides": "both"}, lora_scaling),
}

if __name__ == "__main__":
    record("methods_unified", CASES)
