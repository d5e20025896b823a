#!/usr/bin/env python3
"""Writes tied_tables.json: which stored table a model reads in each place when copies of a tied one differ.

Wanted: transformers 5.17.0, torch 2.11.0. A case stores tables full of 0, 1 or 2 under some of the four names (s: model.shared, l: lm_head,
d and e: the two embed_tokens); its answer is the number that encoder, decoder and projection then hold.
"""
import itertools
import json
import pathlib
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file
from transformers import M2M100Config, M2M100ForConditionalGeneration, MarianConfig, MarianMTModel, logging

NAMES = {
    "s": "model.shared.weight",
    "l": "lm_head.weight",
    "d": "model.decoder.embed_tokens.weight",
    "e": "model.encoder.embed_tokens.weight",
}
SIZES = dict(
    vocab_size=6, d_model=4, encoder_layers=1, decoder_layers=1, encoder_attention_heads=1, decoder_attention_heads=1, encoder_ffn_dim=4,
    decoder_ffn_dim=4, max_position_embeddings=8, pad_token_id=1, eos_token_id=2, decoder_start_token_id=2,
)


def cases(model_class, config, letters):
    """{"s0 l1": [0, 0, 1], ...} for every way to store tables under these letters."""
    answers = {}
    with tempfile.TemporaryDirectory() as folder:
        model_class(config).save_pretrained(folder)
        file = pathlib.Path(folder) / "model.safetensors"
        others = {name: tensor for name, tensor in load_file(file).items() if name not in NAMES.values()}
        for numbers in itertools.product((None, 0, 1, 2), repeat=len(letters)):
            stored = {letter: number for letter, number in zip(letters, numbers) if number is not None}
            if not stored:
                continue
            tables = {NAMES[letter]: torch.full((6, 4), float(number)) for letter, number in stored.items()}
            if letters == "dl":  # nothing is shared: the encoder's table is there and has no part in it
                tables[NAMES["e"]] = torch.full((6, 4), 9.0)
            save_file({**others, **tables}, file, {"format": "pt"})
            model = model_class.from_pretrained(folder)
            places = (model.model.encoder.embed_tokens, model.model.decoder.embed_tokens, model.lm_head)
            answers[" ".join(f"{letter}{number}" for letter, number in stored.items())] = [int(place.weight[0, 0]) for place in places]
    return answers


def main():
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.manual_seed(1)
    shared = cases(M2M100ForConditionalGeneration, M2M100Config(**SIZES, init_std=0.02), "slde")
    separate = cases(MarianMTModel, MarianConfig(**SIZES, decoder_vocab_size=6, share_encoder_decoder_embeddings=False), "dl")
    target = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent) / "tied_tables.json"
    lines = [json.dumps(key) + ": {\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in table.items()) + "}"
             for key, table in {"shared": shared, "separate": separate}.items()]
    target.write_text("{" + ",\n".join(lines) + "}\n")


if __name__ == "__main__":
    main()
