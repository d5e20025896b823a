"""Opens a base that `permille inherit` gave more pieces, languages and layers in transformers, and compares label log-probabilities with
`permille score`, those of the languages beyond M2M-100's own, which transformers knows by their token, among them.

    python tests/golden/make/check_inherited.py PERMILLE MODEL FILE.tsv SOURCE TARGET      (transformers 5.17, torch 2.11)

Prints the largest difference in nats per sentence; exit code 1 above 1e-3.
"""
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

ADDED = "sw", "eu"
TEXT = "fitxategi guztiak irekitzen ditugu leihoa itxi aurretik\nireki fitxategia eta gorde aldaketak\netxea mendi berde baten gainean dago\n"


def main():
    program, base, file, source, target = sys.argv[1:6]
    rows = [line.rstrip("\n").split("\t")[:2] for line in open(file, encoding="utf-8")][:20] + [[line, line] for line in TEXT.splitlines()]
    with tempfile.TemporaryDirectory() as place:
        text, folder = Path(place) / "text.txt", Path(place) / "model"
        text.write_text(TEXT, encoding="utf-8")
        made = [program, "inherit", "-m", base, "-o", folder, "--text", text, "--pieces", "60", "--encoder-layers", "0,0,1", "-q"]
        subprocess.run(made + [f"--language={ADDED[0]}={source}", f"--language={ADDED[1]}"], check=True, stdout=subprocess.DEVNULL)
        model, loading = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
        assert not loading["missing_keys"] and not loading["unexpected_keys"], loading
        tokenizer, worst, count = AutoTokenizer.from_pretrained(folder), 0.0, 0
        for src, tgt in ((source, target), (ADDED[0], target), (source, ADDED[1]), (ADDED[1], ADDED[0])):
            tokens = [tokenizer.convert_tokens_to_ids(f"__{code}__") for code in (src, tgt)]
            assert tokenizer.unk_token_id not in tokens, tokens
            score = [program, "score", "--model", folder, "--src-lang", src, "--tgt-lang", tgt, "--input", "/dev/stdin", "--threads", "1", "-q"]
            ours = subprocess.run(score, input="".join("\t".join(row) + "\n" for row in rows), capture_output=True, text=True, check=True).stdout
            for row, line in zip(rows, ours.splitlines(), strict=True):
                ids, labels = (torch.tensor([[code, *tokenizer(text, add_special_tokens=False).input_ids, tokenizer.eos_token_id]])
                               for code, text in zip(tokens, row, strict=True))
                with torch.no_grad():
                    logits = model.eval()(input_ids=ids, labels=labels).logits
                theirs = logits.log_softmax(-1).gather(2, labels.unsqueeze(2)).sum().item()
                value, number = line.split("\t")
                assert int(number) == labels.numel(), (row, number, labels)
                worst, count = max(worst, abs(float(value) - theirs)), count + 1
    print(f"{count} sentence pairs, largest difference {worst:.2e} nats")
    sys.exit(worst > 1e-3)


if __name__ == "__main__":
    main()
