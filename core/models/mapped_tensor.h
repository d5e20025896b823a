// Tensors over the bytes of a mapped file: nothing is copied, pages are read when touched, and go back to the system when the tensor is
// freed, so that a checkpoint converted tensor by tensor never lies in memory twice.
//
// A limit: the file must keep its length while it is mapped. Readers check every tensor against the length at the time of opening, but
// pages that are cut off afterwards, or that the disk cannot read, end the program with SIGBUS when they are touched; Linux has no other
// way to say so, and a handler for the whole process could neither go on nor unwind through libtorch's threads. Whoever replaces a
// checkpoint should write beside and rename, as write_atomically and the hub downloads do: then the old file stays whole for those who have
// it open.
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
