// What a run is: plain values that the command line, the window, the study file and the database share. Knows no torch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/base/budget.h"
#include "core/base/fields.h"
#include "core/base/json.h"

namespace permille {

// Where and how a model runs.
struct DeviceSettings {
    std::string device = "auto";    // auto, cpu, cuda, cuda:N; auto takes CUDA when the machine has it
    std::int64_t threads = 0;       // CPU threads of one job; 0: all cores
    std::string dtype = "float32";  // of the matrix work: float32, bfloat16, float16 (CUDA only), auto
    static const Fields<DeviceSettings>& fields();
};

struct TrainingSettings {
    std::int64_t updates = 1000;       // optimiser steps at most
    std::int64_t batch_tokens = 2000;  // source + target tokens of one batch, padding counted
    std::int64_t accumulate = 1;       // batches per update
    double learning_rate = 0;          // 0: the method's own default
    std::string schedule = "linear";   // linear, polynomial, inverse_sqrt, cosine, constant; all after a linear warm-up
    double schedule_power = 1.0;       // polynomial: (1 - past)^power; 1 is linear
    std::int64_t warmup_updates = 50;
    double label_smoothing = 0.1;
    std::string smoothing_convention = "torch";  // torch: epsilon / V on every class; fairseq: epsilon / (V - 1) on the others
    double dropout = -1;                         // -1: the model's own
    double clip_norm = 1.0;                      // 0: no clipping
    std::string optimiser = "default";           // adamw, adafactor; default: the method's own
    double weight_decay = 0.0;
    double beta1 = 0.9, beta2 = 0.98, epsilon = 1e-6;
    double average_decay = 0;             // of the exponential moving average that is validated and kept; 0: none
    bool gradient_checkpointing = false;  // changes memory and time only
    std::int64_t tune_lr = 0;             // learning rates tried before the run; 0: none
    std::int64_t tune_lr_updates = 100;   // of each trial
    std::string teacher;                  // model to distil from; "": none
    double teacher_share = 0.5;           // of its part of the loss at the first update; falls linearly to 0 at the last
    double teacher_temperature = 1.0;
    std::int64_t contrast = 0;            // wrong translations of each sentence to train against; 0: none
    std::string contrast_by = "beam";     // how the base finds them: beam, sample
    std::int64_t validate_every = 200;    // updates; 0: only at the end
    std::int64_t valid_sentences = 500;   // the first of the validation split; 0: all
    std::string select_by = "loss";       // which validation figure chooses the best checkpoint: loss, bleu
    std::int64_t patience = 0;            // validations without improvement before stopping; 0: never
    std::int64_t checkpoint_every = 200;  // updates between resumable checkpoints; 0: only when stopped and at the end
    static const Fields<TrainingSettings>& fields();
    // What tells two trainings apart: without what changes only speed or memory, and without a field that came later while it has the value
    // by which earlier versions acted, so that their runs and checkpoints stay what they were.
    Json identity() const;
};

// Under the names of Hugging Face's generation_config.json where it has them. What holds when several speak: what the user gave, then for a
// single translation the model's own file (of_model), then these defaults. A study does the same for all its bases: its settings and these
// defaults only. Lists of forbidden and forced tokens in the model's file hold in either case (core/decode/search.h).
struct DecodingSettings {
    std::int64_t beam_size = 5;
    double length_penalty = 1.0;          // score = log-probability / length^penalty, length as Hugging Face counts it
    std::int64_t max_length = 200;        // tokens, start token included
    std::int64_t batch_tokens = 4000;     // source tokens x beam of one batch
    std::string early_stopping = "true";  // true, false, never, as Hugging Face defines them
    std::int64_t min_length = 0;          // tokens, start token included
    std::int64_t no_repeat_ngram_size = 0, encoder_no_repeat_ngram_size = 0;
    double repetition_penalty = 1.0, encoder_repetition_penalty = 1.0;
    std::int64_t forced_bos_token_id = -1, forced_eos_token_id = -1;  // -1: what the model and the target language ask for
    std::string bad_words_ids;                                        // "[[5], [17, 4]]": beside those of the model
    bool sample = false;                                              // draw tokens instead of searching
    double temperature = 1.0;
    std::int64_t top_k = 0;
    double top_p = 1.0;
    std::int64_t sample_seed = 1;
    static const Fields<DecodingSettings>& fields();
    // The defaults with what the model's file says. Throws Error(config) naming file and field.
    static DecodingSettings of_model(const std::filesystem::path& folder);
};

// generation_config.json of a model folder; where there is none, config.json, which held these fields in older checkpoints; else an empty
// object.
Json generation_config(const std::filesystem::path& folder);

struct EvaluationSettings {
    std::string metric = "bleu";      // the main figure: an id of the table of metrics (core/metrics/evaluation.h)
    std::string tokenize = "auto";    // how metrics that ask for it cut text into words; auto: by target language
    std::int64_t test_sentences = 0;  // the first of the test split; 0: all
    static const Fields<EvaluationSettings>& fields();
};

// One run of a study: everything that is needed to repeat it.
struct RunSpec {
    static constexpr const char* kUntouched = "none";  // in place of a method: the base as it is, only evaluated

    std::string study;                             // name, "" for a single run
    std::string base;                              // folder, bundled name or hub name
    std::string corpus;                            // a named corpus of the database
    std::string source_language, target_language;  // as the model spells them, or their unambiguous short form
    std::string method;                            // id of the method table, or kUntouched
    Json method_settings = Json::object();         // knobs of the method
    std::optional<double> budget_percent;          // of the base's parameters; the method's size knob is solved from it
    bool budget_at_most = false;                   // the budget may not be exceeded; otherwise the nearest size is taken
    std::int64_t train_sentences = 0;              // the first of the training split; 0: all
    std::int64_t seed = 1;
    TrainingSettings training;
    DecodingSettings decoding;
    EvaluationSettings evaluation;

    bool untouched() const { return method == kUntouched; }
    std::string pair() const { return source_language + "-" + target_language; }
    std::optional<Budget> budget() const;
    Json to_json() const;
    static RunSpec from_json(const Json& json, const std::string& where);
    // Two runs with the same key are the same experiment: a study started again skips what is finished. Stable across program versions.
    std::string key() const;
};

}  // namespace permille
