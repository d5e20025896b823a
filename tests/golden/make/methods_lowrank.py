"""Makes tests/golden/FAMILY/methods_lowrank.safetensors and .json, as methods.py does: LoRA at feed-forward blocks, cross-attention and embeddings,
rsLoRA, DoRA, (IA)^3, VeRA and AdaLoRA with its allocation of ranks by Hugging Face PEFT; SSF, Context-PEFT and DSEE written here from their papers, with
forward hooks. Run after models.py and families.py from the root of the source tree, in an environment with torch 2.11, transformers 5.17 and peft 0.21:
    python tests/golden/make/methods_lowrank.py [FAMILY...]
"""
import peft
import torch
from methods import TRAINING, base, family, inputs, record, stacks
from torch import nn


def ours(name):
    """The name in PEFT's files, which are also ours: without the adapter's."""
    return name.replace(".default", "").replace("lora_magnitude_vector.weight", "lora_magnitude_vector")


def by_peft(config, spread):
    model = peft.get_peft_model(base(), config).eval()
    return model, {ours(name): p for name, p in model.named_parameters() if p.requires_grad}, spread


def lora(targets, spread=0.1, **more):
    return by_peft(peft.LoraConfig(r=4, lora_alpha=8, target_modules=targets, task_type="SEQ_2_SEQ_LM", **more), spread)


def ia3():
    return by_peft(peft.IA3Config(target_modules=["k_proj", "v_proj", "fc2"], feedforward_modules=["fc2"], task_type="SEQ_2_SEQ_LM"), 0.2)


def vera():
    config = peft.VeraConfig(r=5, target_modules=["q_proj", "v_proj", "fc1"], projection_prng_key=3, task_type="SEQ_2_SEQ_LM")
    model, trained, spread = by_peft(config, 0.3)
    model.constants = {"base_model.vera_A": model.base_model.vera_A["default"], "base_model.vera_B": model.base_model.vera_B["default"]}
    return model, trained, spread


def adalora():
    config = peft.AdaLoraConfig(init_r=4, target_r=2, lora_alpha=8, tinit=1, tfinal=1, deltaT=1, total_step=TRAINING["updates"], orth_reg_weight=0.5,
                                target_modules=["q_proj", "v_proj"], task_type="SEQ_2_SEQ_LM")
    model, trained, spread = by_peft(config, 0.1)

    def penalty():
        terms = []
        for name, p in trained.items():
            if "lora_E" not in name:
                product = p @ p.T if "lora_A" in name else p.T @ p
                terms.append(torch.linalg.norm(product - torch.eye(len(product))))
        return 0.5 * sum(terms) / len(terms)

    model.penalty = penalty
    model.after_update = model.base_model.update_and_allocate
    return model, trained, spread


def modules(model, kind):
    """Path without "model." and module, of the stacks."""
    return [(name.removeprefix("model."), module) for name, module in model.named_modules() if isinstance(module, kind) and name.startswith("model.")]


def parameters(model, tensors):
    """Registers tensors under names with dots and gives them back as parameters."""
    trained = {name: nn.Parameter(tensor) for name, tensor in tensors.items()}
    for i, parameter in enumerate(trained.values()):
        model.register_parameter(f"added_{i}", parameter)
    return trained


def ssf():
    model = base()
    places = [(name, module.weight.shape[0], module) for name, module in modules(model, (nn.Linear, nn.LayerNorm))]
    # After the embeddings where no norm is there to be scaled and shifted.
    bare = [(side, stack) for side, stack in stacks(model) if not hasattr(stack, "layernorm_embedding")]
    names = [(name, size) for name, size, _module in places] + [(f"{side}.embedding.output", model.config.d_model) for side, _stack in bare]
    trained = parameters(model, {f"{name}.{part}": torch.full((size,), start) for name, size in names
                                 for part, start in (("ssf_scale", 1.0), ("ssf_shift", 0.0))})

    def changed(name, y):
        return trained[f"{name}.ssf_scale"] * y + trained[f"{name}.ssf_shift"]

    for name, _size, module in places:
        module.register_forward_hook(lambda _module, _inputs, output, name=name: changed(name, output))
    for side, stack in bare:  # before the first layer; dropout is off
        stack.layers[0].register_forward_pre_hook(lambda _module, args, side=side: (changed(f"{side}.embedding.output", args[0]), *args[1:]))
    return model, trained, 0.05


# Control tokens, and the codes of the examples' languages with some text; a decoder of Marian's begins with pad, 255.
DOMAINS = {"m2m100": "tags=0-3; codes=4,5,20-30", "marian": "tags=0-3,255; codes=251,20-30", "mbart50": "tags=0-3; codes=333,334,20-60"}


def groups_of(text, ids):
    """Masks [B, L, 1] of the tokens in each domain and, under the name `text`, of those in none."""
    masks = {}
    for domain in DOMAINS[family()].split("; "):
        name, ranges = domain.split("=")
        ends = [(int(part.split("-")[0]), int(part.split("-")[-1])) for part in ranges.split(",")]
        masks[name] = sum(((ids >= low) & (ids <= high)).long() for low, high in ends) > 0
    none = ~torch.stack(list(masks.values())).any(0)
    return {name: mask.unsqueeze(-1).float() for name, mask in ({text: none} | masks).items()}


def memberships():
    """A function that gives the groups of the tokens at a projection and their masks."""
    arguments, _labels = inputs()
    source, target = groups_of("source", arguments["input_ids"]), groups_of("target", arguments["decoder_input_ids"])
    of_source = ("encoder_attn.k_proj", "encoder_attn.v_proj")
    return lambda name: source if name.startswith("encoder.") or name.endswith(of_source) else target


def chosen(model, ends):
    return [(name, module) for name, module in modules(model, nn.Linear) if name.rsplit(".", 1)[-1] in ends]


def context_lora():
    model, members, rank, scale = base(), memberships(), 3, 2.0
    places = chosen(model, ("q_proj", "v_proj"))
    tensors = {}
    for name, module in places:
        for group in members(name):
            tensors[f"{name}.{group}.lora_A"] = torch.randn(rank, module.in_features) * 0.1
            tensors[f"{name}.{group}.lora_B"] = torch.zeros(module.out_features, rank)
    trained = parameters(model, tensors)
    for name, module in places:
        def hook(_module, args, output, name=name):
            return output + sum(scale * mask * (args[0] @ trained[f"{name}.{group}.lora_A"].T @ trained[f"{name}.{group}.lora_B"].T)
                                for group, mask in members(name).items())
        module.register_forward_hook(hook)
    return model, trained, 0.1


def context_ia3():
    model, members = base(), memberships()
    places = chosen(model, ("k_proj", "v_proj", "fc2"))
    trained = parameters(model, {f"{name}.{group}.ia3_l": torch.zeros(module.in_features if name.endswith("fc2") else module.out_features)
                                 for name, module in places for group in members(name)})

    def gate(name):
        product = 1.0
        for group, mask in members(name).items():
            product = product * (1 + mask * trained[f"{name}.{group}.ia3_l"])
        return product

    for name, module in places:
        if name.endswith("fc2"):
            module.register_forward_pre_hook(lambda _module, args, name=name: (args[0] * gate(name),))
        else:
            module.register_forward_hook(lambda _module, _args, output, name=name: output * gate(name))
    return model, trained, 0.2


def context_bitfit():
    model, members = base(), memberships()
    places = modules(model, nn.Linear)
    trained = parameters(model, {f"{name}.{group}.bias": torch.zeros(module.out_features) for name, module in places for group in members(name)})
    for name, module in places:
        module.register_forward_hook(lambda _module, _args, output, name=name: output + sum(
            mask * trained[f"{name}.{group}.bias"] for group, mask in members(name).items()))
    return model, trained, 0.1


def dsee():
    """W + (alpha / r) (B A + S), with the places of S drawn here."""
    model, rank, entries, scale = base(), 3, 11, 6.0 / 3
    places = chosen(model, ("q_proj", "v_proj"))
    tensors, constants = {}, {}
    for name, module in places:
        out, width = module.weight.shape
        tensors |= {f"{name}.lora_A": torch.randn(rank, width) * 0.02, f"{name}.lora_B": torch.zeros(out, rank), f"{name}.sparse": torch.zeros(entries)}
        constants[f"{name}.places"] = torch.randperm(out * width)[:entries].sort().values
    trained = parameters(model, tensors)
    for name, module in places:
        def hook(module, args, output, name=name):
            sparse = torch.zeros(module.weight.numel()).index_put((constants[f"{name}.places"],), trained[f"{name}.sparse"]).view_as(module.weight)
            return output + scale * nn.functional.linear(args[0], trained[f"{name}.lora_B"] @ trained[f"{name}.lora_A"] + sparse)
        module.register_forward_hook(hook)
    model.constants = constants
    return model, trained, 0.1


LORA = {"rank": 4, "alpha": 8.0}
CASES = {
    "lora_ffn": ("lora", LORA | {"targets": "ffn"}, lambda: lora(["fc1", "fc2"])),
    "lora_cross": ("lora", LORA | {"targets": "cross_attn,self_attn.k", "stacks": "decoder"}, lambda: lora(r".*decoder.*(encoder_attn\.\w+_proj|self_attn\.k_proj)")),
    "lora_embeddings": ("lora", LORA | {"targets": "embeddings,fc2"}, lambda: lora(["embed_tokens", "fc2"], spread=0.02)),
    "lora_rank_stabilised": ("lora", LORA | {"rank_stabilised": True}, lambda: lora(["q_proj", "v_proj"], use_rslora=True)),
    "dora": ("dora", LORA | {"targets": "q,v,fc1"}, lambda: lora(["q_proj", "v_proj", "fc1"], use_dora=True)),
    "ia3": ("ia3", {}, ia3),
    "vera": ("vera", {"rank": 5, "targets": "q,v,fc1"}, vera),
    "adalora": ("adalora", {"rank": 4, "target_rank": 2, "alpha": 8.0, "before": 0.2, "after": 0.2}, adalora),
    "ssf": ("ssf", {}, ssf),
    "context_lora": ("context_lora", lambda: {"rank": 3, "alpha": 6.0, "domains": DOMAINS[family()]}, context_lora),
    "context_ia3": ("context_ia3", lambda: {"domains": DOMAINS[family()]}, context_ia3),
    "context_bitfit": ("context_bitfit", lambda: {"domains": DOMAINS[family()]}, context_bitfit),
    "dsee": ("dsee", {"rank": 3, "entries": 11, "alpha": 6.0, "places": "random"}, dsee),
}

if __name__ == "__main__":
    # Without these the files stay below a megabyte; another family has their ends.
    record("methods_lowrank", CASES, without_end={("dora", "marian"), ("context_bitfit", "marian"), ("context_lora", "mbart50")})
