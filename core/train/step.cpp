#include "core/train/step.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
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
    return {TokenRows::of(sources, device), TokenRows::of(inputs, device), labels.to(device), count};
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

StepSums forward_backward(const StepTask& task, std::int64_t pieces) {
    TrainingState& state = *task.state;
    const Seq2Seq& base = state.base;
    const TrainingSettings& settings = state.settings;
    Attached& attached = state.attached;
    StepSums sums;
    std::vector<BatchPlan> plans;
    for (const BatchPlan& batch : task.batches) {
        const std::size_t size = (batch.size() + static_cast<std::size_t>(pieces) - 1) / static_cast<std::size_t>(pieces);
        for (std::size_t from = 0; from < batch.size(); from += size)
            plans.emplace_back(batch.begin() + static_cast<std::ptrdiff_t>(from),
                               batch.begin() + static_cast<std::ptrdiff_t>(std::min(batch.size(), from + size)));
    }
    for (const BatchPlan& plan : plans)
        for (const auto index : plan) sums.labels += static_cast<std::int64_t>((*task.pairs)[index].labels.size());
    const ContrastTotals totals = task.contrast ? ContrastTotals::of(*task.contrast, plans) : ContrastTotals();
    const Smoothing smoothing = settings.smoothing_convention == "fairseq" ? Smoothing::fairseq : Smoothing::torch;
    std::uint64_t part = 0;
    for (const BatchPlan& plan : plans) {
        const TensorBatch batch = collate(*task.pairs, plan, base.architecture(), base.device());
        const std::uint64_t masks = DropoutStreams::mix(state.seed * 1000003ULL + static_cast<std::uint64_t>(state.update) * 64 + part++);
        if (!base.device().is_cpu()) {
            at::Generator generator = at::globalContext().defaultGenerator(base.device());
            generator.set_current_seed(masks);
        }
        Forward forward = base.training(*attached.attachment, settings.dropout, masks);
        if (settings.gradient_checkpointing)
            for (const at::Tensor& value : attached.values)
                if (value.requires_grad()) forward.recompute.push_back(value);
        const Encoded encoded = base.encode(forward, batch.source);
        const at::Tensor states = base.decode(forward, encoded, batch.target);
        const Distillation teaching = taught(task, batch);
        const LossSums loss = vocabulary_loss(states, base.output_weight(forward), base.logits_bias(), batch.labels,
                                              settings.label_smoothing, smoothing, teaching.share > 0 ? &teaching : nullptr);
        const double scale = base.compute() == at::kHalf ? state.loss_scale : 1.0;
        at::Tensor objective = loss.loss * (scale / static_cast<double>(sums.labels));
        at::Tensor against;
        if (task.contrast)
            against = contrast_loss(base, forward, *task.contrast, plan, encoded, states, batch.labels, batch.target.rows.lengths, totals);
        if (against.defined()) {
            objective = objective + against * scale;
            sums.contrast += against.item<double>();
        }
        torch::autograd::backward({objective}, {});
        sums.loss += loss.loss.item<double>();
        sums.likelihood += loss.log_likelihood;
        sums.tokens += batch.tokens + batch.source.rows.count();
    }
    const at::Tensor penalty = attached.method->penalty(base.layout(), attached.settings, attached.values);
    if (penalty.defined()) torch::autograd::backward({base.compute() == at::kHalf ? penalty * state.loss_scale : penalty}, {});
    return sums;
}

// Forward and backward pass of one task, then its update.
StepSums step(StepTask& task) {
    TrainingState& state = *task.state;
    const Seq2Seq& base = state.base;
    const TrainingSettings& settings = state.settings;
    Attached& attached = state.attached;
    ++state.update;
    StepSums sums;
    for (std::int64_t pieces = 1;; pieces *= 2) {
        for (at::Tensor& value : attached.values) value.mutable_grad() = at::Tensor();
        try {
            sums = forward_backward(task, pieces);
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
    if (base.compute() == at::kHalf)
        for (at::Tensor& gradient : gradients) gradient.mul_(1.0 / state.loss_scale);
    at::Tensor squares = at::zeros({}, gradients[0].options());
    for (const at::Tensor& norm : at::_foreach_norm(gradients, 2)) squares += norm.square();
    sums.norm = std::sqrt(squares.item<double>());
    const double loss = sums.loss / static_cast<double>(sums.labels);
    if (!std::isfinite(sums.norm) || !std::isfinite(loss)) {
        ++state.skipped;
        state.loss_scale = std::max(1.0, state.loss_scale / 2);
        if (++state.skipped_in_row >= 8)
            throw Error(ErrorKind::not_a_number, "update " + std::to_string(state.update),
                        "loss or gradient was not a number eight times in a row (loss " + std::to_string(loss) + ")",
                        "lower the learning rate (now " + std::to_string(state.learning_rate) + "), or use float32");
        log_to(task.sink, "update " + std::to_string(state.update) + ": the gradient is not a number, the update is skipped");
    } else {
        state.skipped_in_row = 0;
        if (settings.clip_norm > 0 && sums.norm > settings.clip_norm)
            for (at::Tensor& gradient : gradients) gradient.mul_(settings.clip_norm / (sums.norm + 1e-6));
        state.optimiser->step(state.rate());
        if (attached.method->after_update(base.layout(), attached.settings, base.weights(), attached.values, state.update,
                                          settings.updates))
            attached.refresh(base);
        state.take_average();
    }
    state.last_loss = loss;
    state.tokens += sums.tokens;
    return sums;
}

}  // namespace

std::vector<StepSums> training_step(std::span<StepTask> tasks) {
    std::vector<StepSums> sums;
    for (StepTask& task : tasks) sums.push_back(step(task));
    return sums;
}

}  // namespace permille
