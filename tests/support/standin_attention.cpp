// libtorch's memory-efficient attention on the stand-in device, by its documented meaning and as strict as CUDA's kernels about types,
// alignment, strides and lengths. In float32, one sentence and head at a time.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <torch/library.h>

#include <cmath>
#include <limits>
#include <mutex>
#include <optional>
#include <vector>

#include "tests/support/standin_device.h"

namespace permille::test {

namespace {

constexpr std::int64_t kLogSumRow = 32;  // rows of log sums are whole groups of these

struct Counted {
    std::mutex mutex;
    AttentionWork work;
};
Counted& counted() {
    static Counted all;
    return all;
}

void check_rows(const at::Tensor& rows, const at::Tensor& queries, const char* name) {
    constexpr std::int64_t kAligned = 16;
    TORCH_CHECK(rows.dim() == 4 && rows.scalar_type() == queries.scalar_type(), name, ": shape or type");
    TORCH_CHECK(rows.size(0) == queries.size(0) && rows.size(2) == queries.size(2) && rows.size(3) == queries.size(3), name, ": shape");
    TORCH_CHECK(rows.stride(3) == 1, name, ": the numbers of a head do not lie together");
    TORCH_CHECK(rows.stride(2) * rows.element_size() % kAligned == 0 && rows.stride(1) * rows.element_size() % kAligned == 0, name,
                ": heads do not begin at multiples of 16 bytes");
    TORCH_CHECK(rows.storage_offset() * rows.element_size() % kAligned == 0, name, ": does not begin at a multiple of 16 bytes");
}

std::vector<std::int64_t> numbers_of(const std::optional<at::Tensor>& starts, std::int64_t longest, std::int64_t rows, const char* name) {
    TORCH_CHECK(starts->scalar_type() == at::kInt && starts->dim() == 1 && starts->is_contiguous(), name, ": not a list of int32");
    const at::Tensor host = standin_as_host(*starts);
    const auto* number = host.const_data_ptr<std::int32_t>();
    std::vector<std::int64_t> list(number, number + host.numel());
    TORCH_CHECK(list.front() == 0 && list.back() == rows, name, ": does not end with the rows");
    std::int64_t found = 0;
    for (std::size_t i = 1; i < list.size(); ++i) found = std::max(found, list[i] - list[i - 1]);
    TORCH_CHECK(found == longest, name, ": the longest sentence has ", found, " rows, not ", longest);
    return list;
}

// The tensors of one call on the host, in float32, and where its sentences lie.
struct Problem {
    at::Tensor queries, keys, values, hidden;      // hidden: [B, H, L, M] or undefined
    std::vector<std::int64_t> starts, key_starts;  // empty: padded
    std::int64_t sentences, heads, longest, longest_key;
    bool causal;
    double scale, rate;
    std::uint64_t seed = 0;

    Problem(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const std::optional<at::Tensor>& bias,
            const std::optional<at::Tensor>& cu_q, const std::optional<at::Tensor>& cu_k, std::int64_t max_q, std::int64_t max_k,
            double dropout, std::int64_t mask_type, std::optional<double> given_scale)
        : heads(q.size(2)), causal(mask_type == 1), scale(given_scale.value_or(1 / std::sqrt(double(q.size(3))))), rate(dropout) {
        TORCH_CHECK(q.scalar_type() == at::kFloat || q.scalar_type() == at::kHalf || q.scalar_type() == at::kBFloat16, "type");
        TORCH_CHECK(mask_type == 0 || mask_type == 1, "mask type ", mask_type);
        check_rows(q, q, "queries");
        check_rows(k, q, "keys");
        check_rows(v, q, "values");
        TORCH_CHECK(k.size(1) == v.size(1), "keys and values");
        TORCH_CHECK(cu_q.has_value() == cu_k.has_value(), "cumulative lengths of one side");
        if (cu_q) {
            TORCH_CHECK(q.size(0) == 1 && cu_q->numel() == cu_k->numel() && !bias, "cumulative lengths");
            TORCH_CHECK(dropout == 0, "with cumulative lengths the two passes would drop different weights");
            starts = numbers_of(cu_q, max_q, q.size(1), "queries");
            key_starts = numbers_of(cu_k, max_k, k.size(1), "keys");
        }
        sentences = cu_q ? static_cast<std::int64_t>(starts.size()) - 1 : q.size(0);
        longest = cu_q ? max_q : q.size(1);
        longest_key = cu_q ? max_k : k.size(1);
        queries = standin_as_host(q).to(at::kFloat);
        keys = standin_as_host(k).to(at::kFloat);
        values = standin_as_host(v).to(at::kFloat);
        if (!bias) return;
        TORCH_CHECK(bias->scalar_type() == q.scalar_type() && bias->stride(3) == 1, "mask: type or strides");
        TORCH_CHECK(bias->sizes() == at::IntArrayRef({q.size(0), heads, q.size(1), k.size(1)}), "mask: shape ", bias->sizes());
        for (std::int64_t d = 0; d < 3; ++d) TORCH_CHECK(bias->stride(d) % 8 == 0, "mask: rows are not aligned");
        hidden = standin_as_host(*bias).to(at::kFloat);
    }

    at::Tensor of(const at::Tensor& all, const std::vector<std::int64_t>& begins, std::int64_t sentence, std::int64_t head) const {
        if (begins.empty()) return all.select(0, sentence).select(1, head);
        const auto b = static_cast<std::size_t>(sentence);
        return all.select(0, 0).narrow(0, begins[b], begins[b + 1] - begins[b]).select(1, head);
    }
    at::Tensor of_queries(const at::Tensor& all, std::int64_t sentence, std::int64_t head) const { return of(all, starts, sentence, head); }
    at::Tensor of_keys(const at::Tensor& all, std::int64_t sentence, std::int64_t head) const {
        return of(all, key_starts, sentence, head);
    }

    at::Tensor scores(std::int64_t b, std::int64_t h) const {
        at::Tensor scores = at::matmul(of_queries(queries, b, h), of_keys(keys, b, h).t()) * scale;
        if (hidden.defined()) scores = scores + hidden[b][h];
        if (causal) scores = scores.masked_fill(at::ones(scores.sizes(), at::kBool).triu(1), -std::numeric_limits<double>::infinity());
        return scores;
    }

    // What each weight is multiplied by, [B, H, L, M]; undefined: nothing is dropped.
    at::Tensor kept() const {
        if (rate == 0) return {};
        at::Generator generator = at::detail::createCPUGenerator(seed);
        return at::empty({sentences, heads, longest, longest_key}, at::kFloat).bernoulli_(1 - rate, generator) / (1 - rate);
    }
};

at::Tensor host_number(std::uint64_t value) { return at::scalar_tensor(static_cast<std::int64_t>(value), at::kLong); }

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, c10::SymInt, c10::SymInt> forward(
    const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const std::optional<at::Tensor>& bias,
    const std::optional<at::Tensor>& cu_q, const std::optional<at::Tensor>& cu_k, std::optional<std::int64_t> max_q,
    std::optional<std::int64_t> max_k, double dropout, std::int64_t mask_type, bool log_sums, std::optional<double> scale,
    const std::optional<at::Tensor>& lengths, std::optional<std::int64_t> window) {
    TORCH_CHECK(!lengths && !window, "not used here");
    Problem problem(q, k, v, bias, cu_q, cu_k, max_q.value_or(0), max_k.value_or(0), dropout, mask_type, scale);
    if (dropout > 0) problem.seed = take_shared_seed();
    const at::Tensor kept = problem.kept(), out = at::empty(problem.queries.sizes(), at::kFloat);
    const std::int64_t room = log_sums ? (problem.longest + kLogSumRow - 1) / kLogSumRow * kLogSumRow : 0;
    const at::Tensor sums = at::zeros({problem.sentences, problem.heads, room}, at::kFloat);
    for (std::int64_t b = 0; b < problem.sentences; ++b)
        for (std::int64_t h = 0; h < problem.heads; ++h) {
            const at::Tensor scores = problem.scores(b, h);
            at::Tensor weights = at::softmax(scores, 1);
            if (kept.defined()) weights = weights * kept[b][h];
            problem.of_queries(out, b, h).copy_(at::matmul(weights, problem.of_keys(problem.values, b, h)));
            if (log_sums) sums[b][h].narrow(0, 0, scores.size(0)).copy_(at::logsumexp(scores, {1}));
        }
    {
        const std::lock_guard lock(counted().mutex);
        ++(cu_q ? counted().work.packed : counted().work.padded);
        counted().work.dropout = dropout;
    }
    count_launches("aten::_efficient_attention_forward", 1);
    return {standin_from_host(out.to(q.scalar_type())),
            standin_from_host(sums),
            host_number(problem.seed),
            host_number(0),
            problem.longest,
            problem.longest_key};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> backward(
    const at::Tensor& down, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const std::optional<at::Tensor>& bias,
    const at::Tensor& out, const std::optional<at::Tensor>& cu_q, const std::optional<at::Tensor>& cu_k, std::int64_t max_q,
    std::int64_t max_k, const at::Tensor& log_sums, double dropout, const at::Tensor& seed, const at::Tensor& offset,
    std::int64_t mask_type, bool bias_requires_grad, std::optional<double> scale, std::optional<std::int64_t> splits,
    std::optional<std::int64_t> window, bool shared) {
    TORCH_CHECK(!window && !shared && !bias_requires_grad, "not used here");
    TORCH_CHECK(splits == 1, "keys that are split up are added in any order");
    TORCH_CHECK(seed.is_cpu() && offset.is_cpu(), "the seed is the host's");
    Problem problem(q, k, v, bias, cu_q, cu_k, max_q, max_k, dropout, mask_type, scale);
    check_rows(down, q, "gradient");
    check_rows(out, q, "output");
    if (dropout > 0) problem.seed = static_cast<std::uint64_t>(*seed.const_data_ptr<std::int64_t>());
    const at::Tensor kept = problem.kept(), gradient = standin_as_host(down).to(at::kFloat), result = standin_as_host(out).to(at::kFloat),
                     sums = standin_as_host(log_sums);
    const at::Tensor to_q = at::empty(q.sizes(), at::kFloat), to_k = at::empty(k.sizes(), at::kFloat), to_v = at::empty_like(to_k);
    for (std::int64_t b = 0; b < problem.sentences; ++b)
        for (std::int64_t h = 0; h < problem.heads; ++h) {
            const at::Tensor scores = problem.scores(b, h), own = problem.of_queries(gradient, b, h);
            const at::Tensor weights = at::exp(scores - sums[b][h].narrow(0, 0, scores.size(0)).unsqueeze(1));
            at::Tensor dropped = weights, slopes = at::matmul(own, problem.of_keys(problem.values, b, h).t());
            if (kept.defined()) {
                dropped = weights * kept[b][h];
                slopes = slopes * kept[b][h];
            }
            slopes = weights * (slopes - (own * problem.of_queries(result, b, h)).sum(1, true));
            problem.of_keys(to_v, b, h).copy_(at::matmul(dropped.t(), own));
            problem.of_queries(to_q, b, h).copy_(at::matmul(slopes, problem.of_keys(problem.keys, b, h)) * problem.scale);
            problem.of_keys(to_k, b, h).copy_(at::matmul(slopes.t(), problem.of_queries(problem.queries, b, h)) * problem.scale);
        }
    count_launches("aten::_efficient_attention_backward", 4);  // CUDA's makes gradient x output before, out of three
    const auto typed = [&](const at::Tensor& all) { return standin_from_host(all.to(q.scalar_type())); };
    return {typed(to_q), typed(to_k), typed(to_v), at::Tensor()};
}

// Which of libtorch's fused kernels takes these: 2 is this one, 0 none.
std::int64_t choice(const at::Tensor& q, const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, double, bool,
                    std::optional<double>, bool) {
    return q.scalar_type() == at::kFloat || q.scalar_type() == at::kHalf || q.scalar_type() == at::kBFloat16 ? 2 : 0;
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
    library.impl("_efficient_attention_forward", &forward);
    library.impl("_efficient_attention_backward", &backward);
    library.impl("_fused_sdp_choice", &choice);
}

}  // namespace

AttentionWork attention_work() {
    const std::lock_guard lock(counted().mutex);
    return counted().work;
}

void reset_attention_work() {
    const std::lock_guard lock(counted().mutex);
    counted().work = {};
}

}  // namespace permille::test
