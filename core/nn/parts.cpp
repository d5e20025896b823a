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

at::Tensor Linear::operator()(const Forward& forward, const at::Tensor& x) const {
    const at::Tensor input = x.to(forward.compute);
    at::Tensor y = linear_map(input, forward.parameter(weight).to(forward.compute), forward.parameter(bias).to(forward.compute));
    if (const LinearDelta* delta = forward.delta(site)) y = delta->apply(forward, input, y);
    return y;
}

at::Tensor Norm::operator()(const Forward& forward, const at::Tensor& x) const {
    const at::Tensor& scale = forward.parameter(weight);
    return at::layer_norm(x.to(at::kFloat), {x.size(-1)}, scale, forward.parameter(bias), 1e-5);
}

namespace {

// [N, D] -> [B, H, L, head_dim]
at::Tensor split_heads(const at::Tensor& packed, const Rows& rows, std::int64_t heads) {
    const at::Tensor padded = pad(packed, rows);
    return padded.view({rows.sentences, rows.longest, heads, padded.size(2) / heads}).transpose(1, 2);
}

}  // namespace

at::Tensor Attention::operator()(const Forward& forward, const at::Tensor& x, const Rows& rows, const at::Tensor& memory,
                                 const Rows& memory_rows, bool causal) const {
    const at::Tensor input = x.to(forward.compute);
    const at::Tensor attended = memory.is_same(x) ? input : memory.to(forward.compute);
    const at::Tensor queries = split_heads(q(forward, input), rows, heads);
    const at::Tensor keys = split_heads(k(forward, attended), memory_rows, heads);
    const at::Tensor values = split_heads(v(forward, attended), memory_rows, heads);

    at::Tensor context;
    // With right padding a causal mask hides every padded key from every real query, so it needs no second mask.
    const bool masked = !memory_rows.dense() && !causal;
    if (!forward.eager_attention && forward.attention_dropout <= 0) {
        std::optional<at::Tensor> mask;
        if (masked) {
            at::Tensor bias = at::zeros(memory_rows.keep.sizes(), queries.options().requires_grad(false));
            bias.masked_fill_(memory_rows.keep.logical_not(), -std::numeric_limits<float>::infinity());
            mask = bias.view({memory_rows.sentences, 1, 1, memory_rows.longest})
                       .expand({memory_rows.sentences, 1, rows.longest, memory_rows.longest});
        }
        context = at::scaled_dot_product_attention(queries, keys, values, mask, 0.0, causal);
    } else {
        const double scale = 1.0 / std::sqrt(static_cast<double>(queries.size(3)));
        at::Tensor scores = at::matmul(queries * scale, keys.transpose(2, 3)).to(at::kFloat);
        if (masked)
            scores = scores.masked_fill(memory_rows.keep.logical_not().view({memory_rows.sentences, 1, 1, memory_rows.longest}),
                                        -std::numeric_limits<float>::infinity());
        if (causal) {
            const at::Tensor later =
                at::ones({rows.longest, memory_rows.longest}, scores.options().dtype(at::kBool).requires_grad(false)).triu(1);
            scores = scores.masked_fill(later, -std::numeric_limits<float>::infinity());
        }
        const at::Tensor weights = dropout(at::softmax(scores, -1), forward.attention_dropout, forward.streams);
        context = at::matmul(weights.to(values.scalar_type()), values);
    }
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
    const at::Tensor middle = dropout(activate(activation, fc1(forward, x)), forward.activation_dropout, forward.streams);
    return fc2(forward, middle);
}

}  // namespace permille
