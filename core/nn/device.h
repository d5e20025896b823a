// Devices and types by the names that users give them. Whoever chooses a device comes through here: see core/nn/accelerators.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

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

// Tensors of the CPU that go to a device together, in one copy, which costs a card as much time as a small one.
class Uploads {
public:
    // The tensor is replaced at send(); an undefined one stays undefined.
    void add(at::Tensor& host) { tensors_.push_back(&host); }
    // Nothing happens where the device is the CPU. What is sent shares memory: it is read, never written to.
    void send(const at::Device& device);

private:
    std::vector<at::Tensor*> tensors_;
};

// Memory of a device that is not the CPU, in bytes. free: what the driver still gives, and what libtorch holds there without using it.
struct DeviceMemory {
    std::int64_t free = 0, total = 0;
};
DeviceMemory device_memory(const at::Device& device);

}  // namespace permille
