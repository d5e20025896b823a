#include "core/nn/backward.h"

#include <torch/csrc/autograd/autograd.h>

#include "core/nn/accelerators.h"

namespace permille {

void backward(const at::Tensor& scalar) {
    load_accelerators();
    torch::autograd::backward({scalar}, {});
}

}  // namespace permille
