"""Makes tests/golden/FAMILY/methods.safetensors and methods.json: what Hugging Face PEFT and plain torch compute for each method on the tiny models of
models.py and families.py, one of each family: starting values (not at the identity), logits, loss, gradients, and the losses and values of five
AdamW updates.

LoRA and LN_TUNING are PEFT's; the others are written here from their papers, bottleneck adapters with forward hooks. Run after models.py and
families.py from the root of the source tree, in an environment with torch 2.11, transformers 5.17 and peft 0.21:
    python tests/golden/make/methods.py [FAMILY...]
"""
import json
import sys
from pathlib import Path

import peft
import torch
from models import loss_sum, padded, ragged, versions
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import M2M100ForConditionalGeneration, MarianMTModel, MBartForConditionalGeneration

OUT = Path("tests/golden")
SEED = 21
TRAINING = {"updates": 5, "warmup_updates": 2, "schedule": "linear", "label_smoothing": 0.1, "clip_norm": 1.0, "weight_decay": 0.0, "beta1": 0.9,
            "beta2": 0.98, "epsilon": 1e-6, "learning_rate": 0.01}
MANY = 10000  # trained scalars, of which the end is left out: the files would grow large, and the losses say as much
# Norms before the blocks, relu; norms after them, swish; norms before them and one on the embeddings, learned positions.
FAMILIES = {"m2m100": M2M100ForConditionalGeneration, "marian": MarianMTModel, "mbart50": MBartForConditionalGeneration}
_at_hand = "m2m100"  # set by record


def family():
    """The family at hand: that of base() and inputs()."""
    return _at_hand


def pre_norm():
    """Whether norms stand before the blocks, with one more after the last layer of a stack, rather than after the residual additions."""
    return family() != "marian"


def base(attention="eager"):
    """The frozen tiny model of the family at hand."""
    model = FAMILIES[family()].from_pretrained(OUT / family(), attn_implementation=attention).eval()
    model.requires_grad_(False)
    return model


def inputs():
    """The example pairs of the family at hand, those of its forward.json: keyword arguments of the model, and the labels with -100 at padding."""
    folder = OUT / family()
    lengths, ids = json.loads((folder / "forward.json").read_text()), load_file(folder / "forward.safetensors")
    config = json.loads((folder / "config.json").read_text())
    sources, targets = ([row.tolist() for row in ids[name].split(lengths[f"{side}_lengths"])]
                        for name, side in (("source_ids", "source"), ("labels", "target")))
    source, labels = padded(sources, config["pad_token_id"]), padded(targets, -100)
    starts = [[row[-1] if family() == "mbart50" else config["decoder_start_token_id"]] for row in targets]  # mBART turns the row by one
    decoder = torch.cat([torch.tensor(starts), labels[:, :-1]], 1)
    decoder[decoder == -100] = config["pad_token_id"]
    mask = padded([[1] * len(row) for row in sources], 0)
    return dict(input_ids=source, attention_mask=mask, decoder_input_ids=decoder), labels


def stacks(model):
    return (("encoder", model.model.encoder), ("decoder", model.model.decoder))


def layers(model):
    """Path without "model." and module of every layer."""
    return [(f"{side}.layers.{i}", layer) for side, stack in stacks(model) for i, layer in enumerate(stack.layers)]


def is_norm(name):
    """Whether a module or parameter of this path is a norm or of one: of a block, of a stack's end, of mBART's embeddings."""
    return "layer_norm" in name or "layernorm_embedding" in name


def changed(output, change):
    """What a hook gives back: the first of a block's outputs, or its only one, changed."""
    return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)


def lora(targets):
    """PEFT's LoRA with B away from zero. Our names are those of PEFT's files, which leave the adapter's name out."""
    config = peft.LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=targets, task_type="SEQ_2_SEQ_LM")
    model = peft.get_peft_model(base(), config).eval()
    trained = {name.replace(".default", ""): p for name, p in model.named_parameters() if p.requires_grad}
    return model, trained, 0.1


def layer_norms():
    targets = ["self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm", "layer_norm", "layernorm_embedding"]
    model = peft.get_peft_model(base(), peft.LNTuningConfig(target_modules=targets, task_type="SEQ_2_SEQ_LM")).eval()
    trained = {name.replace(".default", ""): p for name, p in model.named_parameters() if p.requires_grad}
    return model, trained, 0.05


def parameters(chosen):
    """Chosen ones of the model's own; Marian's positions are none, though transformers keeps them as such."""
    model = base()
    trained = {name: p for name, p in model.named_parameters() if not (family() == "marian" and "embed_positions" in name) and chosen(name)}
    for parameter in trained.values():
        parameter.requires_grad_(True)
    return model, trained, 0.05


class Adapter(nn.Module):
    """x + Wu relu(Wd LN(x) + bd) + bu"""

    def __init__(self, width, middle):
        super().__init__()
        self.layer_norm, self.down_proj, self.up_proj = nn.LayerNorm(width), nn.Linear(width, middle), nn.Linear(middle, width)

    def forward(self, x):
        return x + self.up_proj(torch.relu(self.down_proj(self.layer_norm(x))))


def adapters(middle):
    model, trained = base(), {}
    for i, (path, layer) in enumerate(layers(model)):
        adapter = Adapter(model.config.d_model, middle)
        model.add_module(f"adapter_{i}", adapter)
        layer.register_forward_hook(lambda _module, _inputs, output, adapter=adapter: changed(output, adapter))
        trained |= {f"{path}.adapter.{name}": p for name, p in adapter.named_parameters()}
    return model, trained, 0.05


CASES = {
    "lora_qv": ("lora", {"rank": 4, "alpha": 8.0, "targets": "qv"}, lambda: lora(["q_proj", "v_proj"])),
    "lora_all": ("lora", {"rank": 4, "alpha": 8.0, "targets": "all"}, lambda: lora(["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"])),
    "layernorm": ("layernorm", {"variant": "gains_and_biases"}, layer_norms),
    "layernorm_gains": ("layernorm", {"variant": "gains"}, lambda: parameters(lambda name: is_norm(name) and name.endswith("weight"))),
    "bitfit": ("bitfit", {}, lambda: parameters(lambda name: name.endswith(".bias"))),
    "bottleneck": ("bottleneck", {"bottleneck_dim": 7}, lambda: adapters(7)),
    "full": ("full", {}, lambda: parameters(lambda name: True)),
}


def factor(update):
    """Linear warm-up, then linear decay to the last update."""
    if update < TRAINING["warmup_updates"]:
        return update / TRAINING["warmup_updates"]
    past = (update - TRAINING["warmup_updates"]) / (TRAINING["updates"] - TRAINING["warmup_updates"])
    return max(1 - past, 1 / TRAINING["updates"])


def record(stem, all_cases, without_end=()):
    """Writes tests/golden/FAMILY/stem.{safetensors,json} for each family, or those that the command line names.

    all_cases: name -> (method, settings or a function that gives them, function that gives the model, its trained tensors by our names, how far from
    their start, and, if not all learn at the same rate, factors of the rate by name). The functions ask base(), inputs(), family() and pre_norm(). A
    model may have `constants`, tensors of the method that are not trained, `penalty()`, added to the loss of every update, and
    `after_update(number)`. without_end: (case, family) of those whose end is left out, as that of large ones is."""
    global _at_hand
    torch.set_num_threads(1)
    for _at_hand in sys.argv[1:] or FAMILIES:
        record_family(stem, all_cases, {case for case, name in without_end if name == family()})


def record_family(stem, all_cases, without_end):
    arguments, labels = inputs()
    targets = (labels != -100).sum(1).tolist()
    kept, cases = {}, {}
    for case, (method, settings, make) in all_cases.items():
        torch.manual_seed(SEED)
        model, trained, spread, *rates = make()
        with torch.no_grad():
            for name, parameter in sorted(trained.items()):
                if "shared" not in name:
                    parameter.add_(torch.randn(parameter.shape) * spread)

        def loss():
            return loss_sum(model(**arguments).logits, labels, TRAINING["label_smoothing"]) / sum(targets)

        with torch.no_grad():
            logits = ragged(model(**arguments).logits, targets)
        kept[f"{case}.logits"] = logits if case == "full" else logits[:12]
        start = loss()
        start.backward()
        for name, parameter in trained.items():
            kept[f"{case}.start.{name}"] = parameter.detach().clone()
            kept[f"{case}.gradient.{name}"] = parameter.grad.clone()
        for name, tensor in getattr(model, "constants", {}).items():
            kept[f"{case}.start.{name}"] = tensor.clone()
        groups = [{"params": [parameter], "share": rates[0].get(name, 1.0) if rates else 1.0} for name, parameter in trained.items()]
        optimizer = torch.optim.AdamW(groups, lr=TRAINING["learning_rate"], betas=(TRAINING["beta1"], TRAINING["beta2"]),
                                      eps=TRAINING["epsilon"], weight_decay=TRAINING["weight_decay"])
        losses, norms = [], []
        for update in range(1, TRAINING["updates"] + 1):
            optimizer.zero_grad()
            value = loss()
            (value + model.penalty() if hasattr(model, "penalty") else value).backward()
            norms.append(nn.utils.clip_grad_norm_(trained.values(), TRAINING["clip_norm"]).item())
            for group in optimizer.param_groups:
                group["lr"] = TRAINING["learning_rate"] * factor(update) * group["share"]
            optimizer.step()
            if hasattr(model, "after_update"):
                model.after_update(update)
            losses.append(value.item())
        if sum(p.numel() for p in trained.values()) < MANY and case not in without_end:
            for name, parameter in trained.items():
                kept[f"{case}.end.{name}"] = parameter.detach().clone()
        cases[case] = {"method": method, "settings": settings() if callable(settings) else settings, "trained": sum(p.numel() for p in trained.values()),
                       "loss": start.item(), "losses": losses, "gradient_norms": norms, "loss_after": loss().item(), "tensors": list(trained)}
        print(family(), case, cases[case]["trained"], losses)
    made = versions() | {"peft": peft.__version__, "seed": SEED, "maker": f"tests/golden/make/{stem}.py"}
    file = {"made": made, "training": TRAINING, "cases": cases}
    tensors = {name: tensor.contiguous() for name, tensor in kept.items()}
    save_file(tensors, OUT / family() / f"{stem}.safetensors", metadata={"made": json.dumps(made)})
    (OUT / family() / f"{stem}.json").write_text(json.dumps(file, indent=1) + "\n")


if __name__ == "__main__":
    record("methods", CASES)
