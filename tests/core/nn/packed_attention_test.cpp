#include "core/nn/packed_attention.h"

#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <limits>

#include "core/nn/threads.h"
#include "tests/support/tensors.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

DropoutStreams no_streams;

// The definition, in float64, a sentence and a head at a time.
at::Tensor defined_attention(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values, const Rows& rows,
                             const Rows& memory_rows, std::int64_t heads, bool causal) {
    const std::int64_t width = queries.size(1) / heads;
    std::vector<at::Tensor> sentences;
    std::int64_t from = 0, memory_from = 0;
    for (std::size_t b = 0; b < rows.lengths.size(); ++b) {
        const std::int64_t length = rows.lengths[b], others = memory_rows.lengths[b];
        std::vector<at::Tensor> each;
        for (std::int64_t h = 0; h < heads; ++h) {
            const auto of = [&](const at::Tensor& all, std::int64_t start, std::int64_t count) {
                return all.narrow(0, start, count).narrow(1, h * width, width).to(at::kDouble);
            };
            at::Tensor scores = at::matmul(of(queries, from, length), of(keys, memory_from, others).t()) / std::sqrt(double(width));
            if (causal)
                scores = scores.masked_fill(at::ones({length, others}, at::kBool).triu(1), -std::numeric_limits<double>::infinity());
            each.push_back(at::matmul(at::softmax(scores, 1), of(values, memory_from, others)));
        }
        sentences.push_back(at::cat(each, 1));
        from += length;
        memory_from += others;
    }
    return at::cat(sentences, 0);
}

struct Case {
    std::vector<std::int64_t> lengths, memory_lengths;
    std::int64_t heads, width;
    bool causal;
};

}  // namespace

TEST_CASE("attention over packed rows and its gradients equal the definition", "[nn]") {
    at::manual_seed(5);
    const Case one = GENERATE(Case{{7, 1, 33}, {7, 1, 33}, 2, 64, true}, Case{{5, 16, 1, 40}, {17, 3, 48, 1}, 3, 12, false},
                              Case{{70}, {70}, 1, 20, false}, Case{{2, 2}, {2, 2}, 4, 16, true});
    const at::ScalarType type = GENERATE(at::kFloat, at::kBFloat16);
    const Rows rows = Rows::of(one.lengths, at::kCPU), memory_rows = Rows::of(one.memory_lengths, at::kCPU);
    const auto random = [&](const Rows& of) { return (2 * at::randn({of.count(), one.heads * one.width})).to(type).requires_grad_(true); };
    const at::Tensor queries = random(rows), keys = random(memory_rows), values = random(memory_rows), down = random(rows).detach();
    const auto gradients = [&](const at::Tensor& out) {
        torch::autograd::backward({out}, {down.to(out.scalar_type())});
        std::vector<at::Tensor> found;
        for (const at::Tensor& input : {queries, keys, values}) {
            found.push_back(input.grad().clone());
            input.mutable_grad() = at::Tensor();
        }
        return found;
    };
    const at::Tensor want = defined_attention(queries, keys, values, rows, memory_rows, one.heads, one.causal);
    const std::vector<at::Tensor> want_gradients = gradients(want);
    REQUIRE(fits_packed_attention(queries, rows, memory_rows, one.heads));
    const at::Tensor got = packed_attention(queries, keys, values, rows, memory_rows, one.heads, one.causal, 0, no_streams);
    REQUIRE(got.scalar_type() == type);
    const std::vector<at::Tensor> got_gradients = gradients(got);
    // libtorch's own attention is off by up to 3e-5 on such numbers in float32. bfloat16 has eight bits: what goes in and comes out is
    // rounded, not what is computed between.
    const double tolerance = type == at::kFloat ? 1e-4 : 2e-2;
    require_close(got, want, tolerance, "output");
    for (std::size_t i = 0; i < 3; ++i) require_close(got_gradients[i], want_gradients[i], tolerance, "gradient " + std::to_string(i));
}

TEST_CASE("attention over packed rows does not depend on threads or on what else is in the batch", "[nn]") {
    at::manual_seed(6);
    const Rows rows = Rows::of({9, 21, 4}, at::kCPU), last = Rows::of({4}, at::kCPU);
    const at::Tensor q = at::randn({34, 48}), k = at::randn({34, 48}), v = at::randn({34, 48});
    const auto with_threads = [&](std::int64_t count) {
        use_threads(count);
        const at::Tensor result = packed_attention(q, k, v, rows, rows, 3, true, 0, no_streams);
        use_threads(0);
        return result;
    };
    const at::Tensor one = with_threads(1);
    require_same(with_threads(2), one);
    const auto tail = [](const at::Tensor& x) { return x.narrow(0, 30, 4); };
    require_same(packed_attention(tail(q), tail(k), tail(v), last, last, 3, true, 0, no_streams), tail(one));
}

TEST_CASE("gradients of packed attention that nobody wants are not made", "[nn]") {
    const Rows rows = Rows::of({6, 3}, at::kCPU);
    const at::Tensor q = at::randn({9, 32}), k = at::randn({9, 32}), v = at::randn({9, 32}).requires_grad_(true);
    const at::Tensor out = packed_attention(q, k, v, rows, rows, 2, false, 0, no_streams);
    torch::autograd::backward({out.sum()}, {});
    REQUIRE(v.grad().defined());
    REQUIRE_FALSE(q.grad().defined());
    REQUIRE_FALSE(k.grad().defined());
    // Every query's weights sum to one.
    REQUIRE_THAT(v.grad().sum().item<double>(), Catch::Matchers::WithinAbs(9.0 * 32.0, 1e-3));
}
