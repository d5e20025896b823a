#include "core/nn/dropout.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include "tests/support/tensors.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

TEST_CASE("dropout keeps its share and the mean", "[nn]") {
    const double p = GENERATE(0.05, 0.3, 0.8);
    DropoutStreams streams(7);
    const std::int64_t count = 1 << 18;
    const at::Tensor y = dropout(at::ones({count}), p, streams);
    const double spread = std::sqrt(p * (1 - p) / static_cast<double>(count));
    REQUIRE_THAT((y == 0).to(at::kDouble).mean().item<double>(), Catch::Matchers::WithinAbs(p, 5 * spread));
    require_close(y.masked_select(y != 0).max(), at::scalar_tensor(1 / (1 - p)), 1e-6);
    require_close(y.masked_select(y != 0).min(), at::scalar_tensor(1 / (1 - p)), 1e-6);
    // Neighbours and other calls are independent of each other.
    const at::Tensor dropped = (y == 0).to(at::kDouble);
    const double both = (dropped.slice(0, 1) * dropped.slice(0, 0, count - 1)).mean().item<double>();
    REQUIRE_THAT(both, Catch::Matchers::WithinAbs(p * p, 0.004));
    const at::Tensor other = (dropout(at::ones({count}), p, streams) == 0).to(at::kDouble);
    REQUIRE_THAT((dropped * other).mean().item<double>(), Catch::Matchers::WithinAbs(p * p, 0.004));
}

TEST_CASE("the mask is a function of seed and call, not of threads", "[nn]") {
    const int threads = at::get_num_threads();
    const at::Tensor x = at::randn({513, 129});
    const auto masks = [&](std::uint64_t seed, int count) {
        at::set_num_threads(count);
        DropoutStreams streams(seed);
        const at::Tensor first = dropout(x, 0.1, streams), second = add_dropout(x, x, 0.1, streams);
        at::set_num_threads(threads);
        return at::stack({first, second});
    };
    require_same(masks(1, 1), masks(1, 4));
    REQUIRE_FALSE(at::equal(masks(1, 1), masks(2, 1)));
    REQUIRE_FALSE(at::equal(masks(1, 1)[0], masks(1, 1)[1] - x));
}

TEST_CASE("the gradient goes through the same mask", "[nn]") {
    const at::Tensor x = at::randn({40, 30}).requires_grad_(true), residual = at::randn({40, 30}).requires_grad_(true);
    const at::Tensor weight = at::randn({40, 30});
    DropoutStreams streams(5);
    SECTION("alone") {
        const at::Tensor y = dropout(x, 0.4, streams);
        torch::autograd::backward({(y * weight).sum()}, {});
        require_close(x.grad(), weight * (y != 0).to(at::kFloat) / 0.6, 1e-6);
    }
    SECTION("with the residual") {
        const at::Tensor y = add_dropout(residual, x, 0.4, streams);
        torch::autograd::backward({(y * weight).sum()}, {});
        require_close(residual.grad(), weight, 0);
        require_close(x.grad() * x.detach(), weight * (y - residual).detach(), 1e-5);
    }
}

TEST_CASE("add_dropout is the residual plus dropout", "[nn]") {
    const at::Tensor x = at::randn({33, 7}), residual = at::randn({33, 7});
    DropoutStreams one(9), two(9);
    require_close(add_dropout(residual, x, 0.25, one), residual + dropout(x, 0.25, two), 1e-6);
    require_same(add_dropout(residual, x, 0, one), residual + x);
    REQUIRE(dropout(x, 0, one).is_same(x));
    const at::Tensor rough = x.to(at::kBFloat16);
    REQUIRE(dropout(rough, 0.25, one).scalar_type() == at::kBFloat16);
    REQUIRE(add_dropout(residual, rough, 0.25, one).scalar_type() == at::kFloat);
}
