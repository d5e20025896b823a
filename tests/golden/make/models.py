"""Makes tests/golden/m2m100/: a tiny M2M-100 model folder and what transformers computes with it (forward.safetensors, forward.json).

The model has different encoder and decoder sizes and an odd number of heads; it is trained for a moment on a made-up language, so that it ends
sentences and is unsure in interesting ways. Run from the root of the source tree, in an environment with torch 2.11 and transformers 5.17:
    python tests/golden/make/models.py
"""
import json
import random
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import M2M100Config, M2M100ForConditionalGeneration

OUT = Path("tests/golden/m2m100")
SEED = 20
PAD, EOS, START, SOURCE_CODE, TARGET_CODE, FIRST = 1, 2, 2, 4, 5, 6
CONFIG = dict(vocab_size=89, d_model=30, encoder_layers=3, decoder_layers=2, encoder_attention_heads=3, decoder_attention_heads=5,
              encoder_ffn_dim=44, decoder_ffn_dim=52, max_position_embeddings=64, dropout=0.1, attention_dropout=0.1, activation_dropout=0.0,
              activation_function="relu", encoder_layerdrop=0.0, decoder_layerdrop=0.0, pad_token_id=PAD, bos_token_id=0, eos_token_id=EOS,
              decoder_start_token_id=START, scale_embedding=True)


def versions():
    return {"torch": torch.__version__, "transformers": transformers.__version__, "seed": SEED, "maker": "tests/golden/make/models.py"}


def made_up_pair(draw, length):
    """A sentence and its 'translation': the order reversed in threes, ids shifted, some words doubled."""
    words = [draw.randrange(FIRST, CONFIG["vocab_size"]) for _ in range(length)]
    target = []
    for i in range(0, len(words), 3):
        for word in reversed(words[i:i + 3]):
            target += [FIRST + (word * 7 + 3) % (CONFIG["vocab_size"] - FIRST)] * (2 if word % 11 == 0 else 1)
    return [SOURCE_CODE] + words + [EOS], [TARGET_CODE] + target + [EOS]


def padded(rows, filler):
    longest = max(map(len, rows))
    return torch.tensor([row + [filler] * (longest - len(row)) for row in rows])


def inputs(pairs):
    """Keyword arguments of the model, and the labels with -100 at padding."""
    source, labels = padded([s for s, _ in pairs], PAD), padded([t for _, t in pairs], -100)
    decoder = torch.cat([torch.full((len(pairs), 1), START), labels[:, :-1]], 1)
    decoder[decoder == -100] = PAD
    return dict(input_ids=source, attention_mask=(source != PAD).long(), decoder_input_ids=decoder), labels


def loss_sum(logits, labels, smoothing=0.0):
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="sum", label_smoothing=smoothing)


def make_model():
    torch.manual_seed(SEED)
    model = M2M100ForConditionalGeneration(M2M100Config(**CONFIG))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "layer_norm.weight" in name:
                parameter.normal_(1.0, 0.1)
            elif name.endswith("bias"):
                parameter.normal_(0.0, 0.1)
            elif "shared" in name:
                parameter.normal_(0.0, CONFIG["d_model"] ** -0.5)
                parameter[PAD].zero_()
            else:
                torch.nn.init.xavier_uniform_(parameter)
    draw = random.Random(SEED)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    model.eval()  # no dropout: only the sizes matter here
    for _ in range(250):
        arguments, labels = inputs([made_up_pair(draw, draw.randrange(1, 10)) for _ in range(16)])
        loss = loss_sum(model(**arguments).logits, labels, 0.1) / (labels != -100).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print("loss of the tiny model", loss.item())
    return model


def example_pairs():
    draw = random.Random(SEED + 1)
    return [made_up_pair(draw, length) for length in (6, 2, 1, 9, 5)]


def ragged(tensor, lengths):
    return torch.cat([tensor[i, :length] for i, length in enumerate(lengths)])


def main():
    torch.set_num_threads(1)
    model = make_model()
    OUT.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(OUT)
    model = M2M100ForConditionalGeneration.from_pretrained(OUT, attn_implementation="eager").eval()
    pairs = example_pairs()
    arguments, labels = inputs(pairs)
    sources, targets = [len(s) for s, _ in pairs], [len(t) for _, t in pairs]
    count = sum(targets)
    kept = {}

    encoded = model.model.encoder(input_ids=arguments["input_ids"], attention_mask=arguments["attention_mask"]).last_hidden_state
    kept["encoder_states"] = ragged(encoded, sources)
    kept["source_ids"] = torch.cat([torch.tensor(s) for s, _ in pairs])
    kept["labels"] = torch.cat([torch.tensor(t) for _, t in pairs])
    logits = model(**arguments).logits
    kept["logits"] = ragged(logits, targets)
    kept["label_losses"] = torch.nn.functional.cross_entropy(kept["logits"], kept["labels"], reduction="none")
    epsilon, vocabulary = 0.1, CONFIG["vocab_size"]
    log_p = torch.log_softmax(kept["logits"].double(), -1)
    other = epsilon / (vocabulary - 1)  # fairseq's way: spread over the other classes
    own = log_p.gather(1, kept["labels"][:, None])[:, 0]
    losses = {"plain": loss_sum(logits, labels).item(), "torch_smoothing": loss_sum(logits, labels, epsilon).item(),
              "fairseq_smoothing": (-(1 - epsilon - other) * own - other * log_p.sum(-1)).sum().item(), "epsilon": epsilon, "labels": count}
    for name, smoothing in (("plain", 0.0), ("smoothed", epsilon)):
        model.zero_grad()
        (loss_sum(model(**arguments).logits, labels, smoothing) / count).backward()
        for parameter, tensor in model.named_parameters():
            kept[f"gradient.{name}.{parameter}"] = tensor.grad.clone()
    kept["sinusoids"] = model.model.encoder.embed_positions.weights[PAD + 1:PAD + 1 + 40].clone()

    save_file({name: tensor.detach().contiguous() for name, tensor in kept.items()}, OUT / "forward.safetensors", metadata={"made": json.dumps(versions())})
    golden = {"made": versions(), "source_lengths": sources, "target_lengths": targets, "losses": losses}
    (OUT / "forward.json").write_text(json.dumps(golden, indent=1) + "\n")
    assert load_file(OUT / "forward.safetensors")["logits"].shape == (count, vocabulary)


if __name__ == "__main__":
    main()
