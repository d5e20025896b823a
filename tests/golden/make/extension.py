"""Makes tests/golden/tokenizers/extension.json: the vocabulary of tests/support/tiny-base with more pieces and two more languages, put together here
with sentencepiece's own description of its files, and what transformers' M2M100Tokenizer makes of texts with it; and how the library cuts the new
pieces with the old model. Run from the root of the source tree, in an environment with transformers 5.17, sentencepiece 0.2 and protobuf:
    python tests/golden/make/extension.py
"""
import io
import json
import tempfile
from pathlib import Path

import sentencepiece
import transformers
from sentencepiece import sentencepiece_model_pb2
from transformers import AutoTokenizer

BASE, OUT = Path("tests/support/tiny-base"), Path("tests/golden/tokenizers/extension.json")
LINES = ["etxea mendi berde baten gainean dago", "fitxategi guztiak irekitzen ditugu leihoa itxi aurretik", "erabiltzailearen errore mezua ñabarra da",
         "ireki fitxategia eta gorde aldaketak", "leiho berria itxi da", "mendiak eta etxeak berdeak dira", "aldaketak gorde nahi dituzu"]
TEXTS = [*LINES, "apri la porta", "open the file and save the changes", "etxea the house", "", "ñ ñandua", "zzz 打开", "__eu__ etxea", "x __sw__ y"]


def trained_pieces():
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(LINES * 3), model_writer=model, model_type="bpe", vocab_size=90, minloglevel=4,
                                             character_coverage=1.0)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    return [processor.id_to_piece(i) for i in range(3, len(processor))]


def cutter(model):
    """The old model as it cuts a bare string: without the space that it puts before texts."""
    bare = sentencepiece_model_pb2.ModelProto()
    bare.CopyFrom(model)
    bare.normalizer_spec.add_dummy_prefix = False
    bare.normalizer_spec.remove_extra_whitespaces = False
    processor = sentencepiece.SentencePieceProcessor(model_proto=bare.SerializeToString())
    return lambda piece: processor.encode(piece.replace("\u2581", " "), out_type=str)


def main():
    model = sentencepiece_model_pb2.ModelProto.FromString((BASE / "sentencepiece.bpe.model").read_bytes())
    vocabulary = json.loads((BASE / "vocab.json").read_text())
    config = json.loads((BASE / "tokenizer_config.json").read_text())
    cut, old, offered = cutter(model), len(vocabulary), trained_pieces()
    known = {piece.piece for piece in model.pieces}
    added = [piece for piece in offered if piece not in vocabulary]
    assert 20 < len(added) < len(offered)
    parts = [[part for part in cut(piece) if part in known] for piece in added]
    for piece in added:
        vocabulary[piece] = len(vocabulary)
        if piece not in known:
            model.pieces.append(sentencepiece_model_pb2.ModelProto.SentencePiece(piece=piece, score=-float(len(model.pieces))))
    config["additional_special_tokens"].append("__eu__")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "sentencepiece.bpe.model").write_bytes(model.SerializeToString())
        (Path(folder) / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
        (Path(folder) / "tokenizer_config.json").write_text(json.dumps(config))
        tokenizer = AutoTokenizer.from_pretrained(folder)
        cases = []
        for text in TEXTS:
            tokenizer.src_lang = "sw"
            ids = tokenizer(text)["input_ids"]
            cases.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=True)})
        tokens = {token: tokenizer.convert_tokens_to_ids(token) for token in ("__en__", "__it__", "__sw__", "__zu__", "__eu__", "</s>")}
    made = {"transformers": transformers.__version__, "sentencepiece": sentencepiece.__version__, "maker": "tests/golden/make/extension.py"}
    golden = {"made": made, "old_pieces": old, "offered": offered, "added": added, "parts": parts, "tokens": tokens, "cases": cases}
    OUT.write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n")
    print(old, len(added), tokens, [p for p in zip(added, parts)][:12])


if __name__ == "__main__":
    main()
