"""Makes tests/golden/m2m100/decode.json: what transformers' generate returns for the tiny model of models.py, for beams, length penalties and
kinds of early stopping. Run after models.py from the root of the source tree, in an environment with torch 2.11 and transformers 5.17:
    python tests/golden/make/decode.py
"""
import json
import random

import torch
from models import OUT, PAD, SOURCE_CODE, made_up_pair, padded, versions
from transformers import M2M100ForConditionalGeneration

SEED = 22
MAX_LENGTH = 22


def main():
    torch.set_num_threads(1)
    model = M2M100ForConditionalGeneration.from_pretrained(OUT, attn_implementation="eager").eval()
    draw = random.Random(SEED)
    sources = [made_up_pair(draw, length)[0] for length in (4, 1, 8, 2, 6, 12)]
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
                        rows = []
                        for ids in out.sequences.tolist():
                            while ids[-1] == PAD:
                                ids.pop()
                            rows.append(ids)
                        scores = out.sequences_scores.tolist() if beams > 1 else None
                        cases.append({"beam_size": beams, "length_penalty": penalty, "early_stopping": {True: "yes", False: "no"}.get(stopping, stopping),
                                      "forced_first": forced, "max_length": max_length,
                                      "ids": [rows[i:i + beams] for i in range(0, len(rows), beams)],
                                      "scores": scores and [scores[i:i + beams] for i in range(0, len(scores), beams)]})
    made = versions() | {"seed": SEED, "maker": "tests/golden/make/decode.py"}
    (OUT / "decode.json").write_text(json.dumps({"made": made, "sources": sources, "cases": cases}) + "\n")
    print(len(cases), "cases")


if __name__ == "__main__":
    main()
