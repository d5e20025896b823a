"""Makes the models of tests/golden/{mbart25,mbart50,marian,marian_separate} and what transformers computes with them: model folders,
forward.safetensors, forward.json and decode.json.

Encoder and decoder differ in depth, heads and widths, and no width is a power of two. Each model is trained for a moment to translate word by word,
over the ids of its own tokenizer, so that it ends sentences and is unsure in interesting ways. Run after family_tokenizers.py from the root of the
source tree, in an environment with torch 2.11, transformers 5.17 and sentencepiece:
    python tests/golden/make/families.py [NAME...]
"""
import json
import random
import sys
from pathlib import Path

import sentencepiece
import torch
import transformers
from models import loss_sum, padded, ragged
from safetensors.torch import save_file
from tokenizer_ids import WORDS
from transformers import MarianConfig, MarianMTModel, MBartConfig, MBartForConditionalGeneration

OUT = Path("tests/golden")
SEED = 30
EPSILON = 0.1
BEAMS, MAX_LENGTH = 5, 26
SIZES = {
    "mbart50": dict(d_model=30, encoder_layers=3, decoder_layers=2, encoder_attention_heads=3, decoder_attention_heads=5, encoder_ffn_dim=44,
                    decoder_ffn_dim=52, activation_function="relu"),
    "mbart25": dict(d_model=18, encoder_layers=1, decoder_layers=3, encoder_attention_heads=3, decoder_attention_heads=2, encoder_ffn_dim=36,
                    decoder_ffn_dim=28, activation_function="gelu"),
    "marian": dict(d_model=36, encoder_layers=2, decoder_layers=3, encoder_attention_heads=2, decoder_attention_heads=3, encoder_ffn_dim=40,
                   decoder_ffn_dim=50, activation_function="swish"),
    # An odd width: one sine more than cosines.
    "marian_separate": dict(d_model=21, encoder_layers=3, decoder_layers=1, encoder_attention_heads=3, decoder_attention_heads=7, encoder_ffn_dim=30,
                            decoder_ffn_dim=34, activation_function="relu"),
}
COMMON = dict(max_position_embeddings=64, dropout=0.1, attention_dropout=0.0, activation_dropout=0.0, encoder_layerdrop=0.0, decoder_layerdrop=0.0,
              scale_embedding=True)


def word_pairs(source, target):
    return list(zip(WORDS[source].split(), WORDS[target].split()))


class MBart:
    """Ids of mBART's tokenizer; languages follow after the pieces in the order of tokenizer_ids.json."""

    def __init__(self, name):
        self.name, self.suffix = name, name == "mbart25"
        self.pieces = sentencepiece.SentencePieceProcessor(model_file=str(OUT / name / "sentencepiece.bpe.model"))
        self.languages = json.loads((OUT / name / "tokenizer_ids.json").read_text())["languages"]
        self.pad, self.eos = 1, 2
        self.source, self.target = self.languages["en_XX"], self.languages["de_DE"]
        self.words = word_pairs("en", "de")
        self.wrong_target = self.languages["ru_RU"]  # not what the model was taught
        self.vocabulary = max(self.languages.values()) + 2

    def sequence(self, words, language):
        ids = [3 if i == 0 else i + 1 for i in self.pieces.encode(" ".join(words))]
        return ids + [self.eos, language] if self.suffix else [language] + ids + [self.eos]

    def pair(self, words):
        return self.sequence([w for w, _ in words], self.source), self.sequence([w for _, w in words], self.target)

    def make(self):
        start = {} if self.suffix else {"decoder_start_token_id": self.eos}
        return MBartForConditionalGeneration(MBartConfig(vocab_size=self.vocabulary, pad_token_id=self.pad, bos_token_id=0, eos_token_id=self.eos,
                                                         forced_eos_token_id=self.eos, **start, **COMMON, **SIZES[self.name]))

    def searches(self):
        if self.suffix:
            return [{"decoder_start_token_id": self.target}, {"decoder_start_token_id": self.wrong_target}]
        return [{"forced_bos_token_id": self.target}, {"forced_bos_token_id": self.wrong_target}]


class Marian:
    def __init__(self, name):
        self.name, self.separate = name, name == "marian_separate"
        folder = OUT / name
        self.source_pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "source.spm"))
        self.target_pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "target.spm"))
        self.source_ids = json.loads((folder / "vocab.json").read_text())
        self.target_ids = json.loads((folder / "target_vocab.json").read_text()) if self.separate else self.source_ids
        self.pad, self.eos = self.target_ids["<pad>"], 0
        self.words = word_pairs("en", "de")

    def pair(self, words):
        source = [self.source_ids.get(p, 1) for p in self.source_pieces.encode(" ".join(w for w, _ in words), out_type=str)]
        target = [self.target_ids.get(p, 1) for p in self.target_pieces.encode(" ".join(w for _, w in words), out_type=str)]
        return ([] if self.separate else [self.source_ids[">>deu<<"]]) + source + [self.eos], target + [self.eos]

    def make(self):
        # The encoder of transformers takes pad's id for a row of its own table, so that table has as many rows at least.
        rows = max(len(self.source_ids), self.pad + 1)
        more = dict(share_encoder_decoder_embeddings=False, decoder_vocab_size=len(self.target_ids)) if self.separate else {}
        return MarianMTModel(MarianConfig(vocab_size=rows, pad_token_id=self.pad, eos_token_id=self.eos, bos_token_id=self.eos,
                                          forced_eos_token_id=self.eos, decoder_start_token_id=self.pad, **more, **COMMON, **SIZES[self.name]))

    def searches(self):
        return [{"bad_words_ids": [[self.pad]]}]


def inputs(pairs, pad):
    source, labels = padded([s for s, _ in pairs], pad), padded([t for _, t in pairs], -100)
    mask = padded([[1] * len(s) for s, _ in pairs], 0)
    return dict(input_ids=source, attention_mask=mask, labels=labels)


def make_model(family):
    torch.manual_seed(SEED)
    model = family.make()
    pad = family.pad
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name and name.endswith("weight"):
                parameter.normal_(1.0, 0.1)
            elif name.endswith("bias"):
                parameter.normal_(0.0, 0.1)
            elif "embed_positions" in name:
                if parameter.requires_grad:  # mBART's; Marian's are fixed
                    parameter.normal_(0.0, 0.3)
            elif parameter.dim() == 2 and ("shared" in name or "embed_tokens" in name or "lm_head" in name):
                parameter.normal_(0.0, parameter.shape[1] ** -0.5)
                parameter[pad].zero_()
            else:
                torch.nn.init.xavier_uniform_(parameter)
        if isinstance(family, Marian):
            model.final_logits_bias.normal_(-0.4, 0.5)
            model.final_logits_bias[0, pad] = 0.0
    draw = random.Random(SEED)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=4e-3, weight_decay=0.0)
    model.eval()  # no dropout: only the sizes matter here
    for _ in range(160):
        arguments = inputs([family.pair(draw.choices(family.words, k=draw.randrange(1, 6))) for _ in range(12)], pad)
        loss = loss_sum(model(**arguments).logits, arguments["labels"], EPSILON) / (arguments["labels"] != -100).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if isinstance(family, Marian):
        model.final_logits_bias[0, pad] = 5.0  # so that a search which may choose pad does
    print(family.name, "loss", loss.item(), "parameters", sum(p.numel() for p in model.parameters() if p.requires_grad))
    return model


def forward(model, pairs, folder, made, pad):
    arguments = inputs(pairs, pad)
    labels = arguments["labels"]
    sources, targets = [len(s) for s, _ in pairs], [len(t) for _, t in pairs]
    count = sum(targets)
    kept = {"source_ids": torch.cat([torch.tensor(s) for s, _ in pairs]), "labels": torch.cat([torch.tensor(t) for _, t in pairs])}
    encoded = model.model.encoder(input_ids=arguments["input_ids"], attention_mask=arguments["attention_mask"]).last_hidden_state
    kept["encoder_states"] = ragged(encoded, sources)
    out = model(**arguments)
    kept["logits"] = ragged(out.logits, targets)
    kept["label_losses"] = torch.nn.functional.cross_entropy(kept["logits"], kept["labels"], reduction="none")
    log_p = torch.log_softmax(kept["logits"].double(), -1)
    other = EPSILON / (log_p.shape[-1] - 1)  # fairseq's way: spread over the other classes
    own = log_p.gather(1, kept["labels"][:, None])[:, 0]
    losses = {"plain": out.loss.item() * count, "torch_smoothing": loss_sum(out.logits, labels, EPSILON).item(),
              "fairseq_smoothing": (-(1 - EPSILON - other) * own - other * log_p.sum(-1)).sum().item(), "epsilon": EPSILON, "labels": count}
    model.zero_grad()
    (loss_sum(model(**arguments).logits, labels, EPSILON) / count).backward()
    for parameter, tensor in model.named_parameters():
        if isinstance(model, MarianMTModel) and "embed_positions" in parameter:
            assert tensor.grad is None  # fixed
            continue
        kept[f"gradient.smoothed.{parameter}"] = tensor.grad.clone()
    if isinstance(model, MarianMTModel):
        kept["sinusoids"] = model.model.encoder.embed_positions.weight[:40].clone()
    tensors = {name: tensor.detach().contiguous() for name, tensor in kept.items()}
    save_file(tensors, folder / "forward.safetensors", metadata={"made": json.dumps(made)})
    golden = {"made": made, "source_lengths": sources, "target_lengths": targets, "losses": losses}
    (folder / "forward.json").write_text(json.dumps(golden, indent=1) + "\n")


def rows_of(sequences, pad):
    rows = []
    for ids in sequences.tolist():
        while len(ids) > 1 and ids[-1] == pad:
            ids.pop()
        rows.append(ids)
    return rows


def decode(model, family, folder, made):
    draw = random.Random(SEED + 2)
    sources = [family.pair(draw.choices(family.words, k=k))[0] for k in (3, 1, 5, 2, 4, 7)]
    batch = inputs([(s, [0]) for s in sources], family.pad)
    cases, without = [], 0
    for search in family.searches():
        for beams in (1, BEAMS):
            for max_length in (MAX_LENGTH, 7):
                more = {"num_return_sequences": beams, "early_stopping": True, "length_penalty": 1.0} if beams > 1 else {}
                common = dict(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], num_beams=beams, max_length=max_length,
                              do_sample=False, forced_eos_token_id=family.eos, return_dict_in_generate=True, output_scores=True, **more)
                with torch.no_grad():
                    out = model.generate(**common, **search)
                    if "bad_words_ids" in search:
                        without += rows_of(model.generate(**common).sequences, family.pad) != rows_of(out.sequences, family.pad)
                rows, scores = rows_of(out.sequences, family.pad), out.sequences_scores.tolist() if beams > 1 else None
                cases.append({"beam_size": beams, "max_length": max_length, "forced_first": search.get("forced_bos_token_id"),
                              "forced_last": family.eos, "decoder_start": search.get("decoder_start_token_id", model.config.decoder_start_token_id),
                              "ids": [rows[i:i + beams] for i in range(0, len(rows), beams)],
                              "scores": scores and [scores[i:i + beams] for i in range(0, len(scores), beams)]})
    print(family.name, len(cases), "searches;", without, "would have chosen pad")
    assert without or isinstance(family, MBart), "the golden does not tell whether pad is kept out"
    (folder / "decode.json").write_text(json.dumps({"made": made, "sources": sources, "cases": cases}) + "\n")


def main():
    torch.set_num_threads(1)
    made = {"torch": torch.__version__, "transformers": transformers.__version__, "seed": SEED, "maker": "tests/golden/make/families.py"}
    for name in sys.argv[1:] or SIZES:
        family = (MBart if name.startswith("mbart") else Marian)(name)
        folder = OUT / name
        model = make_model(family)
        model.save_pretrained(folder)
        model = type(model).from_pretrained(folder, attn_implementation="eager").eval()
        draw = random.Random(SEED + 1)
        forward(model, [family.pair(draw.choices(family.words, k=k)) for k in (4, 2, 1, 6, 3)], folder, made, family.pad)
        decode(model, family, folder, made)


if __name__ == "__main__":
    main()
