// Gradient checkpointing (Chen et al. 2016, arXiv 1604.06174): of a layer only what goes in is kept; the backward pass computes it again,
// with the same dropout masks, and so gets the same gradients bit for bit for less memory and one more forward pass.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "core/nn/parts.h"

namespace permille {

// A layer as a function of its inputs; it may read trained tensors and the dropout streams of the Forward that it is given.
using LayerFunction = std::function<at::Tensor(const Forward& forward, const std::vector<at::Tensor>& inputs)>;

// layer(forward, inputs); with forward.recompute and gradients on, nothing of what is between is kept. The function is called again during
// the backward pass: what it refers to must live as long. An undefined input stays undefined.
at::Tensor run_layer(const Forward& forward, const std::vector<at::Tensor>& inputs, const LayerFunction& layer);

}  // namespace permille
