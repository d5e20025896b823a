#include "core/nn/matmul.h"

#include <torch/csrc/autograd/autograd.h>

#include "core/nn/threads.h"
#include "tests/support/tensors.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

// Kernels are chosen by the number of rows, the width and the layout.
TEST_CASE("linear maps and their gradients equal the definition for every number of rows", "[nn]") {
    at::manual_seed(7);
    const std::int64_t threads = GENERATE(1, 2), out = GENERATE(8, 256), in = GENERATE(20, 320);
    const bool with_bias = GENERATE(false, true);
    use_threads(threads);
    for (const std::int64_t rows : {1, 2, 11, 12, 15, 16, 17, 31, 48, 55, 56, 130}) {
        INFO(rows << " rows, " << in << " to " << out);
        const at::Tensor x = at::randn({rows, in}).requires_grad_(true), weight = at::randn({out, in}).requires_grad_(true);
        const at::Tensor bias = with_bias ? at::randn({out}).requires_grad_(true) : at::Tensor(), down = at::randn({rows, out});
        const at::Tensor y = linear_map(x, weight, bias);
        torch::autograd::backward({y}, {down});
        const auto exact = [](const at::Tensor& tensor) { return tensor.detach().to(at::kDouble); };
        const at::Tensor want = at::matmul(exact(x), exact(weight).t());
        require_close(y, with_bias ? want + exact(bias) : want, 1e-4, "y");
        REQUIRE(y.is_contiguous());
        require_close(x.grad(), at::matmul(exact(down), exact(weight)), 1e-4, "x");
        require_close(weight.grad(), at::matmul(exact(down).t(), exact(x)), 1e-4, "weight");
        if (with_bias) require_close(bias.grad(), exact(down).sum(0), 1e-4, "bias");
        // Without gradients, and from rows that lie the other way.
        require_close(linear_map(x.detach().t().contiguous().t(), weight.detach()), want, 1e-4, "turned x");
        require_close(product_transposed(x.detach(), weight.detach().t().contiguous().t()), want, 1e-4, "turned weight");
    }
    use_threads(0);
}
