"""Measures Permille's training and decoding beside Hugging Face (and CTranslate2) on the same model folder, text and torch.

Both sides are loaded and warmed up, then measured in turns; what is printed are ratios of their speeds (minimum, median, maximum), the peak memory of
both after loading and warm-up, and the share of the matrix work that this machine could do in the time (measured with a matrix product). Speeds are
in non-padding source + target tokens or sentences per second of CPU time of one thread by default, and of time on the wall with several threads and
on a card (`--device cuda:0`), whose memory is measured there. `make` makes the model with random weights alone. `memory` measures Permille alone: what opening a
checkpoint costs, what two processes share of it, and the peaks of translating and training beside the estimates of `permille info --memory`. Needs
the packages of tests/golden/make/requirements.txt; `packaging/reference-python` makes such an environment and prints its python. Examples, from the
root of the source tree:

    python tests/bench/compare.py training --method lora --against best
    python tests/bench/compare.py training --method bottleneck --against trainer --model FOLDER --text pairs.tsv --source en --target de
    python tests/bench/compare.py decoding --beam 5 --against hf --dtype bfloat16
    python tests/bench/compare.py decoding --shape 418M --sentences 8 --min-length 20 --max-length 20 --against ctranslate2
    python tests/bench/compare.py decoding --against alone --adapters 4 --sentences 1 --model resources/bases/permille-small
    python tests/bench/compare.py memory --shape 418M
    python tests/bench/compare.py make --shape 418M --dtype bfloat16 --model FOLDER

`--against alone` measures adapters that share their batches against the same ones, one after the other.
"""
import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["training", "decoding", "memory", "make"])
    parser.add_argument("--against", choices=["best", "trainer", "hf", "ctranslate2", "alone"],
                        help="best: a tuned loop; trainer: Seq2SeqTrainer's defaults; alone: the adapters one after the other")
    parser.add_argument("--programs", default="build/release/bench", help="folder of the benches; the program is in bin beside it")
    parser.add_argument("--model", help="a model folder; without it one with random weights is made")
    parser.add_argument("--shape", default="512,6,2048,32109", help="width, layers, feed-forward width and vocabulary of the random model, or 418M")
    parser.add_argument("--text", help="source TAB target lines; without it random sentences of the usual lengths")
    parser.add_argument("--source", help="source language of the text, as the tokenizer spells it")
    parser.add_argument("--target")
    parser.add_argument("--pairs", type=int, default=4000)
    parser.add_argument("--method", choices=["full", "bitfit", "bottleneck", "lora", "none"])
    parser.add_argument("--adapters", type=int, default=1, help="of the method; every sentence is decoded with each of them")
    parser.add_argument("--batch-tokens", type=int, default=2000)
    parser.add_argument("--updates", type=int, default=20, help="of one measurement, a multiple of 10")
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--sentences", type=int, default=64)
    parser.add_argument("--max-length", type=int, default=25)
    parser.add_argument("--min-length", type=int, default=0, help="the same as --max-length: all sides do the same steps, whatever the weights")
    parser.add_argument("--tasks", default="translate,lora", help="of memory: translate and ids of methods")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda:N against best and hf")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.against = given.against or ("best" if given.what == "training" else "hf")
    given.method = given.method or ("lora" if given.what == "training" or given.against == "alone" else "none")
    if given.what == "training" and (given.method == "none" or given.against not in ("best", "trainer")):
        parser.error("training needs a method, against best or trainer")
    given.shape = {"418M": "1024,12,4096,128112"}.get(given.shape, given.shape)
    if given.what == "decoding" and given.against not in ("hf", "ctranslate2", "alone"):
        parser.error("decoding goes against hf, ctranslate2 or alone")
    if given.device != "cpu" and (given.what == "memory" or given.against in ("trainer", "ctranslate2")):
        parser.error("this is measured on the CPU alone")
    if given.what == "make" and not given.model:
        parser.error("make needs --model, the folder to write")
    if given.adapters > 1 and given.against != "alone":
        parser.error("several adapters go against alone")
    return given


# ---- what is measured

def random_model(shape, folder, dtype="float32", device="cpu"):
    import torch
    from transformers import M2M100Config, M2M100ForConditionalGeneration
    torch.manual_seed(1)
    width, layers, ffn, vocabulary = map(int, shape.split(","))
    config = M2M100Config(vocab_size=vocabulary, d_model=width, encoder_layers=layers, decoder_layers=layers, encoder_attention_heads=width // 64 or 1,
                          decoder_attention_heads=width // 64 or 1, encoder_ffn_dim=ffn, decoder_ffn_dim=ffn, max_position_embeddings=1024, dropout=0.1,
                          attention_dropout=0.0, encoder_layerdrop=0.0, decoder_layerdrop=0.0)
    with torch.device(device):
        M2M100ForConditionalGeneration(config).to(getattr(torch, dtype)).save_pretrained(folder)


def token_pairs(given, model, file):
    """Writes a line [source ids, labels] per pair; returns the target language's id, if there is one."""
    if given.text:
        from transformers import AutoTokenizer
        tokenizer = AutoTokenizer.from_pretrained(model, src_lang=given.source, tgt_lang=given.target)
        rows = [line.rstrip("\n").split("\t")[:2] for line in open(given.text, encoding="utf-8") if "\t" in line][:given.pairs]
        coded = tokenizer([s for s, _ in rows], text_target=[t for _, t in rows], truncation=True, max_length=200)
        pairs = list(zip(coded["input_ids"], coded["labels"], strict=True))
    else:
        vocabulary = json.loads((Path(model) / "config.json").read_text())["vocab_size"]
        draw = random.Random(1)
        pairs = []
        for _ in range(given.pairs):
            length = min(120, max(2, int(draw.lognormvariate(3.0, 0.6))))
            sides = [length, max(2, int(length * draw.uniform(0.85, 1.4)))]
            pairs.append([[4] + [draw.randrange(10, vocabulary) for _ in range(n)] + [2] for n in sides])
    Path(file).write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    return pairs[0][1][0] if given.text else None


class Side:
    """A process that is warm and measures when asked."""

    def __init__(self, name, command):
        self.name, self.results = name, []
        environment = os.environ | {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        self.first = self.read()

    def read(self):
        for line in self.process.stdout:
            if line.startswith('{"'):
                return json.loads(line)
        sys.exit(f"{self.name} ended with code {self.process.wait()}")

    def measure(self):
        self.process.stdin.write("again\n")
        self.process.stdin.flush()
        self.results.append(self.read())

    def speeds(self, clock):
        return [result["units"] / result[clock + "_seconds"] for result in self.results]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def matrix_rate(dtype, threads, device):
    """Floating-point operations per second of a large product, the best of several and of both libraries that libtorch carries."""
    import torch
    torch.set_num_threads(threads)
    if device != "cpu":
        return card_matrix_rate(dtype, device)
    a, b = (torch.randn(1024, 1024, dtype=getattr(torch, dtype)) for _ in range(2))
    products = [lambda: torch.mm(a, b.t())]
    if torch.backends.mkldnn.is_available():
        products.append(lambda: torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], ""))
    best = 1e9
    for product in products * 15:
        start = time.perf_counter()
        product()
        best = min(best, time.perf_counter() - start)
    return 2 * 1024 ** 3 / best


def card_matrix_rate(dtype, device, size=8192, products=10):
    import torch
    a, b = (torch.randn(size, size, dtype=getattr(torch, dtype), device=device) for _ in range(2))
    best = 1e9
    for _ in range(4):
        torch.cuda.synchronize(device)
        start = time.perf_counter()
        for _ in range(products):
            torch.mm(a, b)
        torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
    del a, b
    torch.cuda.empty_cache()  # the sides, other processes, have the card's memory for themselves
    return 2 * size ** 3 * products / best


def training_work(model, pairs, method):
    """Floating-point operations of the matrix products per source + target token, averaged over the text."""
    c = json.loads((Path(model) / "config.json").read_text())
    d = c["d_model"]
    encoder = c["encoder_layers"] * (4 * d * d + 2 * d * c["encoder_ffn_dim"]) + c["decoder_layers"] * 2 * d * d
    decoder = c["decoder_layers"] * (6 * d * d + 2 * d * c["decoder_ffn_dim"]) + d * c["vocab_size"]
    sources, targets = (sum(len(pair[i]) for pair in pairs) for i in (0, 1))
    return 2 * (3 if method == "full" else 2) * (encoder * sources + decoder * targets) / (sources + targets)


# ---- memory

def memory(given, model):
    """Each figure from a process of its own."""
    bench, program = str(Path(given.programs) / "bench_memory"), str(Path(given.programs).parent / "bin" / "permille")
    pair = [Side("bench_memory", [bench, model, "open", given.dtype]) for _ in range(2)]
    for side in [*pair, pair[0]]:
        side.measure()  # the last time both have the pages
    for side in pair:
        side.close()
    info = json.loads(subprocess.run([program, "info", model, "--memory", "--json", "--dtype", given.dtype], capture_output=True, check=True).stdout)
    report = {"what": "memory", "dtype": given.dtype, "parameters": info["parameters"],
              "checkpoint_bytes": sum(f.stat().st_size for f in Path(model).glob("*.safetensors")),
              "opened": pair[0].first, "after_use_beside_another": pair[0].results[-1], "tasks": {}}
    needs = info["memory"]
    for task in given.tasks.split(","):
        result = subprocess.run([bench, model, task, given.dtype], capture_output=True, check=True, text=True)
        peak, estimate = json.loads(result.stdout)["peak_bytes"], needs["inference_bytes"] if task == "translate" else needs["training_bytes"][task]
        report["tasks"][task] = {"estimate_bytes": estimate, "peak_bytes": peak, "ratio": estimate / peak}
    print(json.dumps(report, indent=1))
    return 0


# ---- the other side, in a process of its own

def serve(once, device="cpu"):
    """`once` ends by reading a number of its result, so that a card is done with it."""
    import torch
    once()
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass  # a system that does not have it: the peak is that since the start
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        if device != "cpu":
            torch.cuda.reset_peak_memory_stats(device)
        cpu, wall = time.process_time(), time.perf_counter()
        result = once()
        if device != "cpu":
            torch.cuda.synchronize(device)
            result["device_peak_bytes"] = torch.cuda.max_memory_allocated(device)
        result |= {"cpu_seconds": time.process_time() - cpu, "wall_seconds": time.perf_counter() - wall} if "cpu_seconds" not in result else {}
        peak = next((line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")), "VmHWM: 0")
        print(json.dumps(result | {"peak_bytes": int(peak.split()[1]) * 1024}), flush=True)


def with_method(model, method):
    """PEFT's LoRA, plain bias tuning, or bottleneck adapters as hooks, with Permille's default sizes."""
    import peft
    import torch
    from torch import nn
    if method == "full":
        return model
    model.requires_grad_(False)
    if method == "lora":
        return peft.get_peft_model(model, peft.LoraConfig(r=8, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="SEQ_2_SEQ_LM"))
    if method == "bitfit":
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.endswith(".bias"))
        return model

    class Adapter(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.norm, self.down, self.up = nn.LayerNorm(width), nn.Linear(width, 64), nn.Linear(64, width)
            nn.init.zeros_(self.up.weight)

        def forward(self, x):
            return x + self.up(torch.relu(self.down(self.norm(x))))

    for layer in [*model.model.encoder.layers, *model.model.decoder.layers]:
        layer.adapter = Adapter(model.config.d_model)
        layer.register_forward_hook(lambda module, _inputs, output: (module.adapter(output[0]), *output[1:]) if isinstance(output, tuple) else module.adapter(output))
    return model


def padded(rows, filler):
    import torch
    longest = max(map(len, rows))
    return torch.tensor([row + [filler] * (longest - len(row)) for row in rows])


def batch_of(pairs, config):
    import torch
    source, labels = padded([p[0] for p in pairs], config.pad_token_id), padded([p[1] for p in pairs], -100)
    start = torch.full((len(pairs), 1), config.decoder_start_token_id)
    decoder = torch.cat([start, labels[:, :-1]], 1)
    return dict(input_ids=source, attention_mask=(source != config.pad_token_id).long(),
                decoder_input_ids=decoder.masked_fill(decoder == -100, config.pad_token_id)), labels


def peer_model(request, dtype="float32", **more):
    """The model in the type that is compared: transformers' own choice is the type of the file, and some are stored in float16."""
    import torch
    from transformers import M2M100ForConditionalGeneration
    return M2M100ForConditionalGeneration.from_pretrained(request["model"], dtype=getattr(torch, dtype), **more).to(request["device"])


def sent(tensor, device):
    """To the device; to a card from pinned memory, without waiting."""
    return tensor if device == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


def best_loop(request, pairs):
    """Batches by length and token budget, SDPA, fused AdamW, no cache; autocast for bfloat16, with float32 weights where they are trained."""
    import torch
    device, frozen = request["device"], request["method"] in ("lora", "bottleneck")
    model = with_method(peer_model(request, request["dtype"] if frozen else "float32", attn_implementation="sdpa"), request["method"]).to(device).train()
    config = model.config
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.0, fused=True)
    batches, batch = [], []
    for pair in sorted(pairs, key=lambda p: (len(p[0]) + len(p[1]), len(p[0]))):
        size = (len(batch) + 1) * (max(len(p[0]) for p in [*batch, pair]) + max(len(p[1]) for p in [*batch, pair]))
        if batch and size > request["batch_tokens"]:
            batches.append(batch)
            batch = []
        batch.append(pair)
    batches.append(batch)
    random.Random(1).shuffle(batches)
    place = 0

    def once():
        nonlocal place
        tokens = 0
        for _ in range(request["updates"]):
            chosen = batches[place % len(batches)]
            place += 1
            given, labels = batch_of(chosen, config)
            given, labels = {name: sent(tensor, device) for name, tensor in given.items()}, sent(labels, device)
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=request["dtype"] == "bfloat16"):
                logits = model(**given, use_cache=False).logits
                loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100, label_smoothing=0.1)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            tokens += sum(len(p[0]) + len(p[1]) for p in chosen)
        return {"units": tokens, "loss": loss.item()}
    serve(once, device)


def trainer_defaults(request, pairs):
    """Seq2SeqTrainer as it comes; only what it needs to run is set."""
    from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments, TrainerCallback

    class Clock(TrainerCallback):
        def on_train_begin(self, *_args, **_more):
            self.cpu, self.wall = time.process_time(), time.perf_counter()

        def on_train_end(self, *_args, **_more):
            self.cpu, self.wall = time.process_time() - self.cpu, time.perf_counter() - self.wall

    class Collator:
        def __init__(self):
            self.tokens = 0

        def __call__(self, features):
            self.tokens += sum(len(f["input_ids"]) + len(f["labels"]) for f in features)
            given, labels = batch_of([[f["input_ids"], f["labels"]] for f in features], config)
            return given | {"labels": labels}

    model = with_method(peer_model(request), request["method"])
    config = model.config
    rows = [{"input_ids": s, "labels": t} for s, t in pairs]

    def once():
        collator, clock = Collator(), Clock()
        with tempfile.TemporaryDirectory() as folder:
            settings = Seq2SeqTrainingArguments(output_dir=folder, max_steps=request["updates"], per_device_train_batch_size=16, save_strategy="no",
                                                report_to=[], disable_tqdm=True, use_cpu=True, label_smoothing_factor=0.1, remove_unused_columns=False,
                                                bf16=request["dtype"] == "bfloat16")
            Seq2SeqTrainer(model=model, args=settings, train_dataset=rows, data_collator=collator, callbacks=[clock]).train()
        return {"units": collator.tokens, "cpu_seconds": clock.cpu, "wall_seconds": clock.wall}
    serve(once)


def generate(request, pairs):
    import torch
    model = peer_model(request, request["dtype"]).eval()
    if request["method"]:
        model = with_method(model, request["method"]).to(request["device"]).eval()
    pad = model.config.pad_token_id
    sources = sorted((p[0] for p in pairs[:request["sentences"]]), key=len, reverse=True)
    batches, batch = [], []
    for source in sources:
        if batch and (len(batch) + 1) * len(batch[0]) * request["beam"] > request["batch_tokens"]:
            batches.append(batch)
            batch = []
        batch.append(source)
    batches.append(batch)

    def once():
        generated = 0
        for rows in batches:
            ids = sent(padded(rows, pad), request["device"])
            with torch.inference_mode():
                out = model.generate(input_ids=ids, attention_mask=(ids != pad).long(), num_beams=request["beam"], max_length=request["max_length"],
                                     min_length=request["min_length"], early_stopping=request["beam"] > 1, forced_bos_token_id=request["forced"],
                                     do_sample=False)
            generated += int((out != pad).sum()) - len(rows)
        return {"units": len(sources), "generated": generated}
    serve(once, request["device"])


def convert(request, _pairs):
    """For CTranslate2, in a process of its own, so that its memory is not counted. A token's name is its id: no tokenizer is needed."""
    from ctranslate2.converters.transformers import M2M100Loader, TransformersConverter

    class Converter(TransformersConverter):
        def load_tokenizer(self, *_arguments, **_more):
            return None

    def set_config(_loader, config, model, _tokenizer):
        config.bos_token, config.eos_token, config.unk_token = str(model.config.bos_token_id), str(model.config.eos_token_id), "3"
        config.decoder_start_token = str(model.config.decoder_start_token_id)

    M2M100Loader.get_vocabulary = lambda _loader, model, _tokenizer: list(map(str, range(model.config.vocab_size)))
    M2M100Loader.set_config = set_config
    Converter(request["model"]).convert(request["converted"], quantization=request["dtype"])


def ctranslate2(request, pairs):
    import ctranslate2 as ct2
    translator = ct2.Translator(request["converted"], device="cpu", compute_type=request["dtype"], intra_threads=request["threads"], inter_threads=1)
    sources = [list(map(str, p[0])) for p in pairs[:request["sentences"]]]
    prefix = [[str(request["forced"])]] * len(sources) if request["forced"] is not None else None
    longest = request["max_length"] - 1

    def once():
        out = translator.translate_batch(sources, target_prefix=prefix, beam_size=request["beam"], max_decoding_length=longest,
                                         min_decoding_length=max(1, request["min_length"] - 1), batch_type="tokens",
                                         max_batch_size=request["batch_tokens"] // request["beam"])
        return {"units": len(sources), "generated": sum(min(len(o.hypotheses[0]) + 1, longest) for o in out)}  # the end is not told
    serve(once)


def worker(request):
    import torch
    import transformers
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(request["threads"])
    pairs = [json.loads(line) for line in open(request["pairs"], encoding="utf-8")]
    {"best": best_loop, "trainer": trainer_defaults, "hf": generate, "ctranslate2": ctranslate2,
     "convert": convert}[request["against"]](request, pairs)


def main():
    given = arguments()
    if given.worker:
        return worker(json.loads(given.worker))
    if given.what == "make":
        return random_model(given.shape, given.model, given.dtype, given.device)
    with tempfile.TemporaryDirectory() as work:
        model = given.model or str(Path(work) / "model")
        if not given.model:
            random_model(given.shape, model)
        if given.what == "memory":
            return memory(given, model)
        file = str(Path(work) / "pairs.jsonl")
        forced = token_pairs(given, model, file)
        pairs = [json.loads(line) for line in open(file, encoding="utf-8")]
        method = None if given.method == "none" else given.method
        settings = {"lora": {"rank": 8, "targets": "qv"}, "bottleneck": {"bottleneck_dim": 64}}.get(given.method, {})
        request = {"model": model, "pairs": file, "method": method, "settings": settings, "batch_tokens": given.batch_tokens, "updates": given.updates,
                   "beam": given.beam, "sentences": given.sentences, "max_length": given.max_length, "min_length": given.min_length, "forced": forced,
                   "device": given.device, "dtype": given.dtype, "threads": given.threads, "against": given.against, "adapters": given.adapters, "mixed": True, "converted": str(Path(work) / "converted")}
        rate, work_per_token = matrix_rate(given.dtype, given.threads, given.device), training_work(model, pairs, given.method)
        if given.against == "ctranslate2":
            subprocess.run([sys.executable, __file__, given.what, "--worker", json.dumps(request | {"against": "convert"})], check=True)
        ours = Side("permille", [str(Path(given.programs) / f"bench_{given.what}"), json.dumps(request)])
        other = Side(given.against, [str(Path(given.programs) / "bench_decoding"), json.dumps(request | {"mixed": False})] if given.against == "alone"
                     else [sys.executable, __file__, given.what, "--worker", json.dumps(request)])
        for _ in range(given.rounds):
            ours.measure()
            other.measure()
        ours.close()
        other.close()
    clock = "cpu" if given.threads == 1 and given.device == "cpu" else "wall"
    peak = "peak_bytes" if given.device == "cpu" else "device_peak_bytes"
    ratios = sorted(a / b for a, b in zip(ours.speeds(clock), other.speeds(clock), strict=True))
    unit = "tokens" if given.what == "training" else "sentences"
    report = {"what": given.what, "method": given.method, "against": given.against, "device": given.device, "dtype": given.dtype, "threads": given.threads, "rounds": given.rounds,
              "unit": f"{unit} per {clock} second", "permille": statistics.median(ours.speeds(clock)), given.against: statistics.median(other.speeds(clock)),
              "ratio": {"min": ratios[0], "median": statistics.median(ratios), "max": ratios[-1]},
              "peak_bytes": {"permille": max(r[peak] for r in ours.results), given.against: max(r[peak] for r in other.results)},
              "machine_flops": rate}
    if given.what == "training":
        report["share_of_matrix_rate"] = {side: report[side] * work_per_token / rate for side in ("permille", given.against)}
    else:
        report["generated_tokens"] = {"permille": ours.results[-1]["generated"], given.against: other.results[-1]["generated"]}
    report["load_average"] = os.getloadavg()[0]
    print(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
