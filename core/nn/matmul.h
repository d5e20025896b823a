// Matrix products on the fastest library that libtorch carries for the machine. On the CPU in float32 that is oneDNN, which uses AVX-512 on
// every processor that has it; libtorch's own choice, MKL, falls back to a slower path on processors of another maker (measured: 2.2 times
// slower). bfloat16 already goes to oneDNN, CUDA to cuBLAS.
#pragma once

#include <ATen/core/Tensor.h>

namespace permille {

// x W^T + b for rows x [N, in], W [out, in], b [out] or undefined -> [N, out]. Differentiable in all three.
at::Tensor linear_map(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {});

// a b^T for a [N, K] and b [M, K] -> [N, M]; either may be a transposed view. No gradients.
at::Tensor product_transposed(const at::Tensor& a, const at::Tensor& b);

}  // namespace permille
