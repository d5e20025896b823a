#include "core/train/step.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/nn/backward.h"
#include "core/nn/device.h"
#include "core/nn/dropout.h"
#include "core/nn/vocabulary_loss.h"

namespace permille {

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
    TensorBatch batch{TokenRows::of(sources, at::kCPU), TokenRows::of(inputs, at::kCPU), labels, count};
    Uploads uploads;
    batch.source.add_to(uploads);
    batch.target.add_to(uploads);
    uploads.add(batch.labels);
    uploads.send(device);
    return batch;
}

namespace {

bool is_out_of_memory(const c10::Error& error) {
    if (dynamic_cast<const c10::OutOfMemoryError*>(&error)) return true;
    return std::string_view(error.what_without_backtrace()).find("can't allocate memory") != std::string_view::npos;
}

// What the teacher says of a batch; its share falls linearly from the first update to 0 at the last (Zhang et al. 2021, CPM-2, arXiv
// 2106.10715, anneal the knowledge inheritance in the same way).
Distillation taught(const StepTask& task, const TensorBatch& batch) {
    const TrainingSettings& settings = task.state->settings;
    Distillation teaching;
    if (!task.teacher) return teaching;
    const double past = static_cast<double>(task.state->update - 1) / static_cast<double>(std::max<std::int64_t>(1, settings.updates - 1));
    teaching.share = settings.teacher_share * (1.0 - past);
    if (teaching.share <= 0) return teaching;
    const at::NoGradGuard guard;
    const Forward forward = task.teacher->inference();
    teaching.hidden = task.teacher->decode(forward, task.teacher->encode(forward, batch.source), batch.target);
    teaching.weight = task.teacher->output_weight(forward);
    teaching.bias = task.teacher->logits_bias();
    teaching.temperature = settings.teacher_temperature;
    return teaching;
}

// Of one update, float64 scalars on the device.
struct Found {
    at::Tensor loss, contrast;
    StepSize size;
};

Found forward_backward(const StepTask& task, std::int64_t pieces) {
    TrainingState& state = *task.state;
    const Seq2Seq& base = state.base;
    const TrainingSettings& settings = state.settings;
    Attached& attached = state.attached;
    const auto options = at::TensorOptions(at::kDouble).device(base.device());
    Found found{at::zeros({}, options), at::zeros({}, options), {}};
    const auto scaled = [&](const at::Tensor& objective) {
        return state.running.scale.defined() ? objective * state.running.scale : objective;
    };
    std::vector<BatchPlan> plans;
    for (const BatchPlan& batch : task.batches) {
        const std::size_t size = (batch.size() + static_cast<std::size_t>(pieces) - 1) / static_cast<std::size_t>(pieces);
        for (std::size_t from = 0; from < batch.size(); from += size)
            plans.emplace_back(batch.begin() + static_cast<std::ptrdiff_t>(from),
                               batch.begin() + static_cast<std::ptrdiff_t>(std::min(batch.size(), from + size)));
    }
    for (const BatchPlan& plan : plans)
        for (const auto index : plan) found.size.labels += static_cast<std::int64_t>((*task.pairs)[index].labels.size());
    const ContrastTotals totals = task.contrast ? ContrastTotals::of(*task.contrast, plans) : ContrastTotals();
    const Smoothing smoothing = settings.smoothing_convention == "fairseq" ? Smoothing::fairseq : Smoothing::torch;
    const bool is_prepared = pieces == 1 && task.prepared.size() == plans.size();
    for (std::size_t part = 0; part < plans.size(); ++part) {
        const BatchPlan& plan = plans[part];
        const TensorBatch batch = is_prepared ? task.prepared[part] : collate(*task.pairs, plan, base.architecture(), base.device());
        const std::uint64_t masks = DropoutStreams::mix(state.seed * 1000003ULL + static_cast<std::uint64_t>(state.update) * 64 + part);
        Forward forward = base.training(*attached.attachment, settings.dropout, masks);
        if (settings.gradient_checkpointing)
            for (const at::Tensor& value : attached.values)
                if (value.requires_grad()) forward.recompute.push_back(value);
        const Encoded encoded = base.encode(forward, batch.source);
        const at::Tensor states = base.decode(forward, encoded, batch.target);
        const Distillation teaching = taught(task, batch);
        const LossSums loss = vocabulary_loss(states, base.output_weight(forward), base.logits_bias(), batch.labels,
                                              settings.label_smoothing, smoothing, teaching.share > 0 ? &teaching : nullptr);
        at::Tensor objective = loss.loss * (1.0 / static_cast<double>(found.size.labels));
        at::Tensor against;
        if (task.contrast)
            against = contrast_loss(base, forward, *task.contrast, plan, encoded, states, batch.labels, batch.target.rows.lengths, totals);
        if (against.defined()) {
            objective = objective + against;
            found.contrast += against.detach();
        }
        backward(scaled(objective));
        found.loss += loss.loss.detach();
        found.size.tokens += batch.tokens + batch.source.rows.count();
    }
    const at::Tensor penalty = attached.method->penalty(base.layout(), attached.settings, attached.values);
    if (penalty.defined()) backward(scaled(penalty));
    return found;
}

// Forward and backward pass of one task, then its update.
StepSize step(StepTask& task) {
    TrainingState& state = *task.state;
    const Seq2Seq& base = state.base;
    const TrainingSettings& settings = state.settings;
    Attached& attached = state.attached;
    ++state.update;
    Found found;
    for (std::int64_t pieces = 1;; pieces *= 2) {
        for (at::Tensor& value : attached.values) value.mutable_grad() = at::Tensor();
        try {
            found = forward_backward(task, pieces);
            break;
        } catch (const c10::Error& error) {
            if (!is_out_of_memory(error))
                throw Error(ErrorKind::internal, "update " + std::to_string(state.update), error.what_without_backtrace());
        } catch (const std::bad_alloc&) {
        }
        std::size_t largest = 0;
        for (const auto& batch : task.batches) largest = std::max(largest, batch.size());
        if (static_cast<std::size_t>(pieces) >= largest)
            throw Error(ErrorKind::device_memory, "update " + std::to_string(state.update),
                        "a batch of one sentence does not fit into memory", "use a smaller model, bfloat16, or shorter sentences");
        log_to(task.sink, "update " + std::to_string(state.update) + ": out of memory, the batch is split into " +
                              std::to_string(pieces * 2) + " parts (same update, slower); a smaller batch_tokens avoids this");
    }

    const at::NoGradGuard guard;
    std::vector<at::Tensor> gradients;
    for (const at::Tensor& value : attached.values)
        if (value.grad().defined()) gradients.push_back(value.grad());
    if (gradients.empty())
        throw Error(ErrorKind::config, attached.method->info().id, "no trained parameter is reached by the training text",
                    "choose other sites");
    TrainingState::Running& running = state.running;
    at::Tensor norm = at::stack(at::_foreach_norm(gradients, 2)).norm(2), divisor;
    if (running.scale.defined()) norm = norm / running.scale;
    const at::Tensor loss = found.loss / static_cast<double>(found.size.labels);
    const at::Tensor sound = at::isfinite(norm).logical_and_(at::isfinite(loss)), skip = sound.logical_not().to(at::kFloat);
    if (settings.clip_norm > 0) divisor = at::clamp_min((norm + 1e-6) / settings.clip_norm, 1.0);
    if (running.scale.defined()) divisor = divisor.defined() ? divisor * running.scale : running.scale;
    state.optimiser->step(state.rate(), divisor, skip);
    if (running.scale.defined()) running.scale = (running.scale * (1.0 - 0.5 * skip)).clamp_min_(1.0);
    // What remembers something between updates must not see one that was skipped. Elsewhere the values stand still, which does no harm.
    const bool remembers =
        std::any_of(attached.specs.begin(), attached.specs.end(), [](const TensorSpec& spec) { return spec.role == TensorRole::state; });
    if ((!remembers || sound.item<bool>()) &&
        attached.method->after_update(base.layout(), attached.settings, base.weights(), attached.values, state.update, settings.updates))
        attached.refresh(base);
    state.take_average();
    running.loss += found.loss;
    running.contrast += found.contrast;
    running.norm += norm;
    running.skipped += skip;
    running.in_row = (running.in_row + 1.0) * skip;
    running.longest_row = at::maximum(running.longest_row, running.in_row);
    running.last_loss = loss;
    state.tokens += found.size.tokens;
    return found.size;
}

}  // namespace

std::vector<StepSize> training_step(std::span<StepTask> tasks) {
    std::vector<StepSize> sizes;
    for (StepTask& task : tasks) sizes.push_back(step(task));
    return sizes;
}

}  // namespace permille
