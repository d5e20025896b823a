"""Makes what transformers' generate returns for the tiny model of models.py: tests/golden/m2m100/decode.json (beams, length penalties, kinds of
early stopping), decode_rules.json (lengths, repeated n-grams, penalties, bad words, forced and suppressed tokens, alone and together) and
truncation.json (what its warpers leave of fixed scores). Run after models.py from the root of the source tree, in an environment with torch 2.11
and transformers 5.17:
    python tests/golden/make/decode.py
"""
import json
import random

import torch
from models import EOS, OUT, PAD, SOURCE_CODE, TARGET_CODE, made_up_pair, padded, versions
from transformers import M2M100ForConditionalGeneration
from transformers.generation.logits_process import (EncoderRepetitionPenaltyLogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper,
                                                    TopPLogitsWarper)

SEED = 22
MAX_LENGTH = 22
NOTHING = -1e8  # the score of a hypothesis that is not there


def without_padding(rows):
    rows = rows.tolist()
    for ids in rows:
        while ids[-1] == PAD:
            ids.pop()
    return rows


def beams_and_stopping(model, sources):
    batch = padded(sources, PAD)
    cases = []
    for beams in (1, 4, 5):
        for penalty in ((1.0,) if beams == 1 else (0.6, 1.0, 1.4)):
            for stopping in ((True,) if beams == 1 else (True, False, "never")):
                for forced in (None, SOURCE_CODE):  # not the one that the model was taught
                    for max_length in ((MAX_LENGTH,) if beams != 5 or penalty != 1.0 else (MAX_LENGTH, 7)):
                        more = {} if beams == 1 else {"length_penalty": penalty, "early_stopping": stopping, "num_return_sequences": beams}
                        with torch.no_grad():
                            out = model.generate(input_ids=batch, attention_mask=(batch != PAD).long(), num_beams=beams, max_length=max_length,
                                                 do_sample=False, forced_bos_token_id=forced, return_dict_in_generate=True, output_scores=True, **more)
                        rows = without_padding(out.sequences)
                        scores = out.sequences_scores.tolist() if beams > 1 else None
                        cases.append({"beam_size": beams, "length_penalty": penalty, "early_stopping": {True: "yes", False: "no"}.get(stopping, stopping),
                                      "forced_first": forced, "max_length": max_length,
                                      "ids": [rows[i:i + beams] for i in range(0, len(rows), beams)],
                                      "scores": scores and [scores[i:i + beams] for i in range(0, len(scores), beams)]})
    return cases


def generated(model, sources, settings):
    """ids and scores per source, best first. The scores of a beam are its own; of greedy search the normalised ones of its tokens, summed."""
    beams = settings.get("num_beams", 1)
    ids, scores = [], []
    for source in sources:  # one by one: the penalty of source tokens would see the padding of the others
        batch = torch.tensor([source])
        more = dict(settings)
        # For beams the reference applies this penalty to the first rows of the batch only; here to every beam, by its own class.
        penalty = more.pop("encoder_repetition_penalty", None)
        processors = [EncoderRepetitionPenaltyLogitsProcessor(penalty, batch.repeat(beams, 1))] if penalty else []
        with torch.no_grad():
            out = model.generate(input_ids=batch, attention_mask=torch.ones_like(batch), do_sample=False, logits_processor=processors,
                                 num_return_sequences=beams, return_dict_in_generate=True, output_scores=True, **more)
        if beams == 1:
            steps = model.compute_transition_scores(out.sequences, out.scores, normalize_logits=True)
            found = [steps.sum().item()]
        else:
            found = out.sequences_scores.tolist()
        kept = [(row, score) for row, score in zip(without_padding(out.sequences), found) if score > NOTHING]
        ids.append([row for row, _ in kept])
        scores.append([score for _, score in kept])
    return ids, scores


def rules(model, sources):
    plain, _ = generated(model, sources, {"max_length": MAX_LENGTH, "forced_bos_token_id": TARGET_CODE})
    common = [row[0] for row in plain]
    bigrams = [row[3:5] for row in common if len(row) > 5]
    singles = [[row[2]] for row in common[:3]]
    begin = sorted({row[2] for row in common})
    grid = {
        "min_length": {"min_length": 11},
        "min_length_1": {"min_length": 2},
        "bigrams": {"no_repeat_ngram_size": 2},
        "unigrams": {"no_repeat_ngram_size": 1},
        "trigrams": {"no_repeat_ngram_size": 3, "repetition_penalty": 0.7},
        "source_unigrams": {"encoder_no_repeat_ngram_size": 1},
        "source_bigrams": {"encoder_no_repeat_ngram_size": 2, "encoder_repetition_penalty": 2.5},
        "penalty": {"repetition_penalty": 1.4},
        "reward": {"repetition_penalty": 0.6},
        "source_penalty": {"encoder_repetition_penalty": 1.7},
        "source_reward": {"encoder_repetition_penalty": 0.6},
        "bad_token": {"bad_words_ids": singles},
        "bad_words": {"bad_words_ids": singles[:1] + bigrams + [[EOS], [EOS, TARGET_CODE], [PAD]]},
        "suppressed": {"suppress_tokens": begin[:2] + [PAD]},
        "not_first": {"begin_suppress_tokens": begin},
        "forced_last": {"forced_eos_token_id": EOS, "max_length": 7},
        "renormalised": {"renormalize_logits": True, "bad_words_ids": singles},
        "renormalised_penalty": {"renormalize_logits": True, "repetition_penalty": 1.2, "min_length": 9},
        "together": {"min_length": 8, "no_repeat_ngram_size": 2, "repetition_penalty": 1.25, "bad_words_ids": singles[:2] + bigrams,
                     "suppress_tokens": begin[2:3], "begin_suppress_tokens": begin[:1], "forced_eos_token_id": EOS, "max_length": 13},
    }
    cases = []
    for name, more in grid.items():
        for beams in (1, 2, 5):
            more_lengths = ((False, -0.7), ("never", 0.0)) if name in ("penalty", "min_length") else ()
            for stopping, penalty in (((None, None),) if beams == 1 else ((True, 1.0), (False, 1.3), ("never", 0.5)) + more_lengths):
                for forced in (TARGET_CODE, None):
                    if forced is None and (beams == 5 or stopping == "never"):
                        continue
                    settings = {"num_beams": beams, "max_length": MAX_LENGTH} | more
                    if beams > 1:
                        settings |= {"early_stopping": stopping, "length_penalty": penalty}
                    if forced is not None:
                        settings["forced_bos_token_id"] = forced
                    ids, scores = generated(model, sources, settings)
                    cases.append({"name": name, "settings": settings, "ids": ids, "scores": [[round(s, 6) for s in row] for row in scores]})
        changed = sum(row != plain[i] for i, row in enumerate(next(c["ids"] for c in cases if c["name"] == name)))
        print(name, "changes", changed, "of", len(plain), "greedy translations")
    return cases


def truncation():
    torch.manual_seed(SEED)
    scores = torch.randn(6, 150) * torch.tensor([[0.3], [1.0], [2.0], [4.0], [8.0], [1.0]])
    scores[5, 40:44] = scores[5].max() + 1  # equal ones at the edge of the greatest three
    scores = scores.round(decimals=4)
    cases = []
    for temperature, top_k, top_p in ((1.0, 0, 1.0), (0.7, 0, 1.0), (1.0, 3, 1.0), (1.0, 1, 1.0), (1.0, 1000, 1.0), (1.0, 0, 0.9), (1.0, 0, 0.3),
                                      (1.0, 0, 0.999), (2.5, 0, 0.8), (0.5, 20, 0.95), (1.3, 5, 0.6), (1.0, 0, 0.001)):
        kept = scores.clone() if top_p == 1.0 else scores[:5].clone()  # which of equal ones top-p leaves is a matter of the sort
        if temperature != 1.0:
            kept = TemperatureLogitsWarper(temperature)(None, kept)
        if top_k:
            kept = TopKLogitsWarper(top_k)(None, kept)
        if top_p < 1.0:
            kept = TopPLogitsWarper(top_p)(None, kept)
        cases.append({"temperature": temperature, "top_k": top_k, "top_p": top_p,
                      "kept": [row.isfinite().nonzero()[:, 0].tolist() for row in kept],
                      "probabilities": [[round(p, 7) for p in row.softmax(0)[row.isfinite()].tolist()] for row in kept]})
    return {"scores": [[round(x, 4) for x in row] for row in scores.tolist()], "cases": cases}


def write(name, content):
    made = versions() | {"seed": SEED, "maker": "tests/golden/make/decode.py"}
    (OUT / name).write_text(json.dumps({"made": made} | content) + "\n")


def main():
    torch.set_num_threads(1)
    model = M2M100ForConditionalGeneration.from_pretrained(OUT, attn_implementation="eager").eval()
    draw = random.Random(SEED)
    sources = [made_up_pair(draw, length)[0] for length in (4, 1, 8, 2, 6, 12)]
    cases = beams_and_stopping(model, sources)
    write("decode.json", {"sources": sources, "cases": cases})
    ruled = rules(model, sources)
    write("decode_rules.json", {"sources": sources, "cases": ruled})
    write("truncation.json", truncation())
    print(len(cases), "cases of beams,", len(ruled), "of rules")


if __name__ == "__main__":
    main()
