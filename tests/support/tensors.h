// Comparing tensors in tests. Include before tests/support/test.h.
#pragma once

#include <ATen/ATen.h>

#include <map>
#include <string>

#include "core/models/safetensors.h"
#include "tests/support/test.h"

namespace permille::test {

// Every |got - want| is at most tolerance * max(1, |want|); a failure names the first place that is not, both values and the largest
// difference.
inline void require_close(const at::Tensor& got, const at::Tensor& want, double tolerance, const std::string& name = "") {
    INFO("tensor " << name << " " << c10::str(got.sizes()) << ", expected " << c10::str(want.sizes()));
    REQUIRE(got.sizes() == want.sizes());
    const at::Tensor a = got.detach().to(at::kCPU, at::kDouble).reshape({-1}).contiguous();
    const at::Tensor b = want.detach().to(at::kCPU, at::kDouble).reshape({-1}).contiguous();
    double largest = 0;
    std::int64_t first = -1;
    for (std::int64_t i = 0; i < a.numel(); ++i) {
        const double x = a.const_data_ptr<double>()[i], y = b.const_data_ptr<double>()[i], difference = std::abs(x - y);
        if (!(difference <= tolerance * std::max(1.0, std::abs(y))) && first < 0) first = i;
        largest = std::max(largest, difference);
    }
    if (first >= 0)
        FAIL("differs at " << first << " of " << a.numel() << ": got " << a[first].item<double>() << ", expected "
                           << b[first].item<double>() << "; largest difference " << largest << ", allowed " << tolerance);
    SUCCEED();
}

inline void require_same(const at::Tensor& got, const at::Tensor& want, const std::string& name = "") {
    INFO("tensor " << name);
    REQUIRE(got.sizes() == want.sizes());
    REQUIRE(at::equal(got.detach(), want.detach()));
}

}  // namespace permille::test
