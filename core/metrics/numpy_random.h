// NumPy's default generator, number for number: resamples must be those of the reference scorer.
#pragma once

#include <cstdint>

namespace permille {

// numpy.random.default_rng(seed): PCG64 (O'Neill 2014, XSL-RR 128/64), seeded through SeedSequence.
class NumpyRandom {
public:
    explicit NumpyRandom(std::uint64_t seed);

    std::uint64_t next64();
    // Halves of the 64-bit numbers, the lower one first.
    std::uint32_t next32();
    // As Generator.integers(0, count) gives them: Lemire's method (2019, arXiv 1805.10941) on 32 bits. count >= 1 and below 2^32.
    std::uint32_t below(std::uint32_t count);

private:
    __extension__ using Wide = unsigned __int128;
    void step();
    Wide state_ = 0, increment_ = 0;
    bool has_half_ = false;
    std::uint32_t half_ = 0;
};

}  // namespace permille
