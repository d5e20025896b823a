"""Makes tests/golden/m2m100/contrast.{safetensors,json}: T-Few's three losses on the tiny model of models.py with made-up wrong translations, the
gradients of the biases, and the values after three AdamW updates. Written from the paper's equations (Liu et al. 2022, section 3.2), sentence by
sentence and token by token. Run after models.py from the root of the source tree:
    python tests/golden/make/contrast.py
"""
import json
import random

import torch
from methods import TRAINING, factor, parameters
from models import OUT, START, TARGET_CODE, EOS, CONFIG, FIRST, example_pairs, inputs, loss_sum, versions
from safetensors.torch import save_file
from torch import nn

UPDATES, SMOOTHING = 3, 0.1


def main():
    torch.set_num_threads(1)
    torch.manual_seed(7)
    draw = random.Random(7)
    model, trained, spread = parameters(lambda name: name.endswith(".bias"))
    with torch.no_grad():
        for parameter in trained.values():
            parameter.add_(torch.randn(parameter.shape) * spread)
    pairs = example_pairs()
    wrong = [[[START, TARGET_CODE] + [draw.randrange(FIRST, CONFIG["vocab_size"]) for _ in range(draw.randrange(1, 9))] + [EOS]
              for _ in range(draw.randrange(4))] for _ in pairs]
    assert any(not candidates for candidates in wrong) and any(len(candidates) == 3 for candidates in wrong)

    def log_p(source, decoder_input, labels):
        logits = model(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([decoder_input])).logits[0]
        return torch.stack([torch.log_softmax(row, 0)[label] for row, label in zip(logits, labels)])

    def losses():
        given, labels = inputs(pairs)
        lm = loss_sum(model(**given).logits, labels, SMOOTHING) / sum(len(target) for _, target in pairs)
        rankings, tokens = [], []
        for (source, target), candidates in zip(pairs, wrong):
            if not candidates:
                continue
            scores = [log_p(source, [START] + target[:-1], target).mean()]
            for candidate in candidates:
                found = log_p(source, candidate[:-1], candidate[1:])
                scores.append(found.mean())
                tokens += [-torch.log(1 - p + 0.01) for p in found.exp()]
            rankings.append(torch.log(sum(torch.exp(score - scores[0]) for score in scores)))
        return lm, sum(tokens) / len(tokens), sum(rankings) / len(rankings)

    lm, unlikelihood, ranking = losses()
    (unlikelihood + ranking).backward()
    kept = {f"start.{name}": p.detach().clone() for name, p in trained.items()} | {f"gradient.{name}": p.grad.clone() for name, p in trained.items()}
    optimizer = torch.optim.AdamW(trained.values(), lr=TRAINING["learning_rate"], betas=(TRAINING["beta1"], TRAINING["beta2"]), eps=TRAINING["epsilon"],
                                  weight_decay=0.0)
    history = []
    for update in range(1, UPDATES + 1):
        optimizer.zero_grad()
        values = losses()
        sum(values).backward()
        nn.utils.clip_grad_norm_(trained.values(), TRAINING["clip_norm"])
        for group in optimizer.param_groups:
            group["lr"] = TRAINING["learning_rate"] * factor(update)
        optimizer.step()
        history.append([value.item() for value in values])
    kept |= {f"end.{name}": p.detach().clone() for name, p in trained.items()}
    made = versions() | {"seed": 7, "maker": "tests/golden/make/contrast.py"}
    save_file({name: tensor.contiguous() for name, tensor in kept.items()}, OUT / "contrast.safetensors", metadata={"made": json.dumps(made)})
    training = {name: TRAINING[name] for name in ("warmup_updates", "schedule", "clip_norm", "weight_decay", "beta1", "beta2", "epsilon")}
    (OUT / "contrast.json").write_text(json.dumps(
        {"made": made, "training": training | {"updates": TRAINING["updates"], "label_smoothing": SMOOTHING}, "learning_rate": TRAINING["learning_rate"],
         "wrong": wrong, "unlikelihood": unlikelihood.item(), "ranking": ranking.item(), "losses": history}, indent=1) + "\n")
    print(lm.item(), unlikelihood.item(), ranking.item(), history)


if __name__ == "__main__":
    main()
