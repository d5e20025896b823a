// The vocabulary projection and the label-smoothed cross-entropy together, by blocks of rows: no [N, V] tensor ever exists, and the
// gradients are made in the forward pass.
#pragma once

#include <ATen/core/Tensor.h>

namespace permille {

struct LossSums {
    // Scalars, float64, on the device of the states.
    at::Tensor loss;            // summed over labels, smoothed, differentiable (in nats)
    at::Tensor log_likelihood;  // sum of log p(label), natural, not smoothed
};

// How the smoothing mass epsilon is spread: torch over all V classes, fairseq over the V-1 others.
enum class Smoothing { torch, fairseq };

// Knowledge distillation (Hinton et al. 2015, arXiv 1503.02531, section 2) from another model's states of the same labels: the loss becomes
// (1 - share) loss + share t^2 KL(teacher || student), both distributions at temperature t.
struct Distillation {
    at::Tensor hidden, weight, bias;  // of the teacher: [N, D'], [V, D'], [V] or undefined
    double share = 0, temperature = 1;
};

// hidden [N, D], weight [V, D], bias [V] or undefined, labels [N] int64.
LossSums vocabulary_loss(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& labels,
                         double epsilon, Smoothing smoothing = Smoothing::torch, const Distillation* teacher = nullptr);

// log p(label) of each row [N], natural, float32; differentiable in hidden and weight. Whatever is behind is computed again for the
// gradients.
at::Tensor label_log_probabilities(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& labels);

}  // namespace permille
