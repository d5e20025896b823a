// An adapter worked into the weights of its base: a plain model that translates the same, without anything beside it.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "core/peft/attach.h"

namespace permille {

// The base's tensors by parameter index, float32 where something was merged into them. Throws Error(unsupported) naming the method and the
// place when what is attached is no change of weights there.
std::vector<at::Tensor> merged_weights(const Attached& attached, const Seq2Seq& base);

}  // namespace permille
