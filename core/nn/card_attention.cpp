#include "core/nn/card_attention.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>

#include <limits>
#include <mutex>
#include <optional>
#include <vector>

namespace permille {

namespace {

// The operators are libtorch's own, but only some devices have them: asked of another they would end with an error.
bool has_kernel(const at::Tensor& tensor) {
    static const auto found = [](const char* name) { return c10::Dispatcher::singleton().findSchema({name, ""}); };
    static const auto forward = found("aten::_efficient_attention_forward"), choice = found("aten::_fused_sdp_choice");
    const c10::DispatchKey key = tensor.options().computeDispatchKey();
    return forward && choice && forward->hasKernelForDispatchKey(key) && choice->hasKernelForDispatchKey(key);
}

// What all queries of a call have in common.
struct Call {
    at::Tensor starts, memory_starts;              // undefined: padded
    at::Tensor hidden;                             // added to the scores, [B, H, L, M]; undefined: nothing is
    std::int64_t longest = 0, memory_longest = 0;  // tokens of a sentence
    bool causal = false;
    double rate = 0;
    std::uint64_t stream = 0;
};

std::optional<at::Tensor> given(const at::Tensor& tensor) { return tensor.defined() ? std::optional(tensor) : std::nullopt; }

constexpr std::int64_t kSeesAll = 0, kSeesEarlier = 1;  // the operators' custom_mask_type

struct CardAttention : torch::autograd::Function<CardAttention> {
    // queries [B or 1, L, H, head_dim], keys and values [B or 1, M, H, head_dim] -> as the queries.
    static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& queries, const at::Tensor& keys,
                              const at::Tensor& values, const Call& call) {
        const bool trains = queries.requires_grad() || keys.requires_grad() || values.requires_grad();
        std::unique_lock<std::mutex> drawing;
        if (call.rate > 0) drawing = shared_generator_at(call.stream, queries.device());
        const auto [out, log_sums, seed, offset, longest, memory_longest] = at::_efficient_attention_forward(
            queries, keys, values, given(call.hidden), given(call.starts), given(call.memory_starts), call.longest, call.memory_longest,
            call.rate, call.causal ? kSeesEarlier : kSeesAll, /*compute_log_sumexp=*/trains);
        if (drawing) drawing.unlock();
        if (!trains) return out;
        context->save_for_backward({queries, keys, values, out, log_sums, seed, offset, call.hidden, call.starts, call.memory_starts});
        context->saved_data["longest"] = call.longest;
        context->saved_data["memory_longest"] = call.memory_longest;
        context->saved_data["causal"] = call.causal;
        context->saved_data["rate"] = call.rate;
        return out;
    }

    static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
        const auto saved = context->get_saved_variables();
        const at::Tensor &queries = saved[0], &keys = saved[1], &values = saved[2], &out = saved[3], &log_sums = saved[4];
        // The keys in one go: split up, parts would be added in any order.
        const auto [to_queries, to_keys, to_values, to_hidden] = at::_efficient_attention_backward(
            gradients[0].contiguous(), queries, keys, values, given(saved[7]), out, given(saved[8]), given(saved[9]),
            context->saved_data["longest"].toInt(), context->saved_data["memory_longest"].toInt(), log_sums,
            context->saved_data["rate"].toDouble(), saved[5], saved[6], context->saved_data["causal"].toBool() ? kSeesEarlier : kSeesAll,
            /*bias_requires_grad=*/false, /*scale=*/std::nullopt, /*num_splits_key=*/1);
        return {to_queries, to_keys, to_values, {}};
    }
};

constexpr std::int64_t kMaskStep = 16;  // numbers of a mask's row that the kernel may read at a time

// Minus infinity at padded keys, [B, 1, 1, M].
at::Tensor hidden_keys(const Rows& rows, at::ScalarType type) {
    const std::int64_t room = (rows.longest + kMaskStep - 1) / kMaskStep * kMaskStep;
    const at::Tensor added = at::zeros({rows.sentences, room}, rows.keep.options().dtype(type));
    const at::Tensor seen = added.narrow(1, 0, rows.longest);
    seen.masked_fill_(rows.keep.logical_not(), -std::numeric_limits<double>::infinity());
    return seen.view({rows.sentences, 1, 1, rows.longest});
}

}  // namespace

bool fits_card_attention(const at::Tensor& queries, std::int64_t heads) {
    constexpr std::int64_t kAligned = 16;  // bytes, which the kernel reads at a time
    const std::int64_t width = queries.size(1) / heads;
    if (!has_kernel(queries) || width * queries.element_size() % kAligned != 0) return false;
    // Whether libtorch has any fused kernel for this type on this card; where it has one it has this one, too.
    const at::Tensor one = queries.view({1, queries.size(0), heads, width}).transpose(1, 2);
    return at::_fused_sdp_choice(one, one, one) > 0;
}

at::Tensor card_attention(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values, const Rows& rows,
                          const Rows& memory_rows, std::int64_t heads, bool causal, double rate, DropoutStreams& streams) {
    const std::int64_t width = queries.size(1) / heads;
    Call call;
    call.longest = rows.longest;
    call.memory_longest = memory_rows.longest;
    call.causal = causal;
    call.rate = rate;
    const auto split = [&](const at::Tensor& all) { return all.view({all.size(0), all.size(1), heads, width}); };
    if (rate <= 0) {
        call.starts = rows.starts;
        call.memory_starts = memory_rows.starts;
        const auto one = [&](const at::Tensor& packed) { return split(packed.contiguous().unsqueeze(0)); };
        return CardAttention::apply(one(queries), one(keys), one(values), call).view(queries.sizes());
    }
    call.stream = streams.next();
    // A query sees earlier places alone: they are not padded, where it is not.
    if (!causal && !memory_rows.dense()) {
        const at::ScalarType type = queries.scalar_type();
        const Rows::Mask which{.padding = true, .type = type, .step = kMaskStep};
        call.hidden = memory_rows.mask(which, [&] { return hidden_keys(memory_rows, type); })
                          .expand({rows.sentences, heads, rows.longest, memory_rows.longest});
    }
    const auto padded = [&](const at::Tensor& packed, const Rows& of) { return split(pad(packed.contiguous(), of)); };
    const at::Tensor out = CardAttention::apply(padded(queries, rows), padded(keys, memory_rows), padded(values, memory_rows), call);
    return pack(out.view({rows.sentences, rows.longest, queries.size(1)}), rows);
}

}  // namespace permille
