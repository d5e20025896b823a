#include "core/run/training.h"

#include "core/base/error.h"
#include "core/base/stopped.h"
#include "core/metrics/metrics.h"
#include "core/peft/adapter_file.h"
#include "core/run/negatives.h"
#include "core/run/translate.h"
#include "core/train/rate_search.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

// Validation BLEU of the current values: greedy search on the validation rows.
std::function<std::optional<double>()> validation_bleu(const RunPlan& plan, const Attached& attached, const std::stop_token& stop) {
    return [&plan, &attached, stop]() -> std::optional<double> {
        std::vector<std::string> lines, references, texts;
        for (const Row& row : plan.valid_rows) {
            lines.push_back(row.source);
            references.push_back(row.target);
        }
        DecodingSettings greedy;
        greedy.beam_size = 1;
        try {
            for (const auto& translation :
                 translate_lines(plan.model, attached.attachment.get(), lines, plan.source, plan.target, greedy, 1, {}, stop))
                texts.push_back(translation.text);
            return evaluate(*make_metric("bleu", {{"tokenize", "auto"}}, plan.target), texts, {references}, {}, stop).score.value;
        } catch (const Stopped&) {
            return std::nullopt;
        }
    };
}

}  // namespace

TrainedRun train_plan(const RunPlan& plan, const fs::path& work, bool resume, const BeforeTraining& before, const EventSink& sink,
                      const std::stop_token& stop) {
    const Seq2Seq& network = plan.network();
    TrainerHooks hooks;
    hooks.sink = sink;
    hooks.text_fingerprint = plan.train->fingerprint;
    if (plan.teacher) hooks.teacher = plan.teacher->network.get();
    const auto contrast = find_negatives(plan.model, *plan.train, plan.target, plan.training, plan.seed, work, sink, stop);
    hooks.contrast = contrast.get();

    TrainedRun run;
    run.learning_rate = plan.learning_rate;
    const auto start = [&] { return attach_method(*plan.method, network, plan.settings, plan.seed); };
    if (plan.training.tune_lr > 0) {
        const RateSearch search = search_rate(network, start, plan.train->pairs, plan.valid->pairs, plan.training, plan.learning_rate,
                                              plan.seed, work / "rate_search.json", hooks, stop);
        if (search.learning_rate <= 0) throw Stopped();  // asked to stop among the trials
        run.learning_rate = search.learning_rate;
        run.rate_search = search.to_json();
    }
    run.attached = start();
    if (plan.training.select_by == "bleu") hooks.bleu = validation_bleu(plan, run.attached, stop);
    Trainer trainer(network, run.attached, plan.train->pairs, plan.valid->pairs, plan.training, run.learning_rate, plan.seed,
                    work / "checkpoint.safetensors", hooks, plan.sampler);
    if (resume && trainer.resume()) log_to(sink, "continues from its checkpoint, after update " + std::to_string(trainer.updates()));
    run.result.updates = trainer.updates();
    if (before) before(run);
    run.result = trainer.run(stop);
    return run;
}

void save_trained(const fs::path& folder, const RunPlan& plan, const TrainedRun& trained, const Json& notes) {
    Json all = {{"updates", trained.result.updates},
                {"best_step", trained.result.best_update},
                {"best_valid_loss", trained.result.best_loss ? Json(*trained.result.best_loss) : Json(nullptr)},
                {"learning_rate", trained.learning_rate},
                {"rate_search", trained.rate_search},
                {"seed", plan.seed},
                {"device", describe_device(plan.model)},
                {"training", TrainingSettings::fields().to_json(plan.training)},
                {"versions", program_versions()}};
    all.update(notes);
    save_adapter(folder, trained.attached, *plan.model.base, all);
}

}  // namespace permille
