#include "core/models/mapped_tensor.h"

#include <ATen/ATen.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "core/base/error.h"

namespace permille {

namespace {

// Only pages that lie wholly within the range: its neighbours may be in use. They come back from the file when they are read again.
void release_pages(const std::byte* begin, std::uint64_t length) {
    static const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    const auto first = (reinterpret_cast<std::uintptr_t>(begin) + page - 1) / page * page;
    const auto last = (reinterpret_cast<std::uintptr_t>(begin) + length) / page * page;
    if (first < last) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

}  // namespace

at::Tensor mapped_tensor(const std::shared_ptr<const MappedFile>& map, std::uint64_t begin, at::IntArrayRef shape, at::ScalarType type) {
    const auto options = at::TensorOptions().dtype(type);
    std::uint64_t length = c10::elementSize(type);
    for (const auto size : shape) length *= static_cast<std::uint64_t>(size);
    if (length == 0) return at::empty(shape, options);
    PERMILLE_ASSERT(length <= map->bytes().size() && begin <= map->bytes().size() - length);
    const std::byte* start = map->bytes().data() + begin;
    if (reinterpret_cast<std::uintptr_t>(start) % c10::elementSize(type) != 0) {
        at::Tensor copy = at::empty(shape, options);
        std::memcpy(copy.data_ptr(), start, length);
        release_pages(start, length);
        return copy;
    }
    return at::from_blob(
        const_cast<std::byte*>(start), shape, [map, length](void* freed) { release_pages(static_cast<const std::byte*>(freed), length); },
        options);
}

}  // namespace permille
