"""Makes tests/golden/m2m100/methods.safetensors and methods.json: what Hugging Face PEFT and plain torch compute for each method on the tiny model
of models.py: starting values (not at the identity), logits, loss, gradients, and the losses and values of five AdamW updates.

LoRA and LN_TUNING are PEFT's; the others are written here from their papers, bottleneck adapters with forward hooks. Run after models.py from the
root of the source tree, in an environment with torch 2.11, transformers 5.17 and peft 0.21:
    python tests/golden/make/methods.py
"""
import json

import peft
import torch
from models import OUT, example_pairs, inputs, loss_sum, ragged, versions
from safetensors.torch import save_file
from torch import nn
from transformers import M2M100ForConditionalGeneration

SEED = 21
TRAINING = {"updates": 5, "warmup_updates": 2, "schedule": "linear", "label_smoothing": 0.1, "clip_norm": 1.0, "weight_decay": 0.0, "beta1": 0.9,
            "beta2": 0.98, "epsilon": 1e-6, "learning_rate": 0.01}


def base():
    model = M2M100ForConditionalGeneration.from_pretrained(OUT, attn_implementation="eager").eval()
    model.requires_grad_(False)
    return model


def lora(targets):
    """PEFT's LoRA with B away from zero. Our names are those of PEFT's files, which leave the adapter's name out."""
    config = peft.LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=targets, task_type="SEQ_2_SEQ_LM")
    model = peft.get_peft_model(base(), config).eval()
    trained = {name.replace(".default", ""): p for name, p in model.named_parameters() if p.requires_grad}
    return model, trained, 0.1


def layer_norms():
    targets = ["self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm", "layer_norm"]
    model = peft.get_peft_model(base(), peft.LNTuningConfig(target_modules=targets, task_type="SEQ_2_SEQ_LM")).eval()
    trained = {name.replace(".default", ""): p for name, p in model.named_parameters() if p.requires_grad}
    return model, trained, 0.05


def parameters(chosen):
    model = base()
    trained = {name: p for name, p in model.named_parameters() if chosen(name)}
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
    for side, stack in (("encoder", model.model.encoder), ("decoder", model.model.decoder)):
        for i, layer in enumerate(stack.layers):
            adapter = Adapter(model.config.d_model, middle)
            model.add_module(f"{side}_adapter_{i}", adapter)
            layer.register_forward_hook(lambda _module, _inputs, output, adapter=adapter:
                                        (adapter(output[0]), *output[1:]) if isinstance(output, tuple) else adapter(output))
            trained |= {f"{side}.layers.{i}.adapter.{name}": p for name, p in adapter.named_parameters()}
    return model, trained, 0.05


CASES = {
    "lora_qv": ("lora", {"rank": 4, "alpha": 8.0, "targets": "qv"}, lambda: lora(["q_proj", "v_proj"])),
    "lora_all": ("lora", {"rank": 4, "alpha": 8.0, "targets": "all"}, lambda: lora(["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"])),
    "layernorm": ("layernorm", {"variant": "gains_and_biases"}, layer_norms),
    "layernorm_gains": ("layernorm", {"variant": "gains"}, lambda: parameters(lambda name: name.endswith("layer_norm.weight"))),
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


def record(stem, all_cases):
    """all_cases: name -> (method, settings, function that gives the model, its trained tensors by our names, how far from their start, and, if not all
    learn at the same rate, factors of the rate by name). A model may have `constants`, tensors of the method that are not trained, `penalty()`, added
    to the loss of every update, and `after_update(number)`."""
    torch.set_num_threads(1)
    pairs = example_pairs()
    arguments, labels = inputs(pairs)
    targets = [len(t) for _, t in pairs]
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
        if case != "full":  # its file would be as large as the others together; the losses say as much
            for name, parameter in trained.items():
                kept[f"{case}.end.{name}"] = parameter.detach().clone()
        cases[case] = {"method": method, "settings": settings, "trained": sum(p.numel() for p in trained.values()), "loss": start.item(),
                       "losses": losses, "gradient_norms": norms, "loss_after": loss().item(), "tensors": list(trained)}
        print(case, cases[case]["trained"], losses)
    made = versions() | {"peft": peft.__version__, "seed": SEED, "maker": f"tests/golden/make/{stem}.py"}
    save_file({name: tensor.contiguous() for name, tensor in kept.items()}, OUT / f"{stem}.safetensors", metadata={"made": json.dumps(made)})
    (OUT / f"{stem}.json").write_text(json.dumps({"made": made, "training": TRAINING, "cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    record("methods", CASES)
