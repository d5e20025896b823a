#include "core/nn/parts.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/nn/batch_prefix.h"
#include "core/nn/matmul.h"
#include "core/nn/mixture.h"
#include "core/nn/packed_attention.h"

namespace permille {

const at::Tensor& Forward::parameter(int index) const {
    const auto i = static_cast<std::size_t>(index);
    if (attachment && attachment->parameters[i].defined()) return attachment->parameters[i];
    return (*weights)[i];
}

at::Tensor Forward::typed_parameter(int index) const {
    const auto i = static_cast<std::size_t>(index);
    if (typed && !(attachment && attachment->parameters[i].defined())) return (*typed)[i];
    return parameter(index).to(compute);
}

namespace {

// Whether it holds for an attachment of the rows that pass the site.
template <class Predicate>
bool any_of_shares(const Forward& forward, int site, Predicate&& holds) {
    if (!forward.mixture) return holds(forward);
    const auto& rows = forward.mixture->rows(site);
    return std::any_of(rows.begin(), rows.end(), [&](const Mixture::Stretch& stretch) { return holds(*stretch.forward); });
}

}  // namespace

bool Forward::has_output(int site) const {
    return any_of_shares(*this, site, [&](const Forward& own) { return own.attachment && !own.attachment->outputs.at(site).empty(); });
}

at::Tensor Forward::through(int site, const at::Tensor& rows, const Passage& passage) const {
    if (!has_output(site)) return rows;
    const auto pass = [&](const Forward& forward, at::Tensor own, const at::Tensor& input, const at::Tensor& residual,
                          const at::Tensor& positions, const at::Tensor& ids) {
        if (forward.attachment)
            for (const auto& module : forward.attachment->outputs.at(site))
                own = module->apply(forward, own, {input, residual, passage.norm, positions, ids});
        return own;
    };
    return by_attachment(*this, site, pass, rows, passage.input, passage.residual, passage.positions, passage.ids);
}

at::Tensor Linear::frozen(const Forward& forward, const at::Tensor& x) const {
    const auto whole = [&](const Forward& own, const at::Tensor& rows) {
        return linear_map(rows, own.typed_parameter(weight), own.typed_parameter(bias));
    };
    if (!forward.mixture || forward.mixture->runs(site, {bias}).size() == 1) return by_parameters(forward, site, {weight}, whole, x);
    // Where biases differ, the product with the same matrix is one all the same.
    const auto product = [&](const Forward& own, const at::Tensor& rows) { return linear_map(rows, own.typed_parameter(weight)); };
    return by_parameters(
        forward, site, {bias}, [&](const Forward& own, const at::Tensor& rows) { return rows + own.typed_parameter(bias); },
        by_parameters(forward, site, {weight}, product, x));
}

at::Tensor Linear::operator()(const Forward& forward, const at::Tensor& x) const {
    const auto has_deltas = [&](const Forward& own) { return own.attachment && !own.attachment->linears.at(site).empty(); };
    if (!any_of_shares(forward, site, has_deltas)) return frozen(forward, x.to(forward.compute));
    const auto read = [&](const Forward& own, at::Tensor rows) {
        if (has_deltas(own))
            for (const auto& delta : own.attachment->linears.at(site)) rows = delta->input(own, rows);
        return rows;
    };
    const auto changed = [&](const Forward& own, at::Tensor y, const at::Tensor& rows) {
        if (has_deltas(own))
            for (const auto& delta : own.attachment->linears.at(site)) y = delta->apply(own, rows, y);
        return y;
    };
    const at::Tensor input = by_attachment(forward, site, read, x.to(forward.compute));
    return by_attachment(forward, site, changed, frozen(forward, input), input);
}

at::Tensor Norm::operator()(const Forward& forward, const at::Tensor& x) const {
    const auto norm = [&](const Forward& own, const at::Tensor& rows) {
        return at::layer_norm(rows, {rows.size(-1)}, own.parameter(weight), own.parameter(bias), 1e-5);
    };
    return forward.through(site, by_parameters(forward, site, {weight, bias}, norm, x.to(at::kFloat)));
}

namespace {

// [N, D] -> [B, H, L, head_dim]
at::Tensor split_heads(const at::Tensor& packed, const Rows& rows, std::int64_t heads) {
    const at::Tensor padded = pad(packed, rows);
    return padded.view({rows.sentences, rows.longest, heads, padded.size(2) / heads}).transpose(1, 2);
}

}  // namespace

at::Tensor plain_attention(const Forward& forward, const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                           const std::optional<at::Tensor>& mask, const at::Tensor& gate, std::int64_t gated) {
    const double scale = 1.0 / std::sqrt(static_cast<double>(queries.size(3)));
    at::Tensor scores = at::matmul(queries * scale, keys.transpose(2, 3)).to(at::kFloat);
    at::Tensor gates;  // of every key: scaling a key scales its scores, scaling a value scales its weight
    if (gate.defined()) {
        const std::int64_t sentences = queries.size(0), length = queries.size(2), others = keys.size(2) - gated;
        const at::Tensor first = gate.to(at::kFloat).view({sentences, 1, length, 1}).expand({sentences, 1, length, gated});
        gates = at::cat({first, at::ones({sentences, 1, length, others}, scores.options().requires_grad(false))}, 3);
        scores = scores * gates;
    }
    if (mask) scores = scores + *mask;
    at::Tensor weights = dropout(at::softmax(scores, -1), forward.attention_dropout, forward.streams);
    if (gates.defined()) weights = weights * gates;
    return at::matmul(weights.to(values.scalar_type()), values);
}

namespace {

// libtorch's fused attention on the CPU makes one small product for each head in its backward pass; in bfloat16 that takes several times as
// long as products over all heads (measured: 3 to 9 times). A layer that is computed again in the backward pass is the same both times.
bool trains_in_bfloat16(const Forward& forward, const at::Tensor& queries) {
    return queries.device().is_cpu() && queries.scalar_type() == at::kBFloat16 &&
           (at::GradMode::is_enabled() || !forward.recompute.empty());
}

}  // namespace

at::Tensor Attention::operator()(const Forward& forward, const at::Tensor& x, const Rows& rows, const at::Tensor& memory,
                                 const Rows& memory_rows, bool causal) const {
    const at::Tensor input = x.to(forward.compute);
    const at::Tensor attended = memory.is_same(x) ? input : memory.to(forward.compute);
    const at::Tensor own = q(forward, input), from = k(forward, attended), what = v(forward, attended);
    const BatchPrefix prefix(forward, site, rows.sentences);
    if (prefix.length == 0 && !forward.eager_attention && fits_packed_attention(own, rows, memory_rows, heads, forward.attention_dropout))
        return out(forward,
                   packed_attention(own, from, what, rows, memory_rows, heads, causal, forward.attention_dropout, forward.streams));
    const at::Tensor queries = split_heads(own, rows, heads);
    at::Tensor keys = split_heads(from, memory_rows, heads), values = split_heads(what, memory_rows, heads);
    const std::int64_t before = prefix.length;
    at::Tensor gate;
    if (before > 0) {
        keys = BatchPrefix::joined(prefix.keys, keys);
        values = BatchPrefix::joined(prefix.values, values);
        gate = prefix_gate(forward, site, input);
        if (gate.defined()) gate = pad(gate, rows).view({rows.sentences, rows.longest});
    }

    const auto options = queries.options().requires_grad(false);
    const bool eager = forward.eager_attention || forward.attention_dropout > 0 || gate.defined() || trains_in_bfloat16(forward, queries);
    const bool fused_causal = causal && before == 0 && !eager;
    at::Tensor mask;  // additive, [B or 1, 1, L, before + L memory]
    if (!fused_causal) mask = prefix.mask(memory_rows, options, causal ? rows.longest : 0);
    if (mask.defined() && !causal) mask = mask.expand({memory_rows.sentences, 1, rows.longest, before + memory_rows.longest});
    const auto added = mask.defined() ? std::optional(mask) : std::nullopt;
    at::Tensor context;
    if (eager) context = plain_attention(forward, queries, keys, values, added, gate, before);
    else context = at::scaled_dot_product_attention(queries, keys, values, added, 0.0, fused_causal);
    context = pack(context.transpose(1, 2).reshape({rows.sentences, rows.longest, x.size(1)}), rows);
    return out(forward, context);
}

at::Tensor activate(Activation activation, const at::Tensor& x) {
    switch (activation) {
        case Activation::relu: return at::relu(x);
        case Activation::gelu: return at::gelu(x);
        case Activation::swish: return at::silu(x);
    }
    return x;
}

at::Tensor FeedForward::operator()(const Forward& forward, const at::Tensor& x) const {
    const auto has_module = [&](const Forward& own) { return own.attachment && !own.attachment->feed_forwards.at(site).empty(); };
    if (!any_of_shares(forward, site, has_module)) {
        const at::Tensor middle = dropout(activate(activation, fc1(forward, x)), forward.activation_dropout, forward.streams);
        return fc2(forward, middle);
    }
    // A module works in the block's place, so that nothing of the block is shared.
    const auto block = [&](const Forward& own, const at::Tensor& rows) {
        return has_module(own) ? own.attachment->feed_forwards.at(site).front()->apply(own, *this, rows) : (*this)(own, rows);
    };
    return by_attachment(forward, site, block, x);
}

}  // namespace permille
