"""Opens a model folder in transformers and compares label log-probabilities with `permille score`.

    python tests/golden/make/check_base.py PERMILLE MODEL FILE.tsv SOURCE TARGET      (transformers 5.17, torch 2.11)

Ends with the largest difference in nats per sentence; exit code 1 above 1e-3.
"""
import subprocess
import sys

import torch
from transformers import M2M100ForConditionalGeneration, M2M100Tokenizer

program, folder, file, source, target = sys.argv[1:6]
rows = [line.rstrip("\n").split("\t")[:2] for line in open(file, encoding="utf-8")][:50]
model = M2M100ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
tokenizer = M2M100Tokenizer.from_pretrained(folder, src_lang=source, tgt_lang=target)
text = "".join("\t".join(row) + "\n" for row in rows)
ours = subprocess.run([program, "score", "--model", folder, "--src-lang", source, "--tgt-lang", target, "--input", "/dev/stdin", "--threads", "1", "-q"],
                      input=text, capture_output=True, text=True, check=True).stdout.splitlines()
worst = 0.0
for (src, tgt), line in zip(rows, ours, strict=True):
    batch = tokenizer(src, text_target=tgt, return_tensors="pt")
    with torch.no_grad():
        logits = model(**batch).logits
    theirs = logits.log_softmax(-1).gather(2, batch["labels"].unsqueeze(2)).sum().item()
    value, tokens = line.split("\t")
    assert int(tokens) == batch["labels"].numel(), (src, tokens, batch["labels"].numel())
    worst = max(worst, abs(float(value) - theirs))
print(f"{len(rows)} sentences, largest difference {worst:.2e} nats")
sys.exit(worst > 1e-3)
