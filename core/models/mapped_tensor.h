// Tensors over the bytes of a mapped file: nothing is copied, pages are read when touched, and go back to the system when the tensor is
// freed, so that a checkpoint converted tensor by tensor never lies in memory twice.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "core/base/files.h"

namespace permille {

// A read-only CPU tensor over the bytes from `begin` on, contiguous; it keeps the map alive. Where the bytes do not lie as the type needs
// them it is a copy. The caller has checked that the file has them.
at::Tensor mapped_tensor(const std::shared_ptr<const MappedFile>& map, std::uint64_t begin, at::IntArrayRef shape, at::ScalarType type);

}  // namespace permille
