"""Opens in transformers the models that Permille saved: no tensor is missing or left over, logits and losses are those of the goldens, generate
runs, and the tokenizer's files give the ids of the golden. Run from the root of the source tree, in the environment of packaging/reference-python:
    python tests/golden/make/check_saved.py build/dev/tests/core_tests
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path

import torch
import transformers
from models import loss_sum, padded, ragged
from safetensors.torch import load_file
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

GOLDEN = Path("tests/golden")
TOLERANCE = 1e-4


def sentences(ids, lengths):
    return [part.tolist() for part in ids.split(lengths)]


def check_model(folder):
    """The largest difference of logits and of the mean loss, and the names that did not fit."""
    model, loading = AutoModelForSeq2SeqLM.from_pretrained(folder, attn_implementation="eager", output_loading_info=True)
    model.eval()
    want, golden = load_file(GOLDEN / folder.name / "forward.safetensors"), json.loads((GOLDEN / folder.name / "forward.json").read_text())
    sources, labels = sentences(want["source_ids"], golden["source_lengths"]), sentences(want["labels"], golden["target_lengths"])
    batch, mask = padded(sources, model.config.pad_token_id), padded([[1] * len(s) for s in sources], 0)
    targets = padded(labels, -100)
    with torch.no_grad():
        logits = model(input_ids=batch, attention_mask=mask, labels=targets).logits
        length = model.generate(input_ids=batch, attention_mask=mask, max_new_tokens=3, decoder_start_token_id=labels[0][-1]).shape[1]
    assert 1 < length <= 4, length
    loss = abs(loss_sum(logits, targets).item() - golden["losses"]["plain"])
    return (ragged(logits, golden["target_lengths"]) - want["logits"]).abs().max().item(), loss, [*loading["missing_keys"], *loading["unexpected_keys"]]


def plain(text):
    """Whether transformers 4, which the golden ids of mBART are of, and 5 read it alike: they differ in blanks, in characters that sentencepiece
    normalises, in special tokens and language codes inside the text."""
    known = all(unicodedata.category(character)[0] in "LNPSZ" and character != "\u2581" for character in text)
    return known and text == " ".join(text.split()) == unicodedata.normalize("NFKC", text) != "" and not re.search("<|[a-z]{2,3}_[A-Z]", text)


def check_tokenizer(folder):
    """The number of texts, and those that have other ids."""
    golden = json.loads((GOLDEN / folder.name / "tokenizer_ids.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    cases = golden["cases"]
    if "src_lang" in golden:
        tokenizer.src_lang, tokenizer.tgt_lang = golden["src_lang"], golden["tgt_lang"]
        cases = [case for case in cases if plain(case["text"])]
    assert len(cases) > 40, len(cases)
    wrong = [case["text"] for case in cases if tokenizer(case["text"]).input_ids != case["source"] or
             tokenizer(text_target=case["text"]).input_ids != case["target"]]
    return len(cases), wrong


def main():
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(1)
    failed = False
    with tempfile.TemporaryDirectory() as export:
        subprocess.run([sys.argv[1], "[save]"], check=True, env=os.environ | {"PERMILLE_EXPORT": export}, stdout=subprocess.DEVNULL)
        folders = sorted(Path(export).iterdir())
        assert folders, "nothing was saved"
        for folder in folders:
            logits, loss, names = check_model(folder)
            good = logits <= TOLERANCE and loss <= TOLERANCE and not names
            line = f"{folder.name}: logits differ by {logits:.1e}, summed losses by {loss:.1e}, missing or left over {names}"
            if (GOLDEN / folder.name / "tokenizer_ids.json").exists():
                count, wrong = check_tokenizer(folder)
                good = good and not wrong
                line += f", ids of {count - len(wrong)} of {count} texts equal" + (f", not of {wrong[:5]}" if wrong else "")
            print(line + (": same" if good else ": WRONG"))
            failed = failed or not good
    sys.exit(failed)


if __name__ == "__main__":
    main()
