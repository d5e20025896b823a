// A device in the place of a graphics card, on machines that have none. It computes as the CPU does but is as strict as a card, and it
// counts what is slow on one.
//
// - A tensor of another device among its own is refused, but for the numbers (0 dimensions) that CUDA takes as well, and copies that are
//   asked for by name.
// - Its addresses are disguised: who reads its memory without an operator ends with a fault, as on a card.
// - Random numbers come from a generator that is given; the one that all runs on a device share is refused, but to operators that know no
//   other and draw once from it after it was seeded.
// - Of libtorch's fused attention it has the memory-efficient kernel (tests/support/standin_attention.cpp).
//
// It is registered with libtorch as the process starts; the program itself knows no name for it.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <map>
#include <string>

namespace permille::test {

at::Device standin_device();

// Since the last reset, of all threads.
struct DeviceWork {
    std::int64_t launches = 0;  // operators that compute
    std::int64_t waits = 0;     // times that the host had to wait for a result: a number read, a copy that is not both pinned and without
                                // waiting, a size by data
    std::int64_t uploads = 0;   // copies from the host
    std::map<std::string, std::int64_t> waited_in, launched;  // waits and launches by operator
};
DeviceWork device_work();
void reset_device_work();

// What the device says of its memory: plenty, unless it is told otherwise. unused: what the allocator holds beside that.
void set_standin_memory(std::int64_t free, std::int64_t unused);

// How often the attention kernel ran, without and with cumulative lengths, and the dropout that it was last given.
struct AttentionWork {
    std::int64_t padded = 0, packed = 0;
    double dropout = 0;
};
AttentionWork attention_work();
void reset_attention_work();

// For the stand-in's own kernels. A tensor of the device as the host sees it, over the same memory, and a new one of the host as one of the
// device; launches of an operator; the seed of the generator that all share, which must be new.
at::Tensor standin_as_host(const at::Tensor& tensor);
at::Tensor standin_from_host(const at::Tensor& host);
void count_launches(const std::string& name, std::int64_t launches);
std::uint64_t take_shared_seed();

}  // namespace permille::test
