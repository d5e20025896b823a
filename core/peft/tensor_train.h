// A matrix as a tensor train (Oseledets 2011; Novikov et al. 2015, arXiv 1509.06569): its entries, in the order of memory, are an array of
// shape n_1 x ... x n_K, and that is a product of small cores U_k [R, n_k, R] (R = 1 at both ends). As in LoRETTA (arXiv 2402.11417).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/peft/method.h"

namespace permille {

struct TensorTrain {
    std::int64_t in = 0, out = 0;
    std::int64_t rank = 1;              // R of every inner bond
    std::vector<std::int64_t> factors;  // n_1 ... n_K, their product is in * out

    // The shape of LoRETTA's code where its table has one for these two widths and it multiplies out; otherwise the primes of in, then of
    // out, gathered into factors of up to 16.
    static TensorTrain of(std::int64_t in, std::int64_t out, std::int64_t rank);

    std::size_t cores() const { return factors.size(); }
    // One spec per core, stem + "core0" and so on. Each entry of the matrix starts with a variance of 1 / (in + out), which is the authors'
    // start; zero: the last core is zero, and so is the matrix.
    void add_specs(std::vector<TensorSpec>& specs, const std::string& stem, bool zero) const;
    // [in, out], from the cores values[first] and after.
    at::Tensor matrix(const std::vector<at::Tensor>& values, std::size_t first) const;
};

}  // namespace permille
