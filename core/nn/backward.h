// The one way to a backward pass, so that every device is there before libtorch's first one: see core/nn/accelerators.h.
#pragma once

#include <ATen/core/Tensor.h>

namespace permille {

// Adds the gradients of a scalar to those of the trained tensors behind it.
void backward(const at::Tensor& scalar);

}  // namespace permille
