#include "core/nn/rows.h"

#include <torch/csrc/autograd/autograd.h>

#include "tests/support/tensors.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

TEST_CASE("packing undoes padding, padding is zero, gradients pass", "[nn]") {
    const Rows rows = Rows::of({3, 1, 4}, at::kCPU);
    REQUIRE(rows.count() == 8);
    REQUIRE(rows.longest == 4);
    REQUIRE_FALSE(rows.dense());
    const at::Tensor packed = at::randn({8, 5}).requires_grad_(true);
    const at::Tensor padded = pad(packed, rows);
    REQUIRE(padded.sizes() == at::IntArrayRef({3, 4, 5}));
    REQUIRE(padded[1].slice(0, 1).abs().sum().item<double>() == 0);
    require_same(padded[1][0], packed[3]);
    require_same(pack(padded, rows), packed);
    const at::Tensor weight = at::randn({8, 5});
    torch::autograd::backward({(pack(pad(packed, rows) * 2, rows) * weight).sum()}, {});
    require_close(packed.grad(), weight * 2, 1e-6);
    require_same(rows.keep, at::tensor({1, 1, 1, 0, 1, 0, 0, 0, 1, 1, 1, 1}).view({3, 4}).to(at::kBool));
}

TEST_CASE("sentences of one length need no index", "[nn]") {
    const TokenRows tokens = TokenRows::of({{7, 8}, {9, 10}}, at::kCPU);
    REQUIRE(tokens.rows.dense());
    require_same(tokens.ids, at::tensor({7, 8, 9, 10}, at::kLong));
    require_same(tokens.positions, at::tensor({0, 1, 0, 1}, at::kLong));
    const at::Tensor packed = at::randn({4, 3});
    require_same(pack(pad(packed, tokens.rows), tokens.rows), packed);
}
