// The safetensors file format: an 8-byte little-endian header length, a JSON header, raw tensors. Reading maps the file and copies nothing;
// the file is untrusted, every number in it is checked.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace permille {

using TensorMap = std::map<std::string, at::Tensor>;

// Read-only CPU tensors that keep the map alive. Throws Error(file) naming the tensor for damaged headers, unknown types, overlapping or
// out-of-range places.
TensorMap read_safetensors(const std::filesystem::path& file, std::map<std::string, std::string>* metadata = nullptr);

// Contiguous CPU copies are written in the order given; beside and renamed. Throws Stopped when asked to stop.
void write_safetensors(const std::filesystem::path& file, const std::vector<std::pair<std::string, at::Tensor>>& tensors,
                       const std::map<std::string, std::string>& metadata = {}, const std::stop_token& stop = {});

// The size in bytes of the file that write_safetensors() makes of tensors of these names, shapes and types.
struct TensorShape {
    std::string name;
    std::vector<std::int64_t> shape;
    at::ScalarType type = at::kFloat;
};
std::int64_t safetensors_size(const std::vector<TensorShape>& tensors, const std::map<std::string, std::string>& metadata = {});

}  // namespace permille
