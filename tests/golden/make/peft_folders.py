"""Makes tests/golden/<model>/peft/<name>/: adapter folders as Hugging Face PEFT writes them for the tiny models of models.py and families.py, with
trained-looking values, and the logits that PEFT computes with them. Run after those from the root of the source tree, in an environment with torch
2.11, transformers 5.17 and peft 0.21; with names, only those of OTHERS are made:
    python tests/golden/make/peft_folders.py [marian/prompt...]
"""
import json
import shutil
import sys

import peft
import torch
from models import OUT, example_pairs, inputs, loss_sum, padded, ragged
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSeq2SeqLM, M2M100ForConditionalGeneration
from transformers.models.m2m_100.modeling_m2m_100 import shift_tokens_right
from transformers.models.mbart.modeling_mbart import shift_tokens_right as mbart_shift

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

# Prompts and prefixes, which a family's embeddings and positions have a part in. PEFT stores a prompt's rows for two stacks unless told otherwise.
OTHERS = {
    "m2m100/prompt": ("prompt", {}),
    "m2m100/prompt_one": ("prompt", {"num_transformer_submodules": 1}),
    "m2m100/prefix": ("prefix", {}),
    "m2m100/prefix_projected": ("prefix", {"prefix_projection": True}),
    "marian/prompt": ("prompt", {}),
    "marian/prompt_one": ("prompt", {"num_transformer_submodules": 1, "prompt_tuning_init": "SAMPLE_VOCAB"}),
    "marian/prefix": ("prefix", {}),
    "marian_separate/prompt": ("prompt", {}),
    "mbart50/prompt": ("prompt", {}),
    "mbart50/prefix": ("prefix", {}),
}


def golden_arguments(folder, config):
    """The pairs of a golden model as arguments of transformers' model, and the lengths of the targets."""
    tensors, lengths = load_file(folder / "forward.safetensors"), json.loads((folder / "forward.json").read_text())
    sources, labels = ([part.tolist() for part in tensors[ids].split(lengths[of])] for ids, of in
                       (("source_ids", "source_lengths"), ("labels", "target_lengths")))
    shifted = mbart_shift(padded(labels, -100), config.pad_token_id) if config.model_type == "mbart" else shift_tokens_right(
        padded(labels, -100), config.pad_token_id, config.decoder_start_token_id)
    batch = dict(input_ids=padded(sources, config.pad_token_id), attention_mask=padded([[1] * len(s) for s in sources], 0), decoder_input_ids=shifted)
    return batch, lengths["target_lengths"]


def make_other(name):
    kind, more = OTHERS[name]
    base = OUT.parent / name.split("/")[0]
    torch.manual_seed(SEED)
    model = AutoModelForSeq2SeqLM.from_pretrained(base, attn_implementation="eager")
    if kind == "prompt":
        config = peft.PromptTuningConfig(num_virtual_tokens=4, **more, **TASK)
    else:
        # The two stacks of the tiny models differ, and PEFT asks the encoder.
        sizes = dict(num_layers=model.config.decoder_layers, num_attention_heads=model.config.decoder_attention_heads, token_dim=model.config.d_model)
        config = peft.PrefixTuningConfig(num_virtual_tokens=3, encoder_hidden_size=11, **sizes, **more, **TASK)
    model = peft.get_peft_model(model, config).eval()
    arguments, targets = golden_arguments(base, model.config)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape) * 0.3)
        logits = ragged(model(**arguments).logits, targets)
    folder = base / "peft" / name.split("/")[1]
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    save_file({"logits": logits[:12].contiguous()}, folder / "logits.safetensors")
    print(name, sorted(load_file(folder / "adapter_model.safetensors").items())[0][1].shape)


def main():
    torch.set_num_threads(1)
    for name in sys.argv[1:] or OTHERS:
        make_other(name)
    if sys.argv[1:]:
        return
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
