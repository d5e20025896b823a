// Dropout whose mask is a function of (seed, call, element): nothing is stored for the backward pass, nothing has to be saved to resume a
// run, and the result does not depend on the number of threads nor on what else draws numbers. On the CPU it comes from a hash; another
// device draws it with a generator made for the call, and draws it again for the backward pass.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <mutex>

namespace permille {

// One per batch; every call takes the next stream, so a forward pass must make its calls in a fixed order.
class DropoutStreams {
public:
    explicit DropoutStreams(std::uint64_t seed = 0) : seed_(seed) {}
    std::uint64_t next() { return mix(seed_ + 0x9e3779b97f4a7c15ULL * ++calls_); }
    static std::uint64_t mix(std::uint64_t value) {  // splitmix64's finaliser
        value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
        value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
        return value ^ (value >> 31);
    }

private:
    std::uint64_t seed_;
    std::uint64_t calls_ = 0;
};

// Some operators of a card draw their own numbers, and from the one generator that all work on the device shares. For as long as what this
// returns lives, that generator stands at the beginning of the stream and is nobody else's: what is drawn is a function of the stream.
[[nodiscard]] std::unique_lock<std::mutex> shared_generator_at(std::uint64_t stream, const at::Device& device);

// x * mask / (1 - p). With p = 0 x itself.
at::Tensor dropout(const at::Tensor& x, double p, DropoutStreams& streams);
// residual + dropout(x) in one pass; the residual's type is kept. With p = 0 plain addition.
at::Tensor add_dropout(const at::Tensor& residual, const at::Tensor& x, double p, DropoutStreams& streams);

}  // namespace permille
