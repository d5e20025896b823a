// Devices and types by the names that users give them. Whoever chooses a device comes through here: see core/nn/accelerators.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace permille {

// "auto", "cpu", "cuda", "cuda:1" -> a device that this machine has. Throws Error(config).
at::Device parse_device(const std::string& device);
// "float32", "bfloat16", "float16" -> a type that the device can compute in. "auto": bfloat16 on CUDA and on CPUs with instructions for it
// (AVX512-BF16), float32 elsewhere. Throws Error(config).
at::ScalarType parse_dtype(const std::string& dtype, at::Device device);
// The name of such a type.
std::string dtype_name(at::ScalarType type);

// A tensor of the CPU on the device; itself where that is the CPU. The host does not wait for the copy: it goes through pinned memory.
at::Tensor upload(const at::Tensor& host, const at::Device& device);

}  // namespace permille
