// The vocabulary projection and the label-smoothed cross-entropy together, by blocks of rows: no [N, V] tensor ever exists, and the
// gradients are made in the forward pass.
#pragma once

#include <ATen/core/Tensor.h>

namespace permille {

struct LossSums {
    at::Tensor loss;            // scalar, summed over labels, smoothed, differentiable (in nats)
    double log_likelihood = 0;  // sum of log p(label), natural, not smoothed
};

// How the smoothing mass epsilon is spread: torch over all V classes, fairseq over the V-1 others.
enum class Smoothing { torch, fairseq };

// hidden [N, D], weight [V, D], bias [V] or undefined, labels [N] int64.
LossSums vocabulary_loss(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& labels,
                         double epsilon, Smoothing smoothing = Smoothing::torch);

// log p(label) of each row [N], natural, float32; no gradients.
at::Tensor label_log_probabilities(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& labels);

}  // namespace permille
