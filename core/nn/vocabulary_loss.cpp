#include "core/nn/vocabulary_loss.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>

#include "core/nn/matmul.h"

namespace permille {

namespace {

// Rows of a block. Enough of them for the matrix product to run at full speed; the float32 logits (rows x V) take 16 MB on a CPU. A table
// that trains costs a [V, D] sum for every block on top, so then there are few blocks.
std::int64_t block_rows(const at::Tensor& weight, bool weight_trains = false) {
    const std::int64_t logits = std::int64_t{1} << (weight.device().is_cpu() && !weight_trains ? 22 : 24);
    return std::clamp<std::int64_t>(logits / weight.size(0), 64, 2048);
}

at::Tensor teacher_logits(const Distillation& teacher, std::int64_t from, std::int64_t size) {
    at::Tensor logits =
        product_transposed(teacher.hidden.narrow(0, from, size).to(teacher.weight.scalar_type()), teacher.weight).to(at::kFloat);
    return teacher.bias.defined() ? logits.add_(teacher.bias) : logits;
}

struct Loss : torch::autograd::Function<Loss> {
    static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context, const at::Tensor& hidden,
                                                  const at::Tensor& weight, const std::optional<at::Tensor>& bias, const at::Tensor& labels,
                                                  double epsilon, bool fairseq, bool hidden_trains, bool weight_trains,
                                                  const Distillation* teacher) {
        const std::int64_t count = hidden.size(0), vocabulary = weight.size(0);
        const double other = fairseq ? epsilon / static_cast<double>(vocabulary - 1) : epsilon / static_cast<double>(vocabulary);
        const double own = fairseq ? 1.0 - epsilon - other : 1.0 - epsilon;
        const at::Tensor x = hidden.to(weight.scalar_type());
        at::Tensor to_hidden, to_weight;
        if (hidden_trains) to_hidden = at::empty(hidden.sizes(), x.options());
        at::Tensor smoothed = at::zeros({}, hidden.options().dtype(at::kDouble)), likelihood = at::zeros({}, smoothed.options());
        const std::int64_t block = std::min(count, block_rows(weight, weight_trains));
        for (std::int64_t from = 0; from < count; from += block) {
            const std::int64_t size = std::min(block, count - from);
            const at::Tensor rows = x.narrow(0, from, size);
            at::Tensor logits = product_transposed(rows, weight).to(at::kFloat);
            if (bias) logits.add_(*bias);
            const at::Tensor block_labels = labels.narrow(0, from, size).unsqueeze(1);
            at::Tensor log_p = at::log_softmax(logits, 1);
            const at::Tensor chosen = log_p.gather(1, block_labels);
            const at::Tensor chosen_sum = chosen.sum(at::kDouble);
            likelihood += chosen_sum;
            const double share = teacher ? teacher->share : 0.0;
            if (epsilon > 0) {
                smoothed -= (1.0 - share) * (own * chosen_sum + other * log_p.sum(at::kDouble));
            } else {
                smoothed -= (1.0 - share) * chosen_sum;
            }
            at::Tensor student_p, teacher_p;  // at the temperature
            if (share > 0) {
                const double t = teacher->temperature;
                const at::Tensor expected = at::log_softmax(teacher_logits(*teacher, from, size).div_(t), 1);
                const at::Tensor found = at::log_softmax(logits / t, 1);
                teacher_p = expected.exp();
                smoothed += share * t * t * (expected - found).mul_(teacher_p).sum(at::kDouble);
                student_p = found.exp();
            }
            if (!hidden_trains && !weight_trains) continue;
            // d loss / d logits = (sum of target weights) * p - target, with target = other everywhere and own more at the label.
            at::Tensor gradient = log_p.exp_();
            const double mass = own + other * static_cast<double>(vocabulary);
            if (mass != 1.0) gradient.mul_(mass);
            if (epsilon > 0) gradient.sub_(other);
            gradient.scatter_add_(1, block_labels, at::full({size, 1}, -own, gradient.options()));
            if (share > 0) gradient.mul_(1.0 - share).add_(student_p.sub_(teacher_p), share * teacher->temperature);
            const at::Tensor typed = gradient.to(x.scalar_type());
            if (hidden_trains) to_hidden.narrow(0, from, size).copy_(product_transposed(typed, weight.t()));
            if (!weight_trains) continue;
            const at::Tensor added = product_transposed(typed.t(), rows.t());
            if (to_weight.defined()) to_weight.add_(added);
            else to_weight = added.to(at::kFloat);
        }
        context->save_for_backward({to_hidden, to_weight});
        context->saved_data["hidden_type"] = static_cast<std::int64_t>(hidden.scalar_type());
        context->saved_data["weight_type"] = static_cast<std::int64_t>(weight.scalar_type());
        context->mark_non_differentiable({likelihood});
        return {smoothed, likelihood};
    }

    static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
        const auto saved = context->get_saved_variables();
        const auto hidden_type = static_cast<at::ScalarType>(context->saved_data["hidden_type"].toInt());
        const auto weight_type = static_cast<at::ScalarType>(context->saved_data["weight_type"].toInt());
        const at::Tensor factor = gradients[0].to(at::kFloat);
        at::Tensor to_hidden, to_weight;
        if (saved[0].defined()) to_hidden = saved[0].to(hidden_type).mul(factor.to(hidden_type));
        if (saved[1].defined()) to_weight = (saved[1] * factor).to(weight_type);
        return {to_hidden, to_weight, {}, {}, {}, {}, {}, {}, {}};
    }
};

// log p(label) [N] by blocks of rows; visit(from, size, rows, log p [size, V]) sees each block.
template <class Visit>
void for_blocks(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, bool weight_trains, Visit&& visit) {
    const std::int64_t count = x.size(0), block = std::min(count, block_rows(weight, weight_trains));
    for (std::int64_t from = 0; from < count; from += block) {
        const std::int64_t size = std::min(block, count - from);
        const at::Tensor rows = x.narrow(0, from, size);
        at::Tensor logits = product_transposed(rows, weight).to(at::kFloat);
        if (bias.defined()) logits.add_(bias);
        visit(from, size, rows, at::log_softmax(logits, 1));
    }
}

struct LabelLogP : torch::autograd::Function<LabelLogP> {
    static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& hidden, const at::Tensor& weight,
                              const std::optional<at::Tensor>& bias, const at::Tensor& labels) {
        at::Tensor result = at::empty({hidden.size(0)}, hidden.options().dtype(at::kFloat));
        for_blocks(hidden.to(weight.scalar_type()), weight, bias.value_or(at::Tensor()), false,
                   [&](std::int64_t from, std::int64_t size, const at::Tensor&, const at::Tensor& log_p) {
                       result.narrow(0, from, size).copy_(log_p.gather(1, labels.narrow(0, from, size).unsqueeze(1)).squeeze(1));
                   });
        context->save_for_backward({hidden, weight, bias.value_or(at::Tensor()), labels});
        return result;
    }

    static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
        const auto saved = context->get_saved_variables();
        const at::Tensor &hidden = saved[0], &weight = saved[1], &labels = saved[3];
        at::Tensor to_hidden, to_weight;
        if (hidden.requires_grad()) to_hidden = at::empty(hidden.sizes(), hidden.options().requires_grad(false));
        const at::NoGradGuard guard;
        for_blocks(hidden.detach().to(weight.scalar_type()), weight.detach(), saved[2], weight.requires_grad(),
                   [&](std::int64_t from, std::int64_t size, const at::Tensor& rows, const at::Tensor& log_p) {
                       // d log p(label) / d logits = 1 at the label - p
                       const at::Tensor factor = gradients[0].narrow(0, from, size).unsqueeze(1);
                       const at::Tensor gradient =
                           (log_p.exp() * -factor).scatter_add(1, labels.narrow(0, from, size).unsqueeze(1), factor);
                       const at::Tensor typed = gradient.to(rows.scalar_type());
                       if (to_hidden.defined()) to_hidden.narrow(0, from, size).copy_(product_transposed(typed, weight.detach().t()));
                       if (!weight.requires_grad()) return;
                       const at::Tensor added = product_transposed(typed.t(), rows.t()).to(at::kFloat);
                       to_weight = to_weight.defined() ? to_weight.add_(added) : added;
                   });
        if (to_weight.defined()) to_weight = to_weight.to(weight.scalar_type());
        return {to_hidden, to_weight, {}, {}};
    }
};

}  // namespace

LossSums vocabulary_loss(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& labels,
                         double epsilon, Smoothing smoothing, const Distillation* teacher) {
    const bool recording = at::GradMode::is_enabled();
    const auto outputs =
        Loss::apply(hidden, weight, bias.defined() ? std::optional(bias) : std::nullopt, labels, epsilon, smoothing == Smoothing::fairseq,
                    recording && hidden.requires_grad(), recording && weight.requires_grad(), teacher);
    return {outputs[0], outputs[1]};
}

at::Tensor label_log_probabilities(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& labels) {
    return LabelLogP::apply(hidden, weight, bias.defined() ? std::optional(bias) : std::nullopt, labels);
}

}  // namespace permille
