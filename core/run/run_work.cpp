#include "core/run/run_work.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <malloc.h>
#include <sqlite3.h>
#include <torch/headeronly/version.h>
#include "core/run/translate.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/data/corpus.h"
#include "core/decode/beam.h"
#include "core/metrics/metrics.h"
#include "core/peft/adapter_file.h"
#include "core/run/negatives.h"
#include "core/run/train.h"
#include "core/study/budgets.h"
#include "core/train/rate_search.h"

namespace permille {
namespace fs = std::filesystem;

std::vector<TokenPair> tokenise(const Tokenizer& tokenizer, const std::vector<Row>& rows, const std::string& source,
                                const std::string& target) {
    const ModelLanguage &from = tokenizer.source_language(source), &to = tokenizer.target_language(target);
    std::vector<TokenPair> pairs;
    pairs.reserve(rows.size());
    for (const Row& row : rows) {
        const auto ids = tokenizer.encode_source(row.source, from, to), labels = tokenizer.encode_target(row.target, to);
        pairs.push_back({{ids.begin(), ids.end()}, {labels.begin(), labels.end()}});
    }
    return pairs;
}

TunedMethod tune_method(const std::string& model, const std::string& method, const Json& settings, const std::optional<Budget>& budget,
                        const TrainingSettings& training) {
    const BudgetAnswer answer = solve_size(model, method, settings, budget);
    if (!answer.solved) throw Error(ErrorKind::config, method, answer.reason, "choose a budget within this range, or another method");
    TunedMethod tuned{*answer.solved, training.learning_rate, nullptr};
    if (tuned.learning_rate <= 0) tuned.learning_rate = find_method_by_id(method, "method").info().default_learning_rate;
    return tuned;
}

bool search_learning_rate(TunedMethod& tuned, const Seq2Seq& base, const std::string& method, const std::vector<TokenPair>& train,
                          const std::vector<TokenPair>& valid, const TrainingSettings& training, std::uint64_t seed, const fs::path& folder,
                          const TrainerHooks& hooks, const std::stop_token& stop) {
    if (training.tune_lr == 0) return true;
    const Method& found = find_method_by_id(method, "method");
    const RateSearch search = search_rate(
        base, [&] { return attach_method(found, base, tuned.settings, seed); }, train, valid, training, tuned.learning_rate, seed,
        folder / "rate_search.json", hooks, stop);
    if (search.learning_rate <= 0) return false;
    tuned.learning_rate = search.learning_rate;
    tuned.rate_search = search.to_json();
    return true;
}

std::shared_ptr<const BaseModel> open_teacher(const TrainingSettings& training, const OpenModel& base, const std::vector<Row>& rows,
                                              const std::string& source, const std::string& target, const EventSink& sink,
                                              const std::stop_token& stop) {
    if (training.teacher.empty()) return nullptr;
    const OpenModel teacher = open_model(training.teacher, base.device, sink, stop);
    const auto same = [](const TokenPair& a, const TokenPair& b) { return a.source == b.source && a.labels == b.labels; };
    const auto ours = tokenise(*base.tokenizer, rows, source, target);
    std::vector<TokenPair> theirs;
    try {
        theirs = tokenise(*teacher.tokenizer, rows, source, target);
    } catch (const Error& error) {
        throw Error(error.kind(), "teacher " + training.teacher + ", " + error.where(), error.found(),
                    "distil from a model with the same tokenizer");
    }
    if (teacher.base->network->architecture().vocab_size != base.base->network->architecture().vocab_size ||
        !std::equal(ours.begin(), ours.end(), theirs.begin(), theirs.end(), same))
        throw Error(ErrorKind::config, "teacher " + training.teacher, "has another vocabulary than the base",
                    "distil from a model with the same tokenizer");
    return teacher.base;
}

std::function<std::optional<double>()> validation_bleu(const OpenModel& model, const Attached& attached, const std::vector<Row>& rows,
                                                       const std::string& source, const std::string& target, std::stop_token stop) {
    return [&model, &attached, &rows, source, target, stop]() -> std::optional<double> {
        std::vector<std::string> lines, references;
        for (const Row& row : rows) {
            lines.push_back(row.source);
            references.push_back(row.target);
        }
        DecodingSettings greedy;
        greedy.beam_size = 1;
        try {
            std::vector<std::string> texts;
            for (const auto& translation : translate_lines(model, attached.attachment.get(), lines, source, target, greedy, 1, {}, stop))
                texts.push_back(translation.text);
            return evaluate(*make_metric("bleu", {{"tokenize", "auto"}}, target), texts, {references}).score.value;
        } catch (const Stopped&) {
            return std::nullopt;
        }
    };
}

std::int64_t peak_memory() {
    std::ifstream status("/proc/self/status");
    std::string line;
    while (std::getline(status, line))
        if (line.rfind("VmHWM:", 0) == 0) return std::stoll(line.substr(6)) * 1024;
    return 0;
}

void reset_peak_memory() {
#ifdef __GLIBC__
    malloc_trim(0);  // what earlier runs have freed is not this run's
#endif
    std::ofstream file("/proc/self/clear_refs");
    file << "5";
}

Json program_versions() { return Json{{"permille", PERMILLE_VERSION}, {"libtorch", TORCH_VERSION}, {"sqlite", sqlite3_libversion()}}; }

std::string describe_device(const OpenModel& model) {
    const at::Device device = model.base->network->device();
    std::string text = device.str();
    if (device.is_cpu()) text += ", " + std::to_string(at::get_num_threads()) + (at::get_num_threads() == 1 ? " thread" : " threads");
    return text + ", " + model.device.dtype;
}

Json TrainReport::to_json() const {
    Json json = {{"adapter", adapter},
                 {"settings", settings},
                 {"trainable", trainable},
                 {"percent_base", percent_base},
                 {"updates", updates},
                 {"best_step", best_step},
                 {"best_valid_loss", best_valid_loss}};
    if (pruned > 0) json["pruned_weights"] = pruned;
    json["learning_rate"] = learning_rate;
    if (!rate_search.is_null()) json["rate_search"] = rate_search;
    json["best_valid_bleu"] = best_valid_bleu ? Json(*best_valid_bleu) : Json(nullptr);
    json["seconds"] = seconds;
    json["tokens_per_second"] = tokens_per_second;
    json["peak_memory_bytes"] = peak_memory_bytes;
    json["stopped"] = stopped;
    return json;
}

std::vector<Row> read_rows(const fs::path& texts, Split split, const std::string& source, const std::string& target, std::int64_t limit) {
    if (fs::is_directory(texts)) return Corpus::load(texts, false).rows(split, source, target, limit);
    std::istringstream lines(read_text(texts));
    std::vector<Row> rows;
    std::string line;
    for (std::int64_t number = 1; std::getline(lines, line) && (limit == 0 || static_cast<std::int64_t>(rows.size()) < limit); ++number) {
        if (!line.empty() && line.back() == '\r') line.pop_back();
        const auto tab = line.find('\t');
        if (tab == std::string::npos)
            throw Error(ErrorKind::file, texts.string() + ":" + std::to_string(number), "has no tab", "each line is source, tab, target");
        Row row{line.substr(0, tab), line.substr(tab + 1)};
        row.target = row.target.substr(0, row.target.find('\t'));
        if (row.source.empty() || row.target.empty())
            throw Error(ErrorKind::file, texts.string() + ":" + std::to_string(number), "has an empty side",
                        "remove the line, or import the file with 'permille data import'");
        rows.push_back(std::move(row));
    }
    if (rows.empty())
        throw Error(ErrorKind::file, texts.string(), "holds no sentence pairs", "give a file with lines of source, tab, target");
    return rows;
}

namespace {

// A folder for a run: gone again when the run ends before anything is in it.
class RunFolder {
public:
    explicit RunFolder(fs::path path) : path_(std::move(path)), made_(!fs::exists(path_)) { make_folder(path_); }
    ~RunFolder() {
        std::error_code filled;
        if (made_) fs::remove(path_, filled);
    }
    RunFolder(const RunFolder&) = delete;
    RunFolder& operator=(const RunFolder&) = delete;

private:
    fs::path path_;
    bool made_;
};

}  // namespace

TrainReport train_adapter(const TrainRequest& request, const EventSink& sink, std::stop_token stop) {
    if (fs::exists(request.output / "permille.json") && !request.resume)
        throw Error(ErrorKind::file, request.output.string(), "already holds an adapter", "give another --out, or remove it");
    const RunFolder folder(request.output);
    OpenModel model;
    try {
        model = open_model(request.base, request.device, sink, stop);
    } catch (const Stopped&) {  // while it was downloaded
        TrainReport nothing;
        nothing.stopped = true;
        return nothing;
    }
    TunedMethod tuned = tune_method(request.base, request.method, request.method_settings, request.budget, request.training);
    const auto train_rows =
        read_rows(request.train_texts, Split::train, request.source_language, request.target_language, request.train_sentences);
    const auto valid_rows =
        read_rows(request.valid_texts, Split::valid, request.source_language, request.target_language, request.training.valid_sentences);
    const auto train = tokenise(*model.tokenizer, train_rows, request.source_language, request.target_language);
    const auto valid = tokenise(*model.tokenizer, valid_rows, request.source_language, request.target_language);
    const Seq2Seq& network = *model.base->network;
    TrainerHooks hooks;
    hooks.sink = sink;
    std::shared_ptr<const BaseModel> teacher;
    std::unique_ptr<Contrast> contrast;
    TrainReport report;
    try {
        teacher = open_teacher(request.training, model, valid_rows, request.source_language, request.target_language, sink, stop);
        contrast = find_negatives(model, train, request.target_language, request.training, static_cast<std::uint64_t>(request.seed),
                                  request.output, sink, stop);
    } catch (const Stopped&) {
        report.stopped = true;
        return report;
    }
    if (teacher) hooks.teacher = teacher->network.get();
    hooks.contrast = contrast.get();
    if (!search_learning_rate(tuned, network, request.method, train, valid, request.training, static_cast<std::uint64_t>(request.seed),
                              request.output, hooks, stop)) {
        report.stopped = true;
        return report;
    }
    Attached attached =
        attach_method(find_method_by_id(request.method, "--method"), network, tuned.settings, static_cast<std::uint64_t>(request.seed));
    log_to(sink, std::to_string(attached.trainable()) + " trainable parameters, " + std::to_string(train.size()) + " training pairs");

    reset_peak_memory();
    hooks.bleu = validation_bleu(model, attached, valid_rows, request.source_language, request.target_language, stop);
    const fs::path checkpoint = request.output / "checkpoint.safetensors";
    Trainer trainer(network, attached, train, valid, request.training, tuned.learning_rate, static_cast<std::uint64_t>(request.seed),
                    checkpoint, hooks);
    if (request.resume && trainer.resume()) log_to(sink, "continuing from " + checkpoint.string());
    const TrainingResult result = trainer.run(stop);

    report.settings = attached.settings;
    report.learning_rate = tuned.learning_rate;
    report.rate_search = tuned.rate_search;
    report.trainable = attached.trainable();
    report.percent_base = 100.0 * static_cast<double>(report.trainable) / static_cast<double>(network.layout().parameter_count());
    report.pruned = attached.method->pruned(network.layout(), attached.settings);
    report.updates = result.updates;
    report.best_step = result.best_update;
    report.best_valid_loss = result.best_loss.value_or(0);
    report.best_valid_bleu = result.best_bleu;
    report.seconds = result.seconds;
    report.tokens_per_second = result.seconds > 0 ? static_cast<double>(result.tokens) / result.seconds : 0;
    report.peak_memory_bytes = peak_memory();
    report.stopped = result.stopped;
    report.adapter = request.output.string();
    if (!result.stopped) {
        Json notes = report.to_json();
        notes["seed"] = request.seed;
        notes["training"] = TrainingSettings::fields().to_json(request.training);
        notes["versions"] = program_versions();
        save_adapter(request.output, attached, *model.base, notes);
        std::error_code ignored;
        fs::remove(checkpoint, ignored);
    }
    return report;
}

}  // namespace permille
