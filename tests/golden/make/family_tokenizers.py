"""Makes the tokenizers of tests/golden/{mbart25,mbart50,marian,marian_separate}: tiny sentencepiece models in several scripts, the files beside
them, and the ids that transformers gives (tokenizer.json).

transformers 5 no longer encodes mBART's text with sentencepiece: without the model's normaliser for mBART-25, with a piece for a space at the end
for mBART-50. The models were trained on what transformers 4 gives, so that is what counts. Run from the root of the source tree, in an environment
with transformers 4.57 and sentencepiece:
    python tests/golden/make/family_tokenizers.py
Then, in one with transformers 5.17 and protobuf, the same command compares the ids, says where they differ, and writes mbart50/saved: the files that
transformers 5 saves, which has no sentencepiece model among them.
"""
import io
import json
import random
import sys
from pathlib import Path

import sentencepiece
import transformers
from tokenizer_ids import HOSTILE, WORDS, lines, random_texts
from transformers import MarianTokenizer, MBart50Tokenizer, MBartTokenizer

OUT = Path("tests/golden")
SEED = 8
CODES = [
    ">>deu<<", ">>deu<< the house", ">>deu<<the house", " >>deu<< the house", ">>xyz<< the house", ">>deu", ">><<", ">> <<a", ">>a b<< c",
    "the >>deu<< house", ">>deu<<>>rus<< the", ">>deu<<  the  house", "</s>>>deu<< the", ">>deu<<\u200bthe", "de_DE", "de_DE the house",
    "the en_XX house", "en_XXde_DE", "xen_XXx", "the gl_ES house", "dom\u200d", "a\u0300\u0301\u0302b", "\u05d0\u0591\u05b0 \u200f\u05d1",
    "\u0627\u0644\u0628\u0651\u064e\u064a\u062a", "\u2066the\u2069 house"]
TARGETS = ("deu", "rus", "hin", "ara")


def train(text, size, kind="unigram"):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text), model_writer=model, model_type=kind, vocab_size=size, character_coverage=0.9995,
        normalization_rule_name="nmt_nfkc", unk_id=0, bos_id=1, eos_id=2, pad_id=-1, minloglevel=2, num_threads=1)
    return model.getvalue()


def sentences(*languages):
    draw = random.Random(SEED)
    made = []
    for i in range(300):
        language = languages[i % len(languages)]
        words = [draw.choice(WORDS[language].split()) for _ in range(draw.randint(3, 12))]
        made.append(("" if language in ("zh", "ja") else " ").join(words) + draw.choice([".", "!", "?", ",", "\u3002", ""]))
    return made


def pieces(model):
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    return [processor.id_to_piece(i) for i in range(3, processor.get_piece_size())]


def write_json(file, value):
    file.write_text(json.dumps(value, ensure_ascii=False, indent=None, separators=(",", ":")) + "\n", encoding="utf-8")


def make_files():
    mbart = train(lines(), 330)
    for name, kind in (("mbart25", "MBartTokenizer"), ("mbart50", "MBart50Tokenizer")):
        folder = OUT / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "sentencepiece.bpe.model").write_bytes(mbart)
        write_json(folder / "tokenizer_config.json", {"tokenizer_class": kind, "model_max_length": 64})
    source, target = train(sentences("en", "zh"), 110), train(sentences("de", "ru", "hi", "ar"), 180)
    # Some pieces are not in vocab.json, as with vocabularies that were cut: they are <unk>.
    ours, theirs = [p for i, p in enumerate(pieces(source)) if i % 29 != 5], [p for i, p in enumerate(pieces(target)) if i % 31 != 6]
    codes = [f">>{code}<<" for code in TARGETS]
    joint = ["</s>", "<unk>"] + sorted(set(ours + theirs)) + codes + ["<pad>"]
    settings = {"tokenizer_class": "MarianTokenizer", "unk_token": "<unk>", "eos_token": "</s>", "pad_token": "<pad>", "model_max_length": 48}
    for name, more in (("marian", {"source_lang": "eng", "target_lang": "mul"}),
                       ("marian_separate", {"source_lang": "en", "target_lang": "de", "separate_vocabs": True})):
        folder = OUT / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "source.spm").write_bytes(source)
        (folder / "target.spm").write_bytes(target)
        write_json(folder / "tokenizer_config.json", settings | more)
    write_json(OUT / "marian/vocab.json", {piece: i for i, piece in enumerate(joint)})
    write_json(OUT / "marian_separate/vocab.json", {piece: i for i, piece in enumerate(["</s>", "<unk>"] + ours + ["<pad>"])})
    write_json(OUT / "marian_separate/target_vocab.json", {piece: i for i, piece in enumerate(["</s>", "<unk>"] + theirs + ["<pad>"])})


def decoded(tokenizer, ids):
    more = {"use_source_tokenizer": False} if isinstance(tokenizer, MarianTokenizer) else {}
    return tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False, **more)


def cases_of(tokenizer):
    cases = []
    for text in CODES + HOSTILE + random_texts()[:70]:
        target = tokenizer(text_target=text)["input_ids"]
        cases.append({"text": text, "source": tokenizer(text)["input_ids"], "target": target, "decoded": decoded(tokenizer, target)})
    return cases


def golden_of(name):
    languages = {"mbart25": {"src_lang": "de_DE", "tgt_lang": "zh_CN"}, "mbart50": {"src_lang": "de_DE", "tgt_lang": "sl_SI"}}.get(name, {})
    tokenizer = {"mbart25": MBartTokenizer, "mbart50": MBart50Tokenizer}.get(name, MarianTokenizer).from_pretrained(OUT / name, **languages)
    golden = {"made": {"transformers": transformers.__version__, "sentencepiece": sentencepiece.__version__, "seed": SEED}, **languages}
    golden["special"] = {key: tokenizer.convert_tokens_to_ids(getattr(tokenizer, key + "_token")) for key in ("eos", "pad", "unk")}
    if languages:
        golden["languages"] = {code: tokenizer.lang_code_to_id[code] for code in tokenizer.lang_code_to_id}
        golden["size"] = len(tokenizer)
    else:
        golden["languages"] = {code[2:-2]: tokenizer.encoder[code] for code in tokenizer.supported_language_codes}
        golden["size"] = len(tokenizer.encoder)
    golden["cases"] = cases_of(tokenizer)
    return golden


def main():
    names = ("mbart25", "mbart50", "marian", "marian_separate")
    if transformers.__version__.startswith("4."):
        make_files()
        for name in names:
            write_json(OUT / name / "tokenizer_ids.json", golden_of(name))
        return
    MBart50Tokenizer.from_pretrained(OUT / "mbart50").save_pretrained(OUT / "mbart50/saved")
    failed = False
    for name in names:
        stored = json.loads((OUT / name / "tokenizer_ids.json").read_text())
        now = golden_of(name)
        same = {key: stored[key] == now[key] for key in ("special", "languages", "size")}
        different = [old["text"] for old, new in zip(stored["cases"], now["cases"]) if any(old[key] != new[key] for key in ("source", "target"))]
        print(name, same, len(different), "of", len(now["cases"]), "texts differ", [text[:30] for text in different])
        failed = failed or not all(same.values()) or (different and name.startswith("marian"))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
