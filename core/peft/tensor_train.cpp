#include "core/peft/tensor_train.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.h"

namespace permille {

namespace {

struct KnownShape {
    std::int64_t bottleneck, width;
    std::vector<std::int64_t> factors;
};

// The rows of LoRETTA's table that multiply out; others of it (16 x 1024, 32 x 1024) do not.
const std::vector<KnownShape>& known_shapes() {
    static const std::vector<KnownShape> table = {
        {64, 768, {8, 8, 12, 8, 8}},  {8, 1024, {4, 8, 8, 8, 4}},        {64, 1024, {4, 8, 8, 8, 8, 4}},
        {8, 4096, {16, 16, 8, 4, 4}}, {64, 4096, {16, 16, 16, 4, 4, 4}}, {8, 8192, {4, 16, 16, 16, 4}},
    };
    return table;
}

constexpr std::int64_t kLargestFactor = 16;

void add_primes(std::vector<std::int64_t>& primes, std::int64_t number) {
    for (std::int64_t prime = 2; prime * prime <= number; ++prime)
        for (; number % prime == 0; number /= prime) primes.push_back(prime);
    if (number > 1) primes.push_back(number);
}

}  // namespace

TensorTrain TensorTrain::of(std::int64_t in, std::int64_t out, std::int64_t rank) {
    TensorTrain train{in, out, rank, {}};
    for (const KnownShape& known : known_shapes())
        if (std::min(in, out) == known.bottleneck && std::max(in, out) == known.width) train.factors = known.factors;
    if (!train.factors.empty()) return train;
    std::vector<std::int64_t> primes;
    add_primes(primes, in);
    add_primes(primes, out);
    for (const std::int64_t prime : primes) {
        if (!train.factors.empty() && train.factors.back() * prime <= kLargestFactor) train.factors.back() *= prime;
        else train.factors.push_back(prime);
    }
    if (train.factors.empty()) train.factors = {1};
    return train;
}

void TensorTrain::add_specs(std::vector<TensorSpec>& specs, const std::string& stem, bool zero) const {
    const double sigma = std::pow(1.0 / static_cast<double>(in + out), 0.5 / static_cast<double>(cores()));
    for (std::size_t k = 0; k < cores(); ++k) {
        const bool last = k + 1 == cores();
        const std::int64_t left = k == 0 ? 1 : rank, right = last ? 1 : rank;
        const Init start = zero && last ? Init::zeros() : Init::normal(sigma / std::sqrt(static_cast<double>(right)));
        specs.push_back({stem + "core" + std::to_string(k), {left, factors[k], right}, start});
    }
}

at::Tensor TensorTrain::matrix(const std::vector<at::Tensor>& values, std::size_t first) const {
    at::Tensor product = values[first].view({factors[0], -1});  // [n_1 ... n_k, R]
    for (std::size_t k = 1; k < cores(); ++k) {
        const at::Tensor& core = values[first + k];
        product = at::mm(product, core.view({core.size(0), -1})).view({-1, core.size(2)});
    }
    PERMILLE_ASSERT(product.numel() == in * out);
    return product.view({in, out});
}

}  // namespace permille
