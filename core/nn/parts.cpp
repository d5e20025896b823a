#include "core/nn/parts.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "core/nn/matmul.h"

namespace permille {

const at::Tensor& Forward::parameter(int index) const {
    const auto i = static_cast<std::size_t>(index);
    if (attachment && attachment->parameters[i].defined()) return attachment->parameters[i];
    return (*weights)[i];
}

at::Tensor Forward::through(int site, at::Tensor rows, const Passage& passage) const {
    if (attachment)
        for (const auto& module : attachment->outputs.at(site)) rows = module->apply(*this, rows, passage);
    return rows;
}

at::Tensor Linear::frozen(const Forward& forward, const at::Tensor& x) const {
    return linear_map(x, forward.parameter(weight).to(forward.compute), forward.parameter(bias).to(forward.compute));
}

at::Tensor Linear::operator()(const Forward& forward, const at::Tensor& x) const {
    at::Tensor input = x.to(forward.compute);
    if (!forward.attachment || forward.attachment->linears.at(site).empty()) return frozen(forward, input);
    const auto& deltas = forward.attachment->linears.at(site);
    for (const auto& delta : deltas) input = delta->input(forward, input);
    at::Tensor y = frozen(forward, input);
    for (const auto& delta : deltas) y = delta->apply(forward, input, y);
    return y;
}

at::Tensor Norm::operator()(const Forward& forward, const at::Tensor& x) const {
    const at::Tensor& scale = forward.parameter(weight);
    return forward.through(site, at::layer_norm(x.to(at::kFloat), {x.size(-1)}, scale, forward.parameter(bias), 1e-5));
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

at::Tensor Attention::operator()(const Forward& forward, const at::Tensor& x, const Rows& rows, const at::Tensor& memory,
                                 const Rows& memory_rows, bool causal) const {
    const at::Tensor input = x.to(forward.compute);
    const at::Tensor attended = memory.is_same(x) ? input : memory.to(forward.compute);
    const at::Tensor queries = split_heads(q(forward, input), rows, heads);
    at::Tensor keys = split_heads(k(forward, attended), memory_rows, heads);
    at::Tensor values = split_heads(v(forward, attended), memory_rows, heads);
    std::int64_t before = 0;  // keys of the prefix
    at::Tensor gate;
    if (const AttentionPrefix* prefix = forward.prefix(site)) {
        before = prefix->length();
        const auto [prefix_keys, prefix_values] = prefix->keys_values(forward);
        const auto joined = [&](const at::Tensor& first, const at::Tensor& rest) {
            return at::cat(
                {first.view({1, before, heads, rest.size(3)}).transpose(1, 2).expand({rest.size(0), heads, before, rest.size(3)}), rest},
                2);
        };
        keys = joined(prefix_keys, keys);
        values = joined(prefix_values, values);
        gate = prefix->gate(forward, input);
        if (gate.defined()) gate = pad(gate, rows).view({rows.sentences, rows.longest});
    }

    const auto options = queries.options().requires_grad(false);
    const double hidden = -std::numeric_limits<float>::infinity();
    // With right padding a causal mask hides every padded key from every real query, so it needs no second mask.
    const bool padded = !memory_rows.dense() && !causal, eager = forward.eager_attention || forward.attention_dropout > 0 || gate.defined();
    const bool fused_causal = causal && before == 0 && !eager;
    std::optional<at::Tensor> mask;  // additive, [B or 1, 1, L or 1, before + L memory]
    if (padded) {
        const at::Tensor bias = at::zeros({memory_rows.sentences, before + memory_rows.longest}, options);
        bias.narrow(1, before, memory_rows.longest).masked_fill_(memory_rows.keep.logical_not(), hidden);
        mask = bias.view({memory_rows.sentences, 1, 1, before + memory_rows.longest})
                   .expand({memory_rows.sentences, 1, rows.longest, before + memory_rows.longest});
    } else if (causal && !fused_causal) {
        const at::Tensor later = at::ones({rows.longest, memory_rows.longest}, options.dtype(at::kBool)).triu(1);
        mask = at::zeros({1, 1, rows.longest, before + memory_rows.longest}, options);
        mask->narrow(3, before, memory_rows.longest).masked_fill_(later, hidden);
    }
    at::Tensor context;
    if (eager) context = plain_attention(forward, queries, keys, values, mask, gate, before);
    else context = at::scaled_dot_product_attention(queries, keys, values, mask, 0.0, fused_causal);
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
    if (forward.attachment && !forward.attachment->feed_forwards.at(site).empty())
        return forward.attachment->feed_forwards.at(site).front()->apply(forward, *this, x);
    const at::Tensor middle = dropout(activate(activation, fc1(forward, x)), forward.activation_dropout, forward.streams);
    return fc2(forward, middle);
}

}  // namespace permille
