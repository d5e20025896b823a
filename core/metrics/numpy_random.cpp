#include "core/metrics/numpy_random.h"

#include <array>
#include <bit>
#include <vector>

namespace permille {

namespace {

constexpr std::uint32_t kShift = 16;

// NumPy's SeedSequence: spreads the seed's words over a pool, then draws `words` from it.
std::vector<std::uint32_t> spread(std::uint64_t seed, std::size_t words) {
    std::array<std::uint32_t, 4> pool{};
    const std::array<std::uint32_t, 2> entropy{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)};
    const std::size_t length = entropy[1] != 0 ? 2 : 1;

    std::uint32_t factor = 0x43b0d7e5;
    const auto hash = [&](std::uint32_t value) {
        value ^= factor;
        factor *= 0x931e8875;
        value *= factor;
        return value ^ value >> kShift;
    };
    const auto mix = [](std::uint32_t a, std::uint32_t b) {
        const std::uint32_t mixed = 0xca01f9dd * a - 0x4973f715 * b;
        return mixed ^ mixed >> kShift;
    };
    for (std::size_t i = 0; i < pool.size(); ++i) pool[i] = hash(i < length ? entropy[i] : 0);
    for (std::size_t from = 0; from < pool.size(); ++from)
        for (std::size_t to = 0; to < pool.size(); ++to)
            if (from != to) pool[to] = mix(pool[to], hash(pool[from]));

    std::vector<std::uint32_t> result;
    std::uint32_t output_factor = 0x8b51f9dd;
    for (std::size_t i = 0; i < words; ++i) {
        std::uint32_t value = pool[i % pool.size()];
        value ^= output_factor;
        output_factor *= 0x58f38ded;
        value *= output_factor;
        result.push_back(value ^ value >> kShift);
    }
    return result;
}

}  // namespace

NumpyRandom::NumpyRandom(std::uint64_t seed) {
    const auto words = spread(seed, 8);
    const auto number = [&](std::size_t i) { return static_cast<std::uint64_t>(words[2 * i + 1]) << 32 | words[2 * i]; };
    const Wide start = static_cast<Wide>(number(0)) << 64 | number(1);
    const Wide sequence = static_cast<Wide>(number(2)) << 64 | number(3);
    increment_ = sequence << 1 | 1;
    step();
    state_ += start;
    step();
}

void NumpyRandom::step() {
    constexpr Wide kMultiplier = static_cast<Wide>(0x2360ed051fc65da4ULL) << 64 | 0x4385df649fccf645ULL;
    state_ = state_ * kMultiplier + increment_;
}

std::uint64_t NumpyRandom::next64() {
    step();
    const auto high = static_cast<std::uint64_t>(state_ >> 64), low = static_cast<std::uint64_t>(state_);
    return std::rotr(high ^ low, static_cast<int>(high >> 58));
}

std::uint32_t NumpyRandom::next32() {
    if (has_half_) {
        has_half_ = false;
        return half_;
    }
    const std::uint64_t both = next64();
    has_half_ = true;
    half_ = static_cast<std::uint32_t>(both >> 32);
    return static_cast<std::uint32_t>(both);
}

std::uint32_t NumpyRandom::below(std::uint32_t count) {
    if (count <= 1) return 0;
    std::uint64_t product = static_cast<std::uint64_t>(next32()) * count;
    if (static_cast<std::uint32_t>(product) < count) {
        const std::uint32_t least = (0U - count) % count;
        while (static_cast<std::uint32_t>(product) < least) product = static_cast<std::uint64_t>(next32()) * count;
    }
    return static_cast<std::uint32_t>(product >> 32);
}

}  // namespace permille
