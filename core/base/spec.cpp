#include "core/base/spec.h"

#include "core/base/files.h"

namespace permille {

const Fields<DeviceSettings>& DeviceSettings::fields() {
    static const Fields<DeviceSettings> list =
        Fields<DeviceSettings>()
            .add("device", &DeviceSettings::device,
                 "where the model runs: auto, cpu, cuda or cuda:N; auto takes CUDA when the machine has it")
            .add("threads", &DeviceSettings::threads, "CPU threads of one job; 0: all cores", {.min = 0, .max = 4096})
            .add("dtype", &DeviceSettings::dtype,
                 "number format of the matrix work: float32, bfloat16, float16 (on CUDA only), or auto: bfloat16 on CUDA and on CPUs "
                 "that compute in it, otherwise float32; a run records what it was",
                 {.choices = {"float32", "bfloat16", "float16", "auto"}});
    return list;
}

const Fields<TrainingSettings>& TrainingSettings::fields() {
    using T = TrainingSettings;
    static const Fields<T> list =
        Fields<T>()
            .add("updates", &T::updates, "optimiser steps at most", {.min = 1, .unit = "updates"})
            .add("batch_tokens", &T::batch_tokens, "source and target tokens of one batch, padding counted", {.min = 1, .unit = "tokens"})
            .add("accumulate", &T::accumulate, "batches per update", {.min = 1, .unit = "batches"})
            .add("learning_rate", &T::learning_rate, "peak learning rate; 0: the method's own default", {.min = 0, .max = 10})
            .add("schedule", &T::schedule, "how the learning rate falls after the warm-up",
                 {.choices = {"linear", "polynomial", "inverse_sqrt", "cosine", "constant"}})
            .add("schedule_power", &T::schedule_power, "exponent of the polynomial schedule; 1: linear", {.min = 0.1, .max = 10})
            .add("warmup_updates", &T::warmup_updates, "updates over which the learning rate rises to its peak",
                 {.min = 0, .unit = "updates"})
            .add("label_smoothing", &T::label_smoothing, "share of the target probability spread over the vocabulary",
                 {.min = 0, .max = 0.9})
            .add("smoothing_convention", &T::smoothing_convention,
                 "torch: label smoothing over all V classes, as in transformers; fairseq: over the V - 1 others",
                 {.choices = {"torch", "fairseq"}})
            .add("dropout", &T::dropout, "dropout probability of the base while training; -1: the model's own", {.min = -1, .max = 0.95})
            .add("clip_norm", &T::clip_norm, "largest gradient norm of an update; 0: no clipping", {.min = 0})
            .add("optimiser", &T::optimiser,
                 "adamw (Loshchilov and Hutter 2019) or adafactor (Shazeer and Stern 2018, given learning rate); default: the method's own",
                 {.choices = {"default", "adamw", "adafactor"}})
            .add("weight_decay", &T::weight_decay, "decoupled weight decay", {.min = 0, .max = 10})
            .add("beta1", &T::beta1, "decay of AdamW's mean of gradients", {.min = 0, .max = 0.9999999})
            .add("beta2", &T::beta2, "decay of AdamW's mean of squared gradients", {.min = 0, .max = 0.9999999})
            .add("epsilon", &T::epsilon, "added to AdamW's denominator", {.min = 1e-16, .max = 1})
            .add("average_decay", &T::average_decay,
                 "decay of the moving average of the trained values, which is validated and kept instead of them; 0: none",
                 {.min = 0, .max = 0.9999999})
            .add("gradient_checkpointing", &T::gradient_checkpointing,
                 "compute each layer again in the backward pass instead of keeping it: the same gradients, less memory, more time")
            .add("tune_lr", &T::tune_lr,
                 "learning rates tried before the run, half a decade apart around the given or default one, chosen by validation loss; 0: "
                 "none",
                 {.min = 0, .max = 15, .unit = "rates"})
            .add("tune_lr_updates", &T::tune_lr_updates, "updates with each learning rate that is tried", {.min = 1, .unit = "updates"})
            .add("teacher", &T::teacher, "a model with the same vocabulary to distil from (folder, bundled or hub name); empty: none")
            .add("teacher_share", &T::teacher_share,
                 "share of the teacher in the loss at the first update, falling linearly to 0 at the last", {.min = 0, .max = 1})
            .add("teacher_temperature", &T::teacher_temperature, "temperature of both distributions while distilling",
                 {.min = 0.05, .max = 100})
            .add("contrast", &T::contrast,
                 "hypotheses of the base for each sentence that are trained against, with the unlikelihood and length-normalised losses of "
                 "T-Few; not part of the usual recipe for translation; 0: none",
                 {.min = 0, .max = 64, .unit = "hypotheses"})
            .add("contrast_by", &T::contrast_by, "how they are found, once, before training: by beam search or by sampling",
                 {.choices = {"beam", "sample"}})
            .add("validate_every", &T::validate_every, "updates between validations; 0: only at the end", {.min = 0, .unit = "updates"})
            .add("valid_sentences", &T::valid_sentences, "the first sentences of the validation split; 0: all",
                 {.min = 0, .unit = "sentences"})
            .add("select_by", &T::select_by, "which validation figure chooses the best checkpoint", {.choices = {"loss", "bleu"}})
            .add("patience", &T::patience, "validations without improvement before stopping; 0: never", {.min = 0, .unit = "validations"})
            .add("checkpoint_every", &T::checkpoint_every, "updates between resumable checkpoints; 0: only when stopped and at the end",
                 {.min = 0, .unit = "updates"});
    return list;
}

Json TrainingSettings::identity() const {
    Json json = fields().to_json(*this);
    json.erase("gradient_checkpointing");
    for (const char* later : {"schedule_power", "smoothing_convention", "optimiser", "average_decay", "tune_lr", "tune_lr_updates",
                              "teacher", "teacher_share", "teacher_temperature", "contrast", "contrast_by"})
        for (const Field& field : fields().list())
            if (field.name == later && json[later] == field.default_value) json.erase(later);
    return json;
}

const Fields<DecodingSettings>& DecodingSettings::fields() {
    using D = DecodingSettings;
    static const Fields<D> list =
        Fields<D>()
            .add("beam_size", &D::beam_size, "hypotheses kept per sentence; 1: greedy search",
                 {.min = 1, .max = 1000, .unit = "hypotheses"})
            .add("length_penalty", &D::length_penalty, "score = log-probability / length^penalty; above 1 favours longer translations",
                 {.min = -10, .max = 10})
            .add("max_length", &D::max_length, "longest translation, start token included", {.min = 2, .max = 100000, .unit = "tokens"})
            .add("batch_tokens", &D::batch_tokens, "source tokens times beam of one batch; changes speed and memory only",
                 {.min = 1, .unit = "tokens"})
            .add("early_stopping", &D::early_stopping,
                 "a sentence is done: true: with as many translations as the beam; false: when no better one is likely; never: when none "
                 "is possible",
                 {.choices = {"true", "false", "never"}})
            .add("min_length", &D::min_length, "shortest translation, start token included", {.min = 0, .max = 100000, .unit = "tokens"})
            .add("no_repeat_ngram_size", &D::no_repeat_ngram_size, "no n-gram of this size twice in a translation; 0: off",
                 {.min = 0, .max = 1000, .unit = "tokens"})
            .add("encoder_no_repeat_ngram_size", &D::encoder_no_repeat_ngram_size, "no n-gram of this size that is in the source; 0: off",
                 {.min = 0, .max = 1000, .unit = "tokens"})
            .add("repetition_penalty", &D::repetition_penalty, "above 1 makes tokens that were used less likely; 1: off",
                 {.min = 0.001, .max = 1000})
            .add("encoder_repetition_penalty", &D::encoder_repetition_penalty, "above 1 makes tokens of the source more likely; 1: off",
                 {.min = 0.001, .max = 1000})
            .add("forced_bos_token_id", &D::forced_bos_token_id,
                 "the token after the start token; -1: the target language's, or the model's", {.min = -1})
            .add("forced_eos_token_id", &D::forced_eos_token_id, "the token at the greatest length; -1: the model's", {.min = -1})
            .add("bad_words_ids", &D::bad_words_ids,
                 "token sequences that never come up, such as [[5], [17, 4]], beside those of the model")
            .add("sample", &D::sample, "draw tokens at random instead of searching; the beam is not used")
            .add("temperature", &D::temperature, "sampling: above 1 more varied, below 1 closer to the most probable",
                 {.min = 0.001, .max = 1000})
            .add("top_k", &D::top_k, "sampling: only from this many most probable tokens; 0: all", {.min = 0, .unit = "tokens"})
            .add("top_p", &D::top_p, "sampling: only from the most probable tokens that together have this probability; 1: all",
                 {.min = 0.000001, .max = 1})
            .add("sample_seed", &D::sample_seed, "sampling: the same seed draws the same translations", {.min = 0});
    return list;
}

Json generation_config(const std::filesystem::path& folder) {
    for (const char* name : {"generation_config.json", "config.json"})
        if (std::filesystem::exists(folder / name)) return read_json(folder / name);
    return Json::object();
}

DecodingSettings DecodingSettings::of_model(const std::filesystem::path& folder) {
    DecodingSettings settings;
    const Json file = generation_config(folder);
    const auto named = [&](const char* name) { return file.is_object() && file.contains(name) && !file[name].is_null(); };
    const std::string where = (folder / "generation_config.json").string();
    // A file that names a beam describes a search, one that asks for sampling a sampling: what it leaves out of it is Hugging Face's
    // default.
    if (named("num_beams")) settings.early_stopping = "false";
    if (named("do_sample") && file["do_sample"] == true) settings.top_k = 50;
    const std::pair<const char*, const char*> other_names[] = {{"num_beams", "beam_size"}, {"do_sample", "sample"}};
    for (const auto& [theirs, ours] : other_names)
        if (named(theirs)) fields().apply(settings, Json{{ours, file[theirs]}}, where);
    for (const char* name :
         {"length_penalty", "max_length", "early_stopping", "min_length", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size",
          "repetition_penalty", "encoder_repetition_penalty", "temperature", "top_k", "top_p"})
        if (named(name)) fields().apply(settings, Json{{name, file[name]}}, where);
    // New tokens do not count the start token.
    const std::pair<const char*, const char*> new_tokens[] = {{"max_new_tokens", "max_length"}, {"min_new_tokens", "min_length"}};
    for (const auto& [theirs, ours] : new_tokens)
        if (named(theirs) && file[theirs].is_number_integer())
            fields().apply(settings, Json{{ours, file[theirs].get<std::int64_t>() + 1}}, where);
    return settings;
}

const Fields<EvaluationSettings>& EvaluationSettings::fields() {
    using E = EvaluationSettings;
    static const Fields<E> list =
        Fields<E>()
            // Which there are is for the table of metrics to say, which this room does not know: core/metrics/evaluation.h.
            .add("metric", &E::metric, "the main figure")
            .add("tokenize", &E::tokenize, "BLEU tokeniser; auto: by target language")
            .add("test_sentences", &E::test_sentences, "the first sentences of the test split; 0: all", {.min = 0, .unit = "sentences"});
    return list;
}

namespace {

struct TopFields {
    std::string study, base, corpus, source_language, target_language, method;
    std::int64_t train_sentences = 0, seed = 1;
};

const Fields<TopFields>& top_fields() {
    static const Fields<TopFields> list = Fields<TopFields>()
                                              .add("study", &TopFields::study, "name of the study")
                                              .add("base", &TopFields::base, "base model")
                                              .add("corpus", &TopFields::corpus, "named corpus")
                                              .add("source_language", &TopFields::source_language, "language to translate from")
                                              .add("target_language", &TopFields::target_language, "language to translate into")
                                              .add("method", &TopFields::method, "method id, or none")
                                              .add("train_sentences", &TopFields::train_sentences, "training sentences; 0: all", {.min = 0})
                                              .add("seed", &TopFields::seed, "seed of the run");
    return list;
}

}  // namespace

std::optional<Budget> RunSpec::budget() const {
    return budget_percent ? std::optional(Budget(*budget_percent, Budget::Unit::percent, budget_at_most)) : std::nullopt;
}

Json RunSpec::to_json() const {
    Json json = top_fields().to_json({study, base, corpus, source_language, target_language, method, train_sentences, seed});
    json["method_settings"] = method_settings;
    json["budget_percent"] = budget_percent ? Json(*budget_percent) : Json();
    if (budget_at_most) json["budget_at_most"] = true;
    json["training"] = TrainingSettings::fields().to_json(training);
    json["decoding"] = DecodingSettings::fields().to_json(decoding);
    json["evaluation"] = EvaluationSettings::fields().to_json(evaluation);
    return json;
}

RunSpec RunSpec::from_json(const Json& json, const std::string& where) {
    if (!json.is_object()) throw Error(ErrorKind::config, where, "expected an object that describes a run");
    RunSpec spec;
    Json top = Json::object();
    for (const auto& [name, value] : json.items()) {
        if (name == "method_settings") {
            if (!value.is_object()) throw Error(ErrorKind::config, where + "/" + name, "expected an object of knobs and values");
            spec.method_settings = value;
        } else if (name == "budget_percent") {
            if (value.is_null()) continue;
            if (!value.is_number()) throw Error(ErrorKind::config, where + "/" + name, value.dump() + " is not a number");
            spec.budget_percent = value.get<double>();
        } else if (name == "budget_at_most") {
            if (!value.is_boolean()) throw Error(ErrorKind::config, where + "/" + name, value.dump() + " is neither true nor false");
            spec.budget_at_most = value.get<bool>();
        } else if (name == "training") {
            spec.training = TrainingSettings::fields().parse(value, where + "/training");
        } else if (name == "decoding") {
            spec.decoding = DecodingSettings::fields().parse(value, where + "/decoding");
        } else if (name == "evaluation") {
            spec.evaluation = EvaluationSettings::fields().parse(value, where + "/evaluation");
        } else {
            top[name] = value;
        }
    }
    const TopFields plain = top_fields().parse(top, where);
    spec.study = plain.study;
    spec.base = plain.base;
    spec.corpus = plain.corpus;
    spec.source_language = plain.source_language;
    spec.target_language = plain.target_language;
    spec.method = plain.method;
    spec.train_sentences = plain.train_sentences;
    spec.seed = plain.seed;
    return spec;
}

std::string RunSpec::key() const {
    // The study's name is not part of the experiment, nor is what changes only speed. A field that is added to a settings struct later must
    // be left out here while it has the value that older versions acted by, or finished runs would be done again.
    Json json = to_json();
    json.erase("study");
    json["decoding"].erase("batch_tokens");
    json["training"] = training.identity();
    json["training"].erase("checkpoint_every");
    for (const Field& field : DecodingSettings::fields().list()) {
        const bool always = field.name == "beam_size" || field.name == "length_penalty" || field.name == "max_length";
        if (always || !json["decoding"].contains(field.name)) continue;
        if (json["decoding"][field.name] == field.default_value) json["decoding"].erase(field.name);
    }
    if (untouched()) {
        for (const char* unused : {"training", "train_sentences", "seed", "method_settings", "budget_percent", "budget_at_most"})
            json.erase(unused);
    }
    // Sorted keys: the order in which somebody wrote the knobs does not matter.
    const auto sorted = nlohmann::json::parse(json.dump(-1, ' ', false, Json::error_handler_t::replace));
    return sha256(sorted.dump()).substr(0, 32);
}

}  // namespace permille
