#include "core/train/trainer.h"

#include <ATen/ATen.h>

#include <chrono>
#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/nn/vocabulary_loss.h"

namespace permille {

namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

constexpr std::int64_t kReportEvery = 10;

std::string bytes_of(const std::vector<TokenPair>& pairs) {
    std::string bytes;
    for (const TokenPair& pair : pairs)
        for (const auto* side : {&pair.source, &pair.labels}) {
            bytes += std::to_string(side->size());
            bytes.append(reinterpret_cast<const char*>(side->data()), side->size() * sizeof(std::int32_t));
        }
    return bytes;
}

std::string fingerprint_with(const std::vector<TokenPair>& pairs, const Contrast& contrast) {
    std::string bytes = bytes_of(pairs);
    for (const auto& candidates : contrast.wrong)
        for (const Tokens& ids : candidates) {
            bytes += std::to_string(ids.size());
            bytes.append(reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(std::int64_t));
        }
    return sha256(bytes);
}

}  // namespace

std::string fingerprint_of(const std::vector<TokenPair>& pairs) { return sha256(bytes_of(pairs)); }

Trainer::Trainer(const Seq2Seq& base, Attached& attached, const std::vector<TokenPair>& train, const std::vector<TokenPair>& valid,
                 const TrainingSettings& settings, double learning_rate, std::uint64_t seed, std::filesystem::path checkpoint,
                 TrainerHooks hooks, EpochSampler sampler)
    : state_(base, attached, settings, learning_rate, seed),
      train_(train),
      valid_(valid),
      hooks_(std::move(hooks)),
      batches_(train, settings.batch_tokens, seed, std::move(sampler)),
      checkpoint_(std::move(checkpoint)),
      writer_(checkpoint_) {
    if (settings.contrast > 0 && (!hooks_.contrast || hooks_.contrast->wrong.size() != train_.size()))
        throw Error(ErrorKind::config, "contrast", "there are no wrong translations to train against", "leave contrast at 0 here");
    if (settings.contrast == 0) hooks_.contrast = nullptr;
    if (checkpoint_.empty()) return;
    if (hooks_.contrast) text_ = fingerprint_with(train_, *hooks_.contrast);
    else text_ = hooks_.text_fingerprint.empty() ? fingerprint_of(train_) : hooks_.text_fingerprint;
}

CheckpointOwner Trainer::owner() const { return {state_.identity(train_.size()), text_}; }

void Trainer::save_checkpoint() {
    if (checkpoint_.empty()) return;
    state_.read(hooks_.sink);
    const std::int64_t ahead = ahead_ ? static_cast<std::int64_t>(ahead_->plans.size()) : 0;
    writer_.write(state_, owner(), batches_.position() - ahead);
}

bool Trainer::resume() {
    if (checkpoint_.empty()) return false;
    const auto position = read_checkpoint(checkpoint_, state_, owner());
    if (position) batches_.seek(*position);
    ahead_.reset();
    return position.has_value();
}

Trainer::Batches Trainer::next_batches() {
    Batches next;
    for (std::int64_t i = 0; i < state_.settings.accumulate; ++i) next.plans.push_back(batches_.next());
    if (state_.base.device().is_cpu()) return next;
    try {
        for (const BatchPlan& plan : next.plans)
            next.tensors.push_back(collate(train_, plan, state_.base.architecture(), state_.base.device()));
    } catch (const c10::OutOfMemoryError&) {
        next.tensors.clear();  // there will be room when the update before has ended
    }
    return next;
}

void Trainer::update() {
    const double started = now();
    Batches batches = ahead_ ? std::move(*ahead_) : next_batches();
    ahead_.reset();
    StepTask task{&state_, &train_, std::move(batches.plans), std::move(batches.tensors), hooks_.teacher, hooks_.contrast, hooks_.sink};
    const StepSize size = training_step({&task, 1}).front();
    // Before the state is read, for which the host waits: the card has the next batch when this one is done.
    if (!state_.base.device().is_cpu() && state_.update < state_.settings.updates) ahead_ = next_batches();
    window_.labels += size.labels;
    window_.tokens += size.tokens;
    ++window_.updates;
    const std::int64_t done = state_.update, total = state_.settings.updates;
    const bool due = window_.updates >= kReportEvery || done == total;
    const TrainingState::Sums sums = due ? state_.read(hooks_.sink) : TrainingState::Sums();
    const double taken = now() - started;
    state_.seconds += taken;
    window_.seconds += taken;
    if (!due) return;
    report(sums);
    window_ = {};
    state_.restart_sums();
}

void Trainer::report(const TrainingState::Sums& sums) const {
    if (!hooks_.sink) return;
    const std::int64_t done = state_.update, total = state_.settings.updates;
    const auto mean = [&](double sum) { return sum / static_cast<double>(window_.updates); };
    const auto metric = [&](StepFigure figure, double value) { hooks_.sink(StepMetric{done, figure, value}); };
    metric(StepFigure::train_loss, sums.loss / static_cast<double>(window_.labels));
    if (hooks_.contrast) metric(StepFigure::contrast_loss, mean(sums.contrast));
    metric(StepFigure::learning_rate, state_.rate());
    metric(StepFigure::gradient_norm, mean(sums.norm));
    metric(StepFigure::tokens_per_second, static_cast<double>(window_.tokens) / window_.seconds);
    hooks_.sink(Progress{"training", done, total, mean(window_.seconds) * static_cast<double>(total - done)});
}

double Trainer::valid_loss(const std::stop_token& stop) const {
    const c10::InferenceMode guard;
    const Seq2Seq& base = state_.base;
    at::Tensor likelihood = at::zeros({}, at::TensorOptions(at::kDouble).device(base.device()));
    std::int64_t labels = 0;
    const Forward forward = base.inference(state_.attached.attachment.get());
    for (const BatchPlan& plan : plan_batches_by_length(valid_, state_.settings.batch_tokens * 2)) {
        if (stop.stop_requested()) return std::numeric_limits<double>::quiet_NaN();
        const TensorBatch batch = collate(valid_, plan, base.architecture(), base.device());
        const at::Tensor states = base.decode(forward, base.encode(forward, batch.source), batch.target);
        likelihood += vocabulary_loss(states, base.output_weight(forward), base.logits_bias(), batch.labels, 0).log_likelihood;
        labels += batch.tokens;
    }
    return -likelihood.item<double>() / static_cast<double>(labels);
}

bool Trainer::validate(const std::stop_token& stop) {
    if (valid_.empty()) return true;
    const Attached& attached = state_.attached;
    state_.exchange_average();
    const double loss = valid_loss(stop);
    std::optional<double> bleu;
    if (hooks_.bleu && !stop.stop_requested()) bleu = hooks_.bleu();
    if (stop.stop_requested()) {
        state_.exchange_average();
        return false;
    }
    state_.validated = state_.update;
    if (hooks_.sink) {
        hooks_.sink(StepMetric{state_.update, StepFigure::valid_loss, loss});
        if (bleu) hooks_.sink(StepMetric{state_.update, StepFigure::valid_bleu, *bleu});
    }
    if (state_.update >= attached.method->first_choice(attached.settings, state_.settings.updates)) {
        const bool by_bleu = state_.settings.select_by == "bleu" && bleu;
        const bool better = by_bleu ? (!state_.best_bleu || *bleu > *state_.best_bleu)
                                    : std::isfinite(loss) && (!state_.best_loss || loss < *state_.best_loss);
        if (better) state_.keep_best(loss, bleu);
        else ++state_.without_improvement;
    }
    state_.exchange_average();
    return true;
}

TrainingResult Trainer::run(std::stop_token stop) {
    const TrainingSettings& settings = state_.settings;
    // A validation that was due when a run was stopped is made up for; else the best values could differ from those of a run in one go.
    const auto due = [&] {
        return settings.validate_every > 0 && state_.update > 0 && state_.update < settings.updates &&
               state_.update % settings.validate_every == 0 && state_.validated != state_.update;
    };
    bool stopped = false;
    std::int64_t saved = state_.update;
    while (true) {
        if (due() && !validate(stop)) stopped = true;
        if (stopped || state_.update >= settings.updates) break;
        if (settings.checkpoint_every > 0 && state_.update % settings.checkpoint_every == 0 && state_.update != saved) {
            try {
                save_checkpoint();
                saved = state_.update;
            } catch (const Error& error) {
                if (!error.temporary()) throw;
                log_to(hooks_.sink, std::string(error.what()) + "; training goes on, the next checkpoint tries again");
            }
        }
        if (settings.patience > 0 && state_.without_improvement >= settings.patience) {  // also of a run that ended early and is resumed
            log_to(hooks_.sink, "stopped early: no improvement in " + std::to_string(state_.without_improvement) + " validations");
            break;
        }
        if (stop.stop_requested()) {
            stopped = true;
            break;
        }
        update();
    }
    state_.read(hooks_.sink);
    if (!stopped && state_.validated != state_.update && !validate(stop)) stopped = true;
    save_checkpoint();
    writer_.finish();
    if (!stopped && !state_.best.empty()) state_.attached.set_values(state_.best);
    else if (!stopped) state_.exchange_average();
    TrainingResult result;
    result.updates = state_.update;
    result.best_update = state_.best.empty() ? state_.update : state_.best_update;
    result.best_loss = state_.best_loss;
    result.best_bleu = state_.best_bleu;
    result.last_train_loss = state_.last_loss;
    result.seconds = state_.seconds;
    result.tokens = state_.tokens;
    result.stopped = stopped;
    result.skipped_updates = state_.skipped;
    return result;
}

}  // namespace permille
