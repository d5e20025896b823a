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
    require_same(rows.starts, at::tensor({0, 3, 4, 8}, at::kInt));
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

TEST_CASE("a mask over rows is made once for each form, for all copies of the rows", "[nn]") {
    const Rows rows = Rows::of({3, 1, 4}, at::kCPU), copy = rows, other = Rows::of({3, 1, 4}, at::kCPU);
    int made = 0;
    const auto mask = [&](const Rows& of, const Rows::Mask& which) { return of.mask(which, [&] { return at::full({1}, ++made); }); };
    const at::Tensor first = mask(rows, {.padding = true});
    REQUIRE(mask(copy, {.padding = true}).is_same(first));
    REQUIRE_FALSE(mask(copy, {.before = 2, .padding = true}).is_same(first));
    REQUIRE_FALSE(mask(copy, {.padding = true, .type = at::kBFloat16}).is_same(first));
    REQUIRE_FALSE(mask(copy, {.queries = 3}).is_same(first));
    REQUIRE_FALSE(mask(other, {.padding = true}).is_same(first));
    REQUIRE(made == 5);
}
