#include "core/nn/batch_prefix.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <tuple>

#include "core/nn/mixture.h"

namespace permille {

BatchPrefix::BatchPrefix(const Forward& forward, int site, std::int64_t sentences) {
    const auto shares = sentences_of(forward, sentences);
    for (const auto& share : shares)
        if (const AttentionPrefix* prefix = share.forward->prefix(site)) length = std::max(length, prefix->length());
    if (length == 0) return;
    if (!forward.mixture) {
        const auto [own_keys, own_values] = forward.prefix(site)->keys_values(forward);
        keys = own_keys.unsqueeze(0);
        values = own_values.unsqueeze(0);
        return;
    }
    const at::TensorOptions options = forward.weights->front().options();
    std::vector<at::Tensor> all_keys(shares.size()), all_values(shares.size());
    for (std::size_t i = 0; i < shares.size(); ++i) {
        if (const AttentionPrefix* prefix = shares[i].forward->prefix(site))
            std::tie(all_keys[i], all_values[i]) = prefix->keys_values(*shares[i].forward);
        const std::int64_t own = all_keys[i].defined() ? all_keys[i].size(0) : 0;
        if (own == length) continue;
        if (!hidden.defined()) hidden = at::zeros({sentences, length}, options.dtype(at::kBool));
        hidden.narrow(0, shares[i].from, shares[i].count).narrow(1, 0, length - own).fill_(true);
    }
    const auto filled = [&](const std::vector<at::Tensor>& prefixes) {  // [B, length, D]
        std::int64_t width = 0;
        for (const at::Tensor& prefix : prefixes)
            if (prefix.defined()) width = prefix.size(1);
        const at::Tensor all = at::zeros({sentences, length, width}, options.dtype(forward.compute));
        for (std::size_t i = 0; i < shares.size(); ++i)
            if (const at::Tensor& prefix = prefixes[i]; prefix.defined())
                all.narrow(0, shares[i].from, shares[i].count).narrow(1, length - prefix.size(0), prefix.size(0)).copy_(prefix);
        return all;
    };
    keys = filled(all_keys);
    values = filled(all_values);
}

at::Tensor BatchPrefix::joined(const at::Tensor& prefix, const at::Tensor& rest) {
    const std::int64_t sentences = rest.size(0), heads = rest.size(1), places = prefix.size(1), head_dim = rest.size(3);
    const at::Tensor first = prefix.view({prefix.size(0), places, heads, head_dim}).transpose(1, 2);
    return at::cat({first.expand({sentences, heads, places, head_dim}), rest}, 2);
}

at::Tensor BatchPrefix::mask(const Rows& rows, const at::TensorOptions& options, std::int64_t earlier) const {
    const bool padded = earlier == 0 && !rows.dense();
    if (!padded && earlier == 0 && !hidden.defined()) return {};
    const auto make = [&] {
        constexpr double kHidden = -std::numeric_limits<double>::infinity();
        at::Tensor all, later;
        if (padded || hidden.defined()) {
            const at::Tensor added = at::zeros({rows.sentences, length + rows.longest}, options);
            if (hidden.defined()) added.narrow(1, 0, length).masked_fill_(hidden, kHidden);
            if (padded) added.narrow(1, length, rows.longest).masked_fill_(rows.keep.logical_not(), kHidden);
            all = added.view({rows.sentences, 1, 1, length + rows.longest});
        }
        if (earlier == 0) return all;
        later = at::zeros({1, 1, earlier, length + rows.longest}, options);
        later.narrow(3, length, rows.longest).masked_fill_(at::ones({earlier, rows.longest}, options.dtype(at::kBool)).triu(1), kHidden);
        return all.defined() ? all + later : later;
    };
    if (hidden.defined()) return make();
    return rows.mask({.queries = earlier, .before = length, .padding = padded, .type = c10::typeMetaToScalarType(options.dtype())}, make);
}

at::Tensor prefix_gate(const Forward& forward, int site, const at::Tensor& x) {
    bool gated = false;
    const auto gate_of = [&](const Forward& own, const at::Tensor& rows) {
        const AttentionPrefix* prefix = own.prefix(site);
        const at::Tensor gate = prefix ? prefix->gate(own, rows) : at::Tensor();
        gated = gated || gate.defined();
        return gate.defined() || !forward.mixture ? gate : at::ones({rows.size(0), 1}, rows.options().dtype(at::kFloat));
    };
    const at::Tensor gates = by_attachment(forward, site, gate_of, x);
    return gated ? gates : at::Tensor();
}

}  // namespace permille
