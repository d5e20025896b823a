"""Makes tests/golden/FAMILY/methods_prompts.{safetensors,json}: prefixes, prompts, DePT, cross-attention and freely chosen parameters.

PEFT's PREFIX_TUNING and PROMPT_TUNING are PEFT's; the others are written here from their papers' equations, around transformers' model: prefixes as
an attention function, virtual tokens as ready-made embeddings. Run after models.py and families.py from the root of the source tree, in an
environment with torch 2.11, transformers 5.17 and peft 0.21:
    python tests/golden/make/methods_prompts.py [FAMILY...]
"""
import re
from types import SimpleNamespace

import peft
import torch
from methods import FAMILIES, OUT, base, family, parameters, record
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask


def attend_with_prefix(module, query, key, value, attention_mask, scaling=None, dropout=0.0, **_others):
    """softmax(q [P_K; K]^T) [P_V; V]; the prefix is never masked."""
    prefix = getattr(module, "prefix", None)
    if prefix is not None:
        batch, heads, _, size = key.shape
        keys, values = (p.reshape(-1, heads, size).transpose(0, 1).expand(batch, -1, -1, -1) for p in prefix())
        key, value = torch.cat([keys, key], 2), torch.cat([values, value], 2)
        if attention_mask is not None:
            attention_mask = nn.functional.pad(attention_mask, (keys.shape[2], 0))
    scores = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    weights = torch.softmax(scores if attention_mask is None else scores + attention_mask, -1)
    return (weights @ value).transpose(1, 2).contiguous(), weights


AttentionInterface.register("with_prefix", attend_with_prefix)
AttentionMaskInterface.register("with_prefix", eager_mask)


def sizes():
    """The configuration of the family at hand."""
    return FAMILIES[family()].config_class.from_pretrained(OUT / family())


def scale():
    """What token embeddings are multiplied by before they enter a stack."""
    return sizes().d_model ** 0.5


def scale_behind_table():
    """What is left of it to do where a table has been looked into: Marian's tables give what is in them. Its encoder multiplies what it looked up
    itself, but nothing that it is given; its decoder multiplies either."""
    return scale() if family() == "marian" else 1.0


def network(length, width, middle, columns):
    return nn.Parameter(torch.randn(length, width)), nn.Linear(width, middle), nn.Linear(middle, columns)


def prefix(length, middle=None):
    """Keys and values at every attention; with `middle` out of one network for each kind of attention."""
    model = base("with_prefix")
    width, trained = model.config.d_model, {}
    encoder, decoder = model.model.encoder.layers, model.model.decoder.layers
    kinds = {"encoder.self_attn": [layer.self_attn for layer in encoder], "decoder.self_attn": [layer.self_attn for layer in decoder],
             "decoder.cross_attn": [layer.encoder_attn for layer in decoder]}
    for kind, modules in kinds.items():
        columns = len(modules) * 2 * width
        if middle:
            embedding, down, up = network(length, width, middle, columns)
            flat = lambda embedding=embedding, down=down, up=up: up(torch.tanh(down(embedding)))
            trained |= {f"{kind}.prefix.embedding.weight": embedding} | {f"{kind}.prefix.transform.0.{n}": p for n, p in down.named_parameters()} | \
                {f"{kind}.prefix.transform.2.{n}": p for n, p in up.named_parameters()}
        else:
            values = nn.Parameter(torch.randn(length, columns))
            flat = lambda values=values: values
            trained[f"{kind}.prefix"] = values
        for i, module in enumerate(modules):
            object.__setattr__(module, "prefix", lambda flat=flat, i=i: flat()[:, i * 2 * width:(i + 1) * 2 * width].split(width, 1))
    return model, trained, 0.1


def peft_prefix(length, middle=None):
    model = sizes()
    config = peft.PrefixTuningConfig(task_type="SEQ_2_SEQ_LM", num_virtual_tokens=length, num_layers=model.decoder_layers,
                                     num_attention_heads=model.decoder_attention_heads, token_dim=model.d_model,
                                     prefix_projection=middle is not None, encoder_hidden_size=middle or model.d_model)
    model = peft.get_peft_model(base(), config).eval()
    trained = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            name = name.replace("prompt_encoder.default.", "decoder.self_attn.prefix.")
            trained[name if middle else "prompt_embeddings"] = parameter
    return model, trained, 0.1


def peft_prompt(length):
    config = peft.PromptTuningConfig(task_type="SEQ_2_SEQ_LM", num_virtual_tokens=length, num_transformer_submodules=1, num_layers=3,
                                     num_attention_heads=3, token_dim=sizes().d_model)
    model = peft.get_peft_model(base(), config).eval()
    return model, {"prompt_embeddings": p for p in model.parameters() if p.requires_grad}, 0.1


class Prompted(nn.Module):
    """The model with virtual tokens [l, D] around the source and before the target, as (front, back) and front, and a change of the source's
    embeddings by position. `states` of a stack: what replaces its first l states before layer i >= 1."""

    def __init__(self, source=None, target=None, change=None, states=None):
        super().__init__()
        self.model, self.source, self.target, self.change = base(), source, target, change
        for side, made in (states or {}).items():
            for i, layer in enumerate(getattr(self.model.model, side).layers):
                if i > 0:
                    layer.register_forward_pre_hook(lambda _module, arguments, state=made[i]: (
                        torch.cat([state()[None].expand(len(arguments[0]), -1, -1), arguments[0][:, len(state()):]], 1), *arguments[1:]))

    def forward(self, input_ids, attention_mask, decoder_input_ids):
        behind = scale_behind_table()
        lookup = lambda ids: self.model.get_input_embeddings()(ids) * behind
        given = {"input_ids": input_ids, "attention_mask": attention_mask, "decoder_input_ids": decoder_input_ids}
        if self.source:
            front, back = self.source()
            rows = []
            for ids, real in zip(input_ids, attention_mask):
                own = lookup(ids[real == 1])
                rows.append(torch.cat([front, own + self.change(len(own)) if self.change else own, back]))
            longest = max(map(len, rows))
            given["inputs_embeds"] = torch.stack([nn.functional.pad(row, (0, 0, 0, longest - len(row))) for row in rows])
            given["attention_mask"] = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
            del given["input_ids"]
        before = 0
        if self.target:
            front = self.target()
            before = len(front)
            given["decoder_inputs_embeds"] = torch.cat([front.expand(len(decoder_input_ids), -1, -1), lookup(decoder_input_ids)], 1) / behind
            del given["decoder_input_ids"]
        return SimpleNamespace(logits=self.model(**given).logits[:, before:])


def prompt(length, front, side):
    source, target = (nn.Parameter(torch.randn(length, sizes().d_model)) for _ in range(2))
    trained = {f"{name}.prompt_embeddings": p for name, p in (("encoder", source), ("decoder", target)) if side in (name, "both")}
    model = Prompted(source=(lambda: (source[:front], source[front:])) if side != "decoder" else None,
                     target=(lambda: target) if side != "encoder" else None)
    return model, trained, 0.1


def layer_prefix(length, middle=None):
    trained, states, width, factor = {}, {}, sizes().d_model, scale()
    for side, layers in (("encoder", sizes().encoder_layers), ("decoder", sizes().decoder_layers)):
        states[side] = []
        for i in range(layers):
            own = nn.Parameter(torch.randn(length, width) * width ** -0.5)
            trained[f"{side}.layers.{i}.prefix"] = own
            states[side].append(lambda own=own: own)
            if middle and i > 0:
                _, down, up = network(length, width, middle, width)
                states[side][i] = lambda own=own, down=down, up=up: up(torch.tanh(down(own)))
                for number, linear in ((0, down), (2, up)):
                    trained |= {f"{side}.layers.{i}.prefix.transform.{number}.{name}": p for name, p in linear.named_parameters()}
    model = Prompted(source=lambda: (states["encoder"][0]() * factor, torch.zeros(0, width)), target=lambda: states["decoder"][0]() * factor,
                     states=states)
    return model, trained, 0.1


def dept(length, rank, reach, alpha, rate):
    width = sizes().d_model
    prompts, a, b = nn.Parameter(torch.randn(length, width)), nn.Parameter(torch.rand(reach, rank) - 0.5), nn.Parameter(torch.zeros(rank, width))

    def change(tokens):
        update = (a @ b) * (alpha / rank ** 0.5)
        return torch.cat([update, torch.zeros(tokens, width)])[:tokens] if tokens > reach else update[:tokens]

    model = Prompted(source=lambda: (prompts, torch.zeros(0, width)), change=change)
    return model, {"prompt_embeddings": prompts, "lora_embedding_A": a, "lora_embedding_B": b}, 0.1, \
        {"lora_embedding_A": rate, "lora_embedding_B": rate}


def prompt_peft_settings():
    """PEFT looks the source up itself and gives the encoder prompt and source, which Marian's then does not scale."""
    return {"prompt_length": 5} | ({"embedding_space": "table"} if family() == "marian" else {})


HUGGING_FACE = {"encoder_self": False, "cross": False, "peft_form": True}
CASES = {
    "prefix": ("prefix", {"prefix_length": 3}, lambda: prefix(3)),
    "prefix_network": ("prefix", {"prefix_length": 2, "reparametrised": True, "hidden_dim": 7}, lambda: prefix(2, 7)),
    "prefix_peft": ("prefix", {"prefix_length": 4, **HUGGING_FACE}, lambda: peft_prefix(4)),
    "prefix_peft_network": ("prefix", {"prefix_length": 3, "reparametrised": True, "hidden_dim": 6, **HUGGING_FACE}, lambda: peft_prefix(3, 6)),
    "prompt_peft": ("prompt", prompt_peft_settings, lambda: peft_prompt(5)),
    "prompt_around": ("prompt", {"prompt_length": 5, "position": "around"}, lambda: prompt(5, 3, "encoder")),
    "prompt_back": ("prompt", {"prompt_length": 2, "position": "back"}, lambda: prompt(2, 0, "encoder")),
    "prompt_both": ("prompt", {"prompt_length": 3, "side": "both"}, lambda: prompt(3, 3, "both")),
    "layer_prefix": ("layer_prefix", {"prefix_length": 3}, lambda: layer_prefix(3)),
    "layer_prefix_network": ("layer_prefix", {"prefix_length": 2, "reparametrised": True, "hidden_dim": 6}, lambda: layer_prefix(2, 6)),
    "dept": ("dept", {"rank": 3, "prompt_length": 4, "source_length": 7, "alpha": 8.0, "update_rate": 0.25}, lambda: dept(4, 3, 7, 8.0, 0.25)),
    "cross_attention": ("cross_attention", {}, lambda: parameters(lambda name: ".encoder_attn." in name)),
    "cross_attention_norm": ("cross_attention", {"norm": True, "layers": "last 1"},
                             lambda: parameters(lambda name: f"layers.{sizes().decoder_layers - 1}.encoder_attn" in name)),
    "parameters": ("parameters", {"unfreeze": "fc2|self_attn_layer_norm", "freeze": "encoder|bias$"},
                   lambda: parameters(lambda name: re.search("fc2|self_attn_layer_norm", name) and not re.search("encoder|bias$", name))),
}

if __name__ == "__main__":
    record("methods_prompts", CASES)
