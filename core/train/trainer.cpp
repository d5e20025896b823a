#include "core/train/trainer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <numbers>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/models/safetensors.h"
#include "core/nn/backward.h"
#include "core/nn/device.h"
#include "core/nn/vocabulary_loss.h"

namespace permille {

double schedule_factor(const std::string& schedule, std::int64_t update, std::int64_t warmup, std::int64_t total, double power) {
    const auto u = static_cast<double>(update), w = static_cast<double>(std::max<std::int64_t>(warmup, 1)), n = static_cast<double>(total);
    if (update < warmup) return u / w;
    if (schedule == "constant") return 1.0;
    if (schedule == "inverse_sqrt") return std::sqrt(w / std::max(u, w));
    const double past = n > w ? std::min(1.0, (u - w) / (n - w)) : 1.0;
    if (schedule == "cosine") return 0.5 * (1.0 + std::cos(std::numbers::pi * past));
    const double left = std::max(1.0 - past, 1.0 / n);  // the last update still moves
    return schedule == "polynomial" ? std::pow(left, power) : left;
}

TensorBatch collate(const std::vector<TokenPair>& pairs, const BatchPlan& plan, const Architecture& architecture,
                    const at::Device& device) {
    std::vector<std::vector<std::int64_t>> sources, inputs;
    std::int64_t count = 0;
    for (const auto index : plan) {
        const TokenPair& pair = pairs[index];
        sources.emplace_back(pair.source.begin(), pair.source.end());
        std::vector<std::int64_t> input = {architecture.start_of(pair.labels)};
        input.insert(input.end(), pair.labels.begin(), pair.labels.end() - 1);
        inputs.push_back(std::move(input));
        count += static_cast<std::int64_t>(pair.labels.size());
    }
    at::Tensor labels = at::empty({count}, at::kLong);
    auto* label = labels.data_ptr<std::int64_t>();
    for (const auto index : plan) label = std::copy(pairs[index].labels.begin(), pairs[index].labels.end(), label);
    return {TokenRows::of(sources, device), TokenRows::of(inputs, device), upload(labels, device), count};
}

namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

bool is_out_of_memory(const c10::Error& error) {
    if (dynamic_cast<const c10::OutOfMemoryError*>(&error)) return true;
    return std::string_view(error.what_without_backtrace()).find("can't allocate memory") != std::string_view::npos;
}

constexpr std::int64_t kReportEvery = 10, kMostSkipped = 8;  // skipped: in a row

}  // namespace

Trainer::Trainer(const Seq2Seq& base, Attached& attached, const std::vector<TokenPair>& train, const std::vector<TokenPair>& valid,
                 const TrainingSettings& settings, double learning_rate, std::uint64_t seed, std::filesystem::path checkpoint,
                 TrainerHooks hooks, EpochSampler sampler)
    : base_(base),
      attached_(attached),
      train_(train),
      valid_(valid),
      settings_(settings),
      learning_rate_(learning_rate),
      seed_(seed),
      checkpoint_(std::move(checkpoint)),
      hooks_(std::move(hooks)),
      batches_(train, settings.batch_tokens, seed, std::move(sampler)) {
    if (settings_.contrast > 0 && (!hooks_.contrast || hooks_.contrast->wrong.size() != train_.size()))
        throw Error(ErrorKind::config, "contrast", "there are no wrong translations to train against", "leave contrast at 0 here");
    if (settings_.contrast == 0) hooks_.contrast = nullptr;
    if (!checkpoint_.empty()) text_hash_ = text_hash();
    optimiser_ = make_optimiser(attached_, settings_);
    if (settings_.average_decay > 0)
        for (std::size_t i = 0; i < attached_.values.size(); ++i)
            average_.push_back(attached_.specs[i].role == TensorRole::trained ? attached_.values[i].detach().clone() : at::Tensor());
}

std::string Trainer::identity() const {
    std::string text = attached_.method->info().id + attached_.settings.dump() + settings_.identity().dump() + std::to_string(seed_) + "/" +
                       std::to_string(train_.size()) + "/" + std::to_string(learning_rate_);
    return sha256(text);
}

// Of the ids of the training text, in their order, and of the wrong translations.
std::string Trainer::text_hash() const {
    std::string bytes;
    for (const TokenPair& pair : train_)
        for (const auto* side : {&pair.source, &pair.labels}) {
            bytes += std::to_string(side->size());
            bytes.append(reinterpret_cast<const char*>(side->data()), side->size() * sizeof(std::int32_t));
        }
    if (hooks_.contrast)
        for (const auto& candidates : hooks_.contrast->wrong)
            for (const Tokens& ids : candidates) {
                bytes += std::to_string(ids.size());
                bytes.append(reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(std::int64_t));
            }
    return sha256(bytes);
}

void Trainer::save_checkpoint() const {
    if (checkpoint_.empty()) return;
    std::vector<std::pair<std::string, at::Tensor>> tensors;
    for (std::size_t i = 0; i < attached_.values.size(); ++i) {
        const std::string name = std::to_string(i);
        tensors.emplace_back("value." + name, attached_.values[i]);
        if (!average_.empty() && average_[i].defined()) tensors.emplace_back("average." + name, average_[i]);
        if (!best_values_.empty()) tensors.emplace_back("best." + name, best_values_[i]);
    }
    tensors.insert(tensors.end(), optimiser_->state().begin(), optimiser_->state().end());
    Json state = {{"update", update_},           {"position", batches_.position()},
                  {"best_update", best_update_}, {"without_improvement", without_improvement_},
                  {"skipped", skipped_},         {"validated", validated_},
                  {"tokens", tokens_},           {"last_loss", std::isfinite(last_loss_) ? last_loss_ : 0.0},
                  {"seconds", seconds_},         {"loss_scale", loss_scale_}};
    if (best_loss_ && std::isfinite(*best_loss_)) state["best_loss"] = *best_loss_;
    if (best_bleu_) state["best_bleu"] = *best_bleu_;
    write_safetensors(checkpoint_, tensors,
                      {{"permille_checkpoint", "1"}, {"identity", identity()}, {"text", text_hash_}, {"state", state.dump()}});
}

bool Trainer::resume() {
    if (checkpoint_.empty() || !std::filesystem::exists(checkpoint_)) return false;
    std::map<std::string, std::string> metadata;
    TensorMap tensors = read_safetensors(checkpoint_, &metadata);
    if (metadata["identity"] != identity() || (metadata.count("text") && metadata["text"] != text_hash_))
        throw Error(ErrorKind::file, checkpoint_.string(), "is the checkpoint of a run with other settings or data",
                    "start without --resume, or remove the file");
    const Json state = parse_json(metadata["state"], checkpoint_.string());
    const at::NoGradGuard guard;
    for (std::size_t i = 0; i < attached_.values.size(); ++i) {
        const std::string name = std::to_string(i);
        const auto take = [&](const std::string& kind) {
            const auto found = tensors.find(kind + "." + name);
            if (found == tensors.end() || found->second.sizes() != attached_.values[i].sizes())
                throw Error(ErrorKind::tensor, checkpoint_.string() + ", " + kind + "." + name, "is missing or of another shape",
                            "remove the file");
            return found->second;
        };
        attached_.values[i].copy_(take("value"));
        if (!average_.empty() && average_[i].defined()) average_[i].copy_(take("average"));
        // The first version kept one count of steps for all values.
        if (state.contains("adam_steps")) tensors["steps." + name] = at::full({}, state["adam_steps"].get<double>(), at::kFloat);
    }
    optimiser_->load(tensors, checkpoint_.string());
    best_values_.clear();
    if (tensors.count("best.0"))
        for (std::size_t i = 0; i < attached_.values.size(); ++i)
            best_values_.push_back(tensors.at("best." + std::to_string(i)).to(attached_.values[i].device(), false, true));
    update_ = state["update"].get<std::int64_t>();
    best_update_ = state["best_update"].get<std::int64_t>();
    without_improvement_ = state["without_improvement"].get<std::int64_t>();
    skipped_ = state["skipped"].get<std::int64_t>();
    validated_ = state.value("validated", std::int64_t{-1});
    tokens_ = state["tokens"].get<std::int64_t>();
    last_loss_ = state["last_loss"].get<double>();
    seconds_ = state["seconds"].get<double>();
    loss_scale_ = state["loss_scale"].get<double>();
    if (state.contains("best_loss")) best_loss_ = state["best_loss"].get<double>();
    if (state.contains("best_bleu")) best_bleu_ = state["best_bleu"].get<double>();
    batches_.seek(state["position"].get<std::int64_t>());
    attached_.refresh(base_);
    return true;
}

Trainer::UpdateSums Trainer::forward_backward(const std::vector<BatchPlan>& batches, std::int64_t update, std::int64_t pieces) {
    const auto options = at::TensorOptions(at::kDouble).device(base_.device());
    UpdateSums sums{at::zeros({}, options), at::zeros({}, options)};
    std::vector<BatchPlan> plans;
    for (const BatchPlan& batch : batches) {
        const std::size_t size = (batch.size() + static_cast<std::size_t>(pieces) - 1) / static_cast<std::size_t>(pieces);
        for (std::size_t from = 0; from < batch.size(); from += size)
            plans.emplace_back(batch.begin() + static_cast<std::ptrdiff_t>(from),
                               batch.begin() + static_cast<std::ptrdiff_t>(std::min(batch.size(), from + size)));
    }
    for (const BatchPlan& plan : plans)
        for (const auto index : plan) sums.labels += static_cast<std::int64_t>(train_[index].labels.size());
    const ContrastTotals totals = hooks_.contrast ? ContrastTotals::of(*hooks_.contrast, plans) : ContrastTotals();
    const auto scaled = [&](const at::Tensor& objective) { return running_.scale.defined() ? objective * running_.scale : objective; };
    const Smoothing smoothing = settings_.smoothing_convention == "fairseq" ? Smoothing::fairseq : Smoothing::torch;
    std::uint64_t part = 0;
    for (const BatchPlan& plan : plans) {
        const TensorBatch batch = collate(train_, plan, base_.architecture(), base_.device());
        const std::uint64_t masks = DropoutStreams::mix(seed_ * 1000003ULL + static_cast<std::uint64_t>(update) * 64 + part++);
        Forward forward = base_.training(*attached_.attachment, settings_.dropout, masks);
        if (settings_.gradient_checkpointing)
            for (const at::Tensor& value : attached_.values)
                if (value.requires_grad()) forward.recompute.push_back(value);
        const Encoded encoded = base_.encode(forward, batch.source);
        const at::Tensor states = base_.decode(forward, encoded, batch.target);
        const Distillation teaching = taught(batch, update);
        const LossSums loss = vocabulary_loss(states, base_.output_weight(forward), base_.logits_bias(), batch.labels,
                                              settings_.label_smoothing, smoothing, teaching.share > 0 ? &teaching : nullptr);
        at::Tensor objective = loss.loss / static_cast<double>(sums.labels);
        at::Tensor against;
        if (hooks_.contrast)
            against =
                contrast_loss(base_, forward, *hooks_.contrast, plan, encoded, states, batch.labels, batch.target.rows.lengths, totals);
        if (against.defined()) {
            objective = objective + against;
            sums.contrast += against.detach();
        }
        backward(scaled(objective));
        sums.loss += loss.loss.detach();
        sums.tokens += batch.tokens + batch.source.rows.count();
    }
    const at::Tensor penalty = attached_.method->penalty(base_.layout(), attached_.settings, attached_.values);
    if (penalty.defined()) backward(scaled(penalty));
    return sums;
}

// What the teacher says of a batch; its share falls linearly from the first update to 0 at the last (Zhang et al. 2021, CPM-2, arXiv
// 2106.10715, anneal the knowledge inheritance in the same way).
Distillation Trainer::taught(const TensorBatch& batch, std::int64_t update) const {
    Distillation teaching;
    if (!hooks_.teacher) return teaching;
    const double past = static_cast<double>(update - 1) / static_cast<double>(std::max<std::int64_t>(1, settings_.updates - 1));
    teaching.share = settings_.teacher_share * (1.0 - past);
    if (teaching.share <= 0) return teaching;
    const at::NoGradGuard guard;
    const Forward forward = hooks_.teacher->inference();
    teaching.hidden = hooks_.teacher->decode(forward, hooks_.teacher->encode(forward, batch.source), batch.target);
    teaching.weight = hooks_.teacher->output_weight(forward);
    teaching.bias = hooks_.teacher->logits_bias();
    teaching.temperature = settings_.teacher_temperature;
    return teaching;
}

double Trainer::rate() const {
    return learning_rate_ *
           schedule_factor(settings_.schedule, update_, settings_.warmup_updates, settings_.updates, settings_.schedule_power);
}

// The decay is lower at the beginning, (1 + t) / (10 + t), so that a short run's average is not mostly its start.
void Trainer::average() {
    const auto t = static_cast<double>(update_);
    const double decay = std::min(settings_.average_decay, (1.0 + t) / (10.0 + t));
    for (std::size_t i = 0; i < average_.size(); ++i)
        if (average_[i].defined()) average_[i].lerp_(attached_.values[i].detach(), 1.0 - decay);
}

void Trainer::exchange_average() {
    const at::NoGradGuard guard;
    for (std::size_t i = 0; i < average_.size(); ++i) {
        if (!average_[i].defined()) continue;
        const at::Tensor value = attached_.values[i].detach().clone();
        attached_.values[i].copy_(average_[i]);
        average_[i].copy_(value);
    }
}

void Trainer::update() {
    const double started = now();
    if (!running_.loss.defined()) {
        const auto options = at::TensorOptions(at::kDouble).device(base_.device());
        for (at::Tensor* sum : {&running_.loss, &running_.contrast, &running_.norm, &running_.skipped, &running_.in_row,
                                &running_.longest_row, &running_.last_loss})
            *sum = at::zeros({}, options);
        if (base_.compute() == at::kHalf) running_.scale = at::full({}, loss_scale_, options.dtype(at::kFloat));
    }
    ++update_;
    std::vector<BatchPlan> batches;
    for (std::int64_t i = 0; i < settings_.accumulate; ++i) batches.push_back(batches_.next());

    UpdateSums sums;
    for (std::int64_t pieces = 1;; pieces *= 2) {
        for (at::Tensor& value : attached_.values) value.mutable_grad() = at::Tensor();
        try {
            sums = forward_backward(batches, update_, pieces);
            break;
        } catch (const c10::Error& error) {
            if (!is_out_of_memory(error))
                throw Error(ErrorKind::internal, "update " + std::to_string(update_), error.what_without_backtrace());
        } catch (const std::bad_alloc&) {
        }
        std::size_t largest = 0;
        for (const auto& batch : batches) largest = std::max(largest, batch.size());
        if (static_cast<std::size_t>(pieces) >= largest)
            throw Error(ErrorKind::device_memory, "update " + std::to_string(update_), "a batch of one sentence does not fit into memory",
                        "use a smaller model, bfloat16, or shorter sentences");
        log_to(hooks_.sink, "update " + std::to_string(update_) + ": out of memory, the batch is split into " + std::to_string(pieces * 2) +
                                " parts (same update, slower); a smaller batch_tokens avoids this");
    }

    const at::NoGradGuard guard;
    std::vector<at::Tensor> gradients;
    for (const at::Tensor& value : attached_.values)
        if (value.grad().defined()) gradients.push_back(value.grad());
    if (gradients.empty())
        throw Error(ErrorKind::config, attached_.method->info().id, "no trained parameter is reached by the training text",
                    "choose other sites");
    at::Tensor norm = at::stack(at::_foreach_norm(gradients, 2)).norm(2), divisor;
    if (running_.scale.defined()) norm = norm / running_.scale;
    const at::Tensor loss = sums.loss / static_cast<double>(sums.labels);
    const at::Tensor sound = at::isfinite(norm).logical_and_(at::isfinite(loss)), skip = sound.logical_not().to(at::kFloat);
    if (settings_.clip_norm > 0) divisor = at::clamp_min((norm + 1e-6) / settings_.clip_norm, 1.0);
    if (running_.scale.defined()) divisor = divisor.defined() ? divisor * running_.scale : running_.scale;
    optimiser_->step(rate(), divisor, skip);
    if (running_.scale.defined()) running_.scale = (running_.scale * (1.0 - 0.5 * skip)).clamp_min_(1.0);
    // What remembers something between updates must not see one that was skipped. Elsewhere the values stand still, which does no harm.
    const bool remembers =
        std::any_of(attached_.specs.begin(), attached_.specs.end(), [](const TensorSpec& spec) { return spec.role == TensorRole::state; });
    if (!remembers || sound.item<bool>()) {
        if (attached_.method->after_update(base_.layout(), attached_.settings, base_.weights(), attached_.values, update_,
                                           settings_.updates))
            attached_.refresh(base_);
    }
    average();
    running_.loss += sums.loss;
    running_.contrast += sums.contrast;
    running_.norm += norm;
    running_.skipped += skip;
    running_.in_row = (running_.in_row + 1.0) * skip;
    running_.longest_row = at::maximum(running_.longest_row, running_.in_row);
    running_.last_loss = loss;
    tokens_ += sums.tokens;
    window_.labels += sums.labels;
    window_.tokens += sums.tokens;
    ++window_.updates;
    const bool due = window_.updates == kReportEvery || update_ == settings_.updates;
    if (due) read_window();
    const double taken = now() - started;
    seconds_ += taken;
    window_.seconds += taken;
    if (due) report();
}

void Trainer::read_window() {
    if (!running_.loss.defined()) return;
    const at::NoGradGuard guard;
    std::vector<at::Tensor> list = {running_.loss,   running_.contrast,    running_.norm,     running_.skipped,
                                    running_.in_row, running_.longest_row, running_.last_loss};
    if (running_.scale.defined()) list.push_back(running_.scale.to(at::kDouble));
    const at::Tensor read = at::stack(list).to(at::kCPU);
    const double* value = read.const_data_ptr<double>();
    window_.loss = value[0];
    window_.contrast = value[1];
    window_.norm = value[2];
    const auto skipped = static_cast<std::int64_t>(value[3]), in_row = static_cast<std::int64_t>(value[4]);
    last_loss_ = value[6];
    if (running_.scale.defined()) loss_scale_ = value[7];
    running_.skipped.zero_();
    skipped_ += skipped;
    if (value[5] >= kMostSkipped)
        throw Error(ErrorKind::not_a_number, "update " + std::to_string(in_row >= kMostSkipped ? update_ - in_row + kMostSkipped : update_),
                    "loss or gradient was not a number eight times in a row (loss " + std::to_string(last_loss_) + ")",
                    "lower the learning rate (now " + std::to_string(learning_rate_) + "), or use float32");
    if (skipped > 0)
        log_to(hooks_.sink, "up to update " + std::to_string(update_) + ": the gradient was not a number in " + std::to_string(skipped) +
                                (skipped == 1 ? " update, which was skipped" : " updates, which were skipped"));
}

void Trainer::report() {
    if (hooks_.sink) {
        const auto metric = [&](const char* name, double value) { hooks_.sink({Event::Kind::metric, name, update_, 0, value}); };
        metric("train_loss", window_.loss / static_cast<double>(window_.labels));
        if (hooks_.contrast) metric("contrast_loss", window_.contrast / static_cast<double>(window_.updates));
        metric("learning_rate", rate());
        metric("gradient_norm", window_.norm / static_cast<double>(window_.updates));
        metric("tokens_per_second", static_cast<double>(window_.tokens) / window_.seconds);
        hooks_.sink({Event::Kind::progress, "training", update_, settings_.updates, 0,
                     window_.seconds / static_cast<double>(window_.updates) * static_cast<double>(settings_.updates - update_)});
    }
    window_ = {};
    const at::NoGradGuard guard;
    for (at::Tensor* sum : {&running_.loss, &running_.contrast, &running_.norm}) sum->zero_();
}

double Trainer::valid_loss() const {
    const c10::InferenceMode guard;
    at::Tensor likelihood = at::zeros({}, at::TensorOptions(at::kDouble).device(base_.device()));
    std::int64_t labels = 0;
    const Forward forward = base_.inference(attached_.attachment.get());
    for (const BatchPlan& plan : plan_batches_by_length(valid_, settings_.batch_tokens * 2)) {
        const TensorBatch batch = collate(valid_, plan, base_.architecture(), base_.device());
        const at::Tensor states = base_.decode(forward, base_.encode(forward, batch.source), batch.target);
        likelihood += vocabulary_loss(states, base_.output_weight(forward), base_.logits_bias(), batch.labels, 0).log_likelihood;
        labels += batch.tokens;
    }
    return -likelihood.item<double>() / static_cast<double>(labels);
}

void Trainer::validate() {
    if (valid_.empty()) return;
    validated_ = update_;
    exchange_average();
    const double loss = valid_loss();
    std::optional<double> bleu;
    if (hooks_.bleu) bleu = hooks_.bleu();
    if (hooks_.sink) {
        hooks_.sink({Event::Kind::metric, "valid_loss", update_, 0, loss});
        if (bleu) hooks_.sink({Event::Kind::metric, "valid_bleu", update_, 0, *bleu});
    }
    if (update_ < attached_.method->first_choice(attached_.settings, settings_.updates)) {
        exchange_average();
        return;
    }
    const bool by_bleu = settings_.select_by == "bleu" && bleu;
    const bool better = by_bleu ? (!best_bleu_ || *bleu > *best_bleu_) : std::isfinite(loss) && (!best_loss_ || loss < *best_loss_);
    if (better) {
        const at::NoGradGuard guard;
        best_loss_ = loss;
        best_bleu_ = bleu;
        best_update_ = update_;
        without_improvement_ = 0;
        best_values_.clear();
        for (const at::Tensor& value : attached_.values) best_values_.push_back(value.detach().clone());
    } else {
        ++without_improvement_;
    }
    exchange_average();
}

TrainingResult Trainer::run(std::stop_token stop) {
    bool stopped = false;
    while (update_ < settings_.updates) {
        if (settings_.patience > 0 && without_improvement_ >= settings_.patience) {  // also of a run that is resumed after it ended early
            log_to(hooks_.sink, "stopped early: no improvement in " + std::to_string(without_improvement_) + " validations");
            break;
        }
        if (stop.stop_requested()) {
            stopped = true;
            break;
        }
        update();
        const bool last = update_ == settings_.updates;
        if (!last && settings_.validate_every > 0 && update_ % settings_.validate_every == 0) validate();
        if (!last && settings_.checkpoint_every > 0 && update_ % settings_.checkpoint_every == 0) {
            read_window();
            save_checkpoint();
        }
    }
    read_window();
    if (!stopped && validated_ != update_) validate();
    save_checkpoint();
    if (!stopped && !best_values_.empty()) attached_.set_values(best_values_);
    else if (!stopped) exchange_average();
    TrainingResult result;
    result.updates = update_;
    result.best_update = best_values_.empty() ? update_ : best_update_;
    result.best_loss = best_loss_;
    result.best_bleu = best_bleu_;
    result.last_train_loss = last_loss_;
    result.seconds = seconds_;
    result.tokens = tokens_;
    result.stopped = stopped;
    result.skipped_updates = skipped_;
    return result;
}

}  // namespace permille
