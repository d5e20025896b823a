"""Makes tests/golden/metrics.json: scores, signatures and confidence intervals of sacreBLEU over several scripts.

Run from the root of the source tree, in an environment with sacrebleu 2.6.0 and numpy 2:
    python tests/golden/make/metrics.py
"""
import json
import random
from pathlib import Path

import numpy
import sacrebleu
from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.significance import _bootstrap_resample

OUT = Path("tests/golden/metrics.json")
SEED = 11

SENTENCES = {
    "latin": [
        "The house stands on a green hill.", "We open every file before the window closes.", "It costs $1,234.56, not 99.9 %!", "Don't do that (please).",
        "He said: \"It's 5-10 km away\", didn't he?", "Straße, Größe und Übermut tut selten gut.", "L'été n'est-il pas déjà fini ?", "¿Qué pasó, señor Núñez?",
        "A-B-C; d/e/f; g_h_i; j@k.l; #m & *n*", "Prices rose 3.5-fold in 2019-2020.", "İstanbul'da ILIK bir gün", "e-mail: a.b@c-d.org, http://x.y/z?q=1&r=2",
        "The U.S. economy grew 2.", "&quot;Quoted&quot; &amp; &lt;b&gt;bold&lt;/b&gt; text", "well - known , already tokenized . text", "ﬁne ﬂow ½ ² ™ №5"],
    "cyrillic": [
        "Дом стоит на зелёном холме.", "Мы открываем каждый файл, прежде чем окно закроется.", "Это стоит 1 234,56 руб., а не 99.9 %!", "«Привет», — сказал он.",
        "Київ — столиця України; населення 2,9 млн.", "ОДИН два ТРИ", "В 2019-2020 гг. цены выросли на 3,5 %.", "Что-то где-то когда-нибудь…"],
    "greek": ["Ο ΟΔΥΣΣΕΥΣ ΗΤΑΝ ΣΟΦΟΣ.", "ΣΑΣ ΚΑΛΗΜΕΡΑ ΚΌΣΜΕ;", "Η τιμή είναι 1.234,56 €."],
    "arabic": [
        "البيت يقع على تل أخضر.", "هل نفتح كل ملف قبل أن تغلق النافذة؟", "السعر ١٬٢٣٤٫٥٦ ريال، وليس ٩٩٪.", "قال: «مرحباً» ثم ذهب؛ وعاد.", "في عام 2019-2020 ارتفعت الأسعار."],
    "hindi": ["घर हरी पहाड़ी पर है।", "हम हर फ़ाइल खोलते हैं, फिर खिड़की बंद होती है।", "इसकी क़ीमत ₹१,२३४.५६ है, 99.9 % नहीं!", "उसने कहा: \"नमस्ते\"।", "ज़्यादा पढ़ना अच्छा है"],
    "chinese": [
        "房子在绿色的山上。", "在窗口关闭之前，我们打开每个文件！", "价格是1,234.56元，不是99.9％。", "他说：“你好”（真的吗？）……", "ＡＢＣ１２３：全角，字符。", "中文 English 混合 text，2019-2020年。",
        "㐀㐁 鿿 豈 𠀀𠀁 ⺀⼀ 〇々〆 ㊀㍻", "→ ∑ ★ ☎ ✓ ─ • … — “引用” ‘单’"],
    "japanese": ["家は緑の丘の上にあります。", "ウィンドウを閉じる前に、ファイルを開きます！", "価格は￥１，２３４です（税込）。", "ｶﾀｶﾅ と ひらがな と 漢字", "「こんにちは」と彼は言った。"],
    "thai": ["บ้านตั้งอยู่บนเนินเขาสีเขียว", "ราคา 1,234.56 บาท ไม่ใช่ ๙๙.๙ %", "สวัสดีชาวโลก"],
    "korean": ["집은 푸른 언덕 위에 있습니다.", "창을 닫기 전에 모든 파일을 엽니다!", "가격은 1,234.56원입니다."],
    "odd": ["", " ", "a", "!", "...", "a b", "a b c", "🎉 party 🎉🎉", "x\u00a0y\u2003z", "tab\there", "\ufeffbom", "zero\u200bwidth", "line\u2028sep", "\x1cunit\x1fsep\x85nel",
            "<skipped> text", "end-", "- start", "1.", ".1", "1,2,3", "a,b.c", "10-", "-10", "10-5", "((hi))", "(hi)", "hi!?", "''", "é e\u0301", "ß SS ẞ"],
}


def spoiled(r, sentence):
    """A hypothesis as a machine might write it: words lost, swapped, doubled or changed in case; sometimes exact, empty or from elsewhere."""
    kind = r.random()
    if kind < 0.25:
        return sentence
    if kind < 0.30:
        return ""
    if kind < 0.36:
        return r.choice(r.choice(list(SENTENCES.values())))
    spaced = " " in sentence.strip()
    parts = sentence.split(" ") if spaced else list(sentence)
    for _ in range(r.randint(1, 3)):
        if not parts:
            break
        i = r.randrange(len(parts))
        action = r.randrange(5)
        if action == 0:
            del parts[i]
        elif action == 1:
            j = r.randrange(len(parts))
            parts[i], parts[j] = parts[j], parts[i]
        elif action == 2:
            parts.insert(i, parts[i])
        elif action == 3:
            parts[i] = parts[i].swapcase()
        else:
            parts[i] = parts[i] + r.choice([".", ",", "-", "’", " x", "。"])
    return (" " if spaced else "").join(parts)


def corpora():
    r = random.Random(SEED)
    made = {}
    for script, sentences in SENTENCES.items():
        for count in (1, 3):
            base = [r.choice(sentences) for _ in range(3)] + sentences if count == 3 else sentences
            made[f"{script}-{count}"] = {"hypotheses": [spoiled(r, s) for s in base], "references": [[s for s in base]] + [[spoiled(r, s) for s in base] for _ in range(count - 1)]}
    everything = [s for sentences in SENTENCES.values() for s in sentences]
    many = [r.choice(everything) for _ in range(150)]
    made["mixed-1"] = {"hypotheses": [spoiled(r, s) for s in many], "references": [many]}
    made["mixed-2"] = {"hypotheses": [spoiled(r, s) for s in many], "references": [many, [spoiled(r, s) for s in many]]}
    made["identical"] = {"hypotheses": everything, "references": [everything]}
    made["empty-hypotheses"] = {"hypotheses": [""] * 5, "references": [everything[:5]]}
    made["empty-references"] = {"hypotheses": everything[:5], "references": [[""] * 5]}
    made["all-empty"] = {"hypotheses": [""] * 3, "references": [[""] * 3]}
    made["no-match"] = {"hypotheses": ["a b c d e"], "references": [["v w x y z"]]}
    made["one-short"] = {"hypotheses": ["a b"], "references": [["a b"]]}
    made["unigrams-only"] = {"hypotheses": ["b a d c"], "references": [["a b c d e f"]]}
    made["long"] = {"hypotheses": [" ".join(r.choice("abcdefgh") for _ in range(3000))], "references": [[" ".join(r.choice("abcdefgh") for _ in range(3000))]]}
    return made


BLEU_SETTINGS = [
    {}, {"tokenize": "intl"}, {"tokenize": "char"}, {"tokenize": "zh"}, {"tokenize": "none"}, {"lowercase": True}, {"smooth": "floor"},
    {"smooth": "add-k"}, {"smooth": "none"}, {"smooth": "floor", "smooth_value": 0.5}, {"smooth": "add-k", "smooth_value": 2}, {"effective_order": True},
    {"tokenize": "intl", "lowercase": True}, {"tokenize": "zh", "smooth": "add-k", "effective_order": True}]
CHRF_SETTINGS = [("chrf", {}), ("chrf++", {}), ("chrf", {"lowercase": True}), ("chrf", {"whitespace": True}), ("chrf", {"beta": 1, "char_order": 4, "word_order": 1})]


def metric_of(name, settings):
    if name == "bleu":
        arguments = {{"smooth": "smooth_method"}.get(key, key): value for key, value in settings.items()}
        return BLEU(tokenize=arguments.pop("tokenize", "13a"), **arguments)
    if name == "ter":
        return TER(**settings)
    return CHRF(**({"word_order": 2} if name == "chrf++" else {}), **settings)


def case_of(corpus, texts, name, settings, confidence=0):
    metric = metric_of(name, settings)
    score = metric.corpus_score(texts["hypotheses"], texts["references"], n_bootstrap=max(confidence, 1))
    case = {"corpus": corpus, "metric": name, "settings": settings, "score": float(score.score), "printed": f"{score.score:.1f}",
            "signature": str(metric.get_signature()), "line": score.format(width=2, signature=str(metric.get_signature()))}
    if name == "bleu":
        case |= {"precisions": [float(p) for p in score.precisions], "bp": score.bp, "lengths": [score.sys_len, score.ref_len]}
    if confidence > 1:
        stats = metric._extract_corpus_statistics(texts["hypotheses"], texts["references"])
        scores = sorted(float(s.score) for s in _bootstrap_resample(stats, metric, confidence)[1])
        cut = len(scores) // 40
        case |= {"samples": confidence, "mean": float(score._mean), "half_width": float(score._ci), "low": scores[cut], "high": scores[len(scores) - cut - 1]}
    return case


def main():
    texts = corpora()
    cases = []
    for corpus in texts:
        settings = BLEU_SETTINGS if corpus != "long" else BLEU_SETTINGS[:2]
        cases += [case_of(corpus, texts[corpus], "bleu", s) for s in settings]
        cases += [case_of(corpus, texts[corpus], name, s) for name, s in CHRF_SETTINGS]
        if corpus != "long":
            cases += [case_of(corpus, texts[corpus], "ter", s) for s in ({}, {"case_sensitive": True}, {"normalized": True}, {"normalized": True, "asian_support": True},
                                                                       {"no_punct": True, "asian_support": True})]
    for corpus in ("latin-1", "chinese-3", "mixed-1", "mixed-2", "all-empty", "one-short"):
        for name, s, samples in (("bleu", {}, 1000), ("bleu", {"tokenize": "zh", "smooth": "floor"}, 300), ("bleu", {"smooth": "add-k"}, 101),
                                 ("chrf", {}, 1000), ("chrf++", {}, 200), ("ter", {}, 1000)):
            cases.append(case_of(corpus, texts[corpus], name, s, samples))
    drawn = {}
    for count in (1, 2, 3, 7, 100, 1000, 2**31 + 1, 3000000000):
        drawn[str(count)] = [int(i) for i in numpy.random.default_rng(12345).choice(count, size=40, replace=True)]
    drawn_seed = [int(i) for i in numpy.random.default_rng(2**40 + 5).integers(0, 1000, size=20)]
    OUT.write_text(json.dumps({"sacrebleu": sacrebleu.__version__, "numpy": numpy.__version__, "seed": SEED, "corpora": texts, "cases": cases, "drawn": drawn,
                               "drawn_large_seed": drawn_seed}, ensure_ascii=True, separators=(",", ":")) + "\n")
    print(len(cases), "cases")


main()
