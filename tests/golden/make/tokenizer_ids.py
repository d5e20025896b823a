"""Makes tests/golden/tokenizers: a tiny sentencepiece model in seven scripts, and what transformers' tokenizers give with it.

Run from the root of the source tree, in an environment with transformers 5.17 and sentencepiece:
    python tests/golden/make/tokenizer_ids.py
"""
import io
import json
import random
import shutil
import tempfile
from pathlib import Path

import sentencepiece
import transformers
from transformers import AutoTokenizer
from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES

OUT = Path("tests/golden/tokenizers")
SEED = 7
WORDS = {
    "en": "the house is on a green hill and we open every file before the new window closes with an error message for user",
    "de": "das Haus steht auf einem grünen Hügel und wir öffnen jede Datei bevor das neue Fenster mit größter Mühe schließt Straße",
    "ru": "дом стоит на зелёном холме и мы открываем каждый файл прежде чем новое окно закроется с ошибкой для пользователя",
    "zh": "打开 文件 新 窗口 关闭 错误 消息 用户 保存 更改 房子 绿色 山",
    "ar": "البيت يقع على تل أخضر ونحن نفتح كل ملف قبل أن تغلق النافذة الجديدة رسالة خطأ",
    "hi": "घर हरी पहाड़ी पर है और हम हर फ़ाइल खोलते हैं नई खिड़की त्रुटि संदेश",
    "ja": "家 は 緑 の 丘 に あり ファイル を 開く ウィンドウ エラー メッセージ",
}
HOSTILE = [
    "", " ", "  ", "\t", "\u00a0", "\u3000", "\u200b", "\u200b ", " \u200b", "\ufeff", "a", " a", "a ", "a  b", "a\tb\t", "\ta", "a \u200b", "a\u200b \u200b",
    "the house is on a green hill.", "  the house  is\u00a0on  a hill  ", "The House", "THE HOUSE", "das Haus, die Straße!", "größter Mühe",
    "дом стоит на холме.", "打开文件", "打开 文件。新窗口！", "البيت يقع على تل", "घर हरी पहाड़ी पर है", "ファイルを開く", "ﾌｧｲﾙ", "ｆｕｌｌ　ｗｉｄｔｈ ＡＢＣ １２３",
    "\ufeffthe house", "the\ufeffhouse", "e\u0301 u\u0308 vs é ü", "ﬁle ﬂow", "①②③ ½ ²", "™ ℃ Ⅷ", "🎉", "🎉🎉 🎊", "the 🎉 house", "👨\u200d👩\u200d👧\u200d👦 ❤️ 🇩🇪",
    "\u2581", "\u2581the", "the\u2581house", "the \u2581 house", "a\u0000b", "a\u0001b\u001f", "a\u0085b", "line\u2028next\u2029end", "tab\u000bvt\u000cff",
    "</s>", "<s>", "<pad>", "<unk>", "<mask>", "x </s> y", "the</s>house", " </s> ", "<s> the house </s>", "</s></s>", "<unk> the", "the <mask> house",
    "the  <mask>house", "<mask>", " <mask> ", "__de__", "__de__the house", "the __zz__ house", "__en____de__", "____de__", "__de_", "deu_Latn", "the deu_Latn house",
    "deu_Latneng_Latn", "xdeu_Latnx", "<S>", "< /s>", "\\u0041 &amp; &lt;b&gt;", "%s of %d: {name}", "http://example.org/?q=a&b=c", "_File", "&File",
    "١٢٣ ۴۵۶", "השלום", "สวัสดีชาวโลก", "안녕하세요", "ქართული", "𝕬𝖇𝖈 𝟙𝟚", "𠀀𠀁", "\U0010ffff", "\ue000", "\u0378", "\u202eabc\u202c", "a\u00adb", "zu\u200dsammen",
    "the\nhouse", "the\r\nhouse", "-", "--", "...", "…", "„das Haus“", "«дом»", "10,000.50 €", "a" * 300, "ab " * 100, "ﷺ", "ŉ ǆ",
]


def lines():
    r = random.Random(SEED)
    made = []
    for i in range(420):
        language = list(WORDS)[i % len(WORDS)]
        words = [r.choice(WORDS[language].split()) for _ in range(r.randint(3, 12))]
        made.append(("" if language in ("zh", "ja") else " ").join(words) + r.choice([".", "!", "?", ",", "。", ""]))
    return made


def random_texts():
    r = random.Random(SEED + 1)
    pool = [w for text in WORDS.values() for w in text.split()]
    odd = [" ", "  ", "\t", "\u00a0", "\u200b", "\u3000", "é", "e\u0301", "ﬁ", "Ａ", "１", "🎉", "\u0640", "\u093c", "\u200d", "\u2581", "</s>", "__de__",
           "deu_Latn", "ß", "ẞ", "İ", "中", "ー", "。", ".", ",", "(", ")", "-", "\u0001", "𠀀", "ँ", "َ"]
    texts = []
    for _ in range(250):
        parts = []
        for _ in range(r.randint(1, 14)):
            parts.append(r.choice(pool) if r.random() < 0.6 else r.choice(odd))
            if r.random() < 0.6:
                parts.append(" ")
        texts.append("".join(parts))
    return texts


def is_composed_alike(text):
    """False where tokenizers' normaliser does not compose what sentencepiece composes: letters of three bytes with a nukta."""
    return not any(letter + "\u093c" in text for letter in "\u0928\u0930\u0933")


def encodings(tokenizer, texts, source, target):
    tokenizer.src_lang, tokenizer.tgt_lang = source, target
    cases = []
    for text in texts:
        ids = tokenizer(text)["input_ids"]
        labels = tokenizer(text_target=text)["input_ids"]
        cases.append({"text": text, "source": ids, "target": labels, "decoded": tokenizer.decode(ids, skip_special_tokens=True)})
    return cases


def long_case(tokenizer, unit, times):
    ids = tokenizer(unit * times)["input_ids"]
    return {"unit": unit, "times": times, "count": len(ids), "checksum": sum((i + 1) * x for i, x in enumerate(ids)) % 1000003}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines()), model_writer=model, model_type="bpe", vocab_size=600, character_coverage=0.9995,
        normalization_rule_name="nmt_nfkc", unk_id=0, bos_id=1, eos_id=2, pad_id=-1, minloglevel=2, num_threads=1)
    (OUT / "sentencepiece.bpe.model").write_bytes(model.getvalue())
    (OUT / "lines.txt").write_text("\n".join(lines()) + "\n", encoding="utf-8")
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    texts = HOSTILE + random_texts()
    golden = {"transformers": transformers.__version__, "sentencepiece": sentencepiece.__version__, "seed": SEED}

    vocabulary = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
    for i in range(3, pieces.get_piece_size()):
        vocabulary[pieces.id_to_piece(i)] = len(vocabulary)
    settings = {
        "tokenizer_class": "M2M100Tokenizer", "language_codes": "m2m100", "bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>",
        "pad_token": "<pad>", "unk_token": "<unk>", "model_max_length": 1024,
        "additional_special_tokens": [f"__{code}__" for code in FAIRSEQ_LANGUAGE_CODES["m2m100"]], "permille_languages": ["de", "en", "zh"]}

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "m2m100"
        folder.mkdir()
        shutil.copy(OUT / "sentencepiece.bpe.model", folder)
        (folder / "config.json").write_text(json.dumps({"model_type": "m2m_100"}))
        for case, change in (("m2m100", {}), ("m2m100_three", {"additional_special_tokens": ["__en__", "__de__", "__ru__"]}),
                             ("m2m100_bare", {"additional_special_tokens": None}), ("m2m100_wmt21", {"language_codes": "wmt21"})):
            kept = {key: value for key, value in (settings | change).items() if value is not None}
            (folder / "vocab.json").write_text(json.dumps(vocabulary))
            (folder / "tokenizer_config.json").write_text(json.dumps(kept))
            tokenizer = AutoTokenizer.from_pretrained(folder)
            few = texts if case == "m2m100" else texts[:110]
            golden[case] = {"settings": kept, "size": len(tokenizer.encoder) + len(tokenizer.lang_token_to_id),
                            "languages": tokenizer.lang_code_to_id, "special": tokenizer.all_special_ids[:4],
                            "cases": encodings(tokenizer, few, "de", "zh")}
            if case == "m2m100":
                golden["vocabulary"] = vocabulary
                golden[case]["long"] = [long_case(tokenizer, "the house ", 10000), long_case(tokenizer, "ab", 5000), long_case(tokenizer, "🎉", 20000)]
                saved = Path(name) / "saved"
                tokenizer.save_pretrained(saved)
                golden[case]["saved_settings"] = json.loads((saved / "tokenizer_config.json").read_text())

        for case, change in (("nllb", {}), ("nllb_legacy", {"legacy_behaviour": True})):
            folder = Path(name) / case
            folder.mkdir()
            shutil.copy(OUT / "sentencepiece.bpe.model", folder)
            (folder / "config.json").write_text(json.dumps({"model_type": "m2m_100"}))
            (folder / "tokenizer_config.json").write_text(json.dumps(
                {"tokenizer_class": "NllbTokenizer", "model_max_length": 1024, "additional_special_tokens": ["deu_Latn", "eng_Latn", "zho_Hans", "zho_Hant"]} | change))
            tokenizer = AutoTokenizer.from_pretrained(folder)
            saved = Path(name) / (case + "_saved")
            tokenizer.save_pretrained(saved)
            tokenizer = AutoTokenizer.from_pretrained(saved)
            if case == "nllb":
                shutil.copy(saved / "tokenizer.json", OUT / "tokenizer.json")
            golden[case] = {"settings": json.loads((saved / "tokenizer_config.json").read_text()),
                            "languages": {code: tokenizer.convert_tokens_to_ids(code) for code in ("deu_Latn", "eng_Latn", "zho_Hans", "zho_Hant")},
                            "size": len(tokenizer),
                            "cases": encodings(tokenizer, list(filter(is_composed_alike, texts if case == "nllb" else texts[:60])), "deu_Latn", "zho_Hans")}

    (OUT / "cases.json").write_text(json.dumps(golden, ensure_ascii=True, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
