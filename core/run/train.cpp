#include "core/run/train.h"

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/stopped.h"
#include "core/run/memory.h"
#include "core/run/training.h"

namespace permille {
namespace fs = std::filesystem;

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

namespace {

// The output folder: gone again when the run ends before anything is in it.
class OutputFolder {
public:
    explicit OutputFolder(fs::path path) : path_(std::move(path)), made_(!fs::exists(path_)) { make_folder(path_); }
    ~OutputFolder() {
        std::error_code filled;
        if (made_) fs::remove(path_, filled);
    }
    OutputFolder(const OutputFolder&) = delete;
    OutputFolder& operator=(const OutputFolder&) = delete;

private:
    fs::path path_;
    bool made_;
};

}  // namespace

namespace {

std::shared_ptr<const TokenText> tokens_of(const RunPlan& plan, const std::vector<Row>& rows, const std::stop_token& stop) {
    return std::make_shared<const TokenText>(tokenise(*plan.model.tokenizer, rows, plan.source, plan.target, stop));
}

OpenModel open_shared(const std::string& model, const DeviceSettings& device, MemoryMark& memory, const EventSink& sink,
                      const std::stop_token& stop) {
    const SharedMemory shared;
    OpenModel open = open_model(model, device, sink, stop);
    memory.add_base(*open.base->network);
    return open;
}

RunPlan plan_of(const TrainRequest& request, MemoryMark& memory, const EventSink& sink, const std::stop_token& stop) {
    RunPlan plan;
    plan.model = open_shared(request.base, request.device, memory, sink, stop);
    plan.training = request.training;
    plan.seed = static_cast<std::uint64_t>(request.seed);
    plan.source = request.source_language;
    plan.target = request.target_language;
    solve_method(plan, request.method, request.method_settings, request.budget);
    plan.train = tokens_of(plan, read_rows(request.train_texts, Split::train, plan.source, plan.target, request.train_sentences), stop);
    plan.valid_rows = read_rows(request.valid_texts, Split::valid, plan.source, plan.target, plan.training.valid_sentences);
    plan.valid = tokens_of(plan, plan.valid_rows, stop);
    if (!plan.training.teacher.empty()) {
        const OpenModel teacher = open_shared(plan.training.teacher, request.device, memory, sink, stop);
        check_teacher(plan, teacher, stop);
        plan.teacher = teacher.base;
    }
    return plan;
}

}  // namespace

TrainReport train_adapter(const TrainRequest& request, const EventSink& sink, std::stop_token stop) {
    if (fs::exists(request.output / "permille.json"))
        throw Error(ErrorKind::file, request.output.string(),
                    request.resume ? "already holds a finished adapter: there is nothing to continue" : "already holds an adapter",
                    "give another --out, or remove it");
    if (fs::exists(request.output / "checkpoint.safetensors") && !request.resume)
        throw Error(ErrorKind::file, request.output.string(), "holds the checkpoint of a training that was stopped",
                    "continue it with --resume, give another --out, or remove it");
    const OutputFolder folder(request.output);
    TrainReport report;
    try {
        MemoryMark memory;
        const RunPlan plan = plan_of(request, memory, sink, stop);
        const auto tell = [&](const TrainedRun& run) {
            log_to(sink, std::to_string(run.attached.trainable()) + " trainable parameters, " + std::to_string(plan.train->pairs.size()) +
                             " training pairs");
        };
        const TrainedRun run = train_plan(plan, request.output, request.resume, tell, sink, stop);
        const Layout& layout = plan.network().layout();
        const TrainingResult& result = run.result;
        report.settings = run.attached.settings;
        report.learning_rate = run.learning_rate;
        report.rate_search = run.rate_search;
        report.trainable = run.attached.trainable();
        report.percent_base = 100.0 * static_cast<double>(report.trainable) / static_cast<double>(layout.parameter_count());
        report.pruned = run.attached.method->pruned(layout, run.attached.settings);
        report.updates = result.updates;
        report.best_step = result.best_update;
        report.best_valid_loss = result.best_loss.value_or(0);
        report.best_valid_bleu = result.best_bleu;
        report.seconds = result.seconds;
        report.tokens_per_second = result.seconds > 0 ? static_cast<double>(result.tokens) / result.seconds : 0;
        report.peak_memory_bytes = memory.peak();
        report.stopped = result.stopped;
        report.adapter = request.output.string();
        if (!result.stopped) {
            save_trained(request.output, plan, run, report.to_json());
            remove_checkpoint(request.output / "checkpoint.safetensors");
        }
    } catch (const Stopped&) {
        report.stopped = true;
    }
    return report;
}

}  // namespace permille
