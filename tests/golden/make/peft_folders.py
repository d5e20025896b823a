"""Makes tests/golden/m2m100/peft/<name>/: adapter folders as Hugging Face PEFT writes them for the tiny model of models.py, with trained-looking values,
and the logits that PEFT computes with them. Run after models.py from the root of the source tree, in an environment with torch 2.11, transformers 5.17
and peft 0.21:
    python tests/golden/make/peft_folders.py
"""
import shutil

import peft
import torch
from models import OUT, example_pairs, inputs, loss_sum, ragged
from safetensors.torch import save_file
from transformers import M2M100ForConditionalGeneration

SEED = 22
TASK = {"task_type": "SEQ_2_SEQ_LM"}
QV = {"target_modules": ["q_proj", "v_proj"]}
NORMS = ["self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm", "layer_norm"]
CASES = {
    "lora": (peft.LoraConfig(r=4, lora_alpha=16, **QV, **TASK), 0.1),
    "lora_pattern": (peft.LoraConfig(r=2, lora_alpha=2, target_modules=r"model\.decoder\.layers\.\d+\.(encoder_attn\.[kv]_proj|fc1)", **TASK), 0.1),
    "lora_path": (peft.LoraConfig(r=2, init_lora_weights="gaussian", target_modules=["encoder.layers.1.fc2", "encoder_attn.out_proj"], **TASK), 0.1),
    "lora_embeddings": (peft.LoraConfig(r=3, target_modules=["embed_tokens", "fc1"], **TASK), 0.05),
    "rslora": (peft.LoraConfig(r=4, lora_alpha=8, use_rslora=True, target_modules="all-linear", **TASK), 0.05),
    "dora": (peft.LoraConfig(r=3, use_dora=True, target_modules=["k_proj", "fc2"], **TASK), 0.1),
    "ia3": (peft.IA3Config(target_modules=["k_proj", "v_proj", "fc2"], feedforward_modules=["fc2"], **TASK), 0.2),
    "ia3_bart": (peft.IA3Config(target_modules=["q_proj", "v_proj"], feedforward_modules=[], **TASK), 0.2),
    "vera": (peft.VeraConfig(r=6, target_modules=["v_proj", "fc2"], projection_prng_key=5, **TASK), 0.3),
    "adalora": (peft.AdaLoraConfig(init_r=4, target_r=2, lora_alpha=8, tinit=0, tfinal=1, total_step=4, **QV, **TASK), 0.1),
    "layernorm": (peft.LNTuningConfig(target_modules=NORMS, **TASK), 0.1),
}


def main():
    torch.set_num_threads(1)
    arguments, labels = inputs(example_pairs())
    targets = [len(t) for _, t in example_pairs()]
    for name, (config, spread) in CASES.items():
        torch.manual_seed(SEED)
        model = peft.get_peft_model(M2M100ForConditionalGeneration.from_pretrained(OUT, attn_implementation="eager"), config).eval()
        trained = [p for _, p in sorted(model.named_parameters()) if p.requires_grad]
        with torch.no_grad():
            for parameter in trained:
                parameter.add_(torch.randn(parameter.shape) * spread)
        if name == "adalora":  # ranks fall while it trains
            for step in range(1, 5):
                model.zero_grad()
                (loss_sum(model(**arguments).logits, labels) / sum(targets)).backward()
                with torch.no_grad():
                    for parameter in trained:
                        parameter.sub_(parameter.grad, alpha=0.01)
                model.base_model.update_and_allocate(step)
        folder = OUT / "peft" / name
        shutil.rmtree(folder, ignore_errors=True)
        with torch.no_grad():
            logits = ragged(model(**arguments).logits, targets)
        model.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)
        save_file({"logits": logits[:12].contiguous()}, folder / "logits.safetensors")
        print(name, sum(p.numel() for p in trained))


if __name__ == "__main__":
    main()
