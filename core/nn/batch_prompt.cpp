#include "core/nn/batch_prompt.h"

#include <ATen/ATen.h>

namespace permille {

BatchPrompt::BatchPrompt(const Forward& forward, int site, const TokenRows& tokens) {
    std::vector<std::int64_t> front, back;
    for (const auto& share : sentences_of(forward, tokens.rows.sentences)) {
        const Prompt* prompt = share.forward->prompt(site);
        if (prompt) parts_.push_back({prompt, share.forward, share.count});
        front.insert(front.end(), static_cast<std::size_t>(share.count), prompt ? prompt->front() : 0);
        back.insert(back.end(), static_cast<std::size_t>(share.count), prompt ? prompt->back() : 0);
    }
    none_ = parts_.empty();
    if (none_) rows_.tokens = tokens;
    else rows_ = PromptedRows::of(tokens, front, back);
}

at::Tensor BatchPrompt::among(const at::Tensor& real) const {
    if (none_) return real;
    std::vector<at::Tensor> rows = {real};
    for (const Part& part : parts_)
        rows.push_back(part.prompt->embeddings(*part.forward).repeat({part.sentences, 1}).to(real.scalar_type()));
    return at::cat(rows).index_select(0, rows_.order);
}

at::Tensor BatchPrompt::with_states(const at::Tensor& x, std::int64_t layer) const {
    at::Tensor rows = x;
    std::int64_t from = 0;
    for (const Part& part : parts_) {
        if (const at::Tensor states = part.prompt->states(*part.forward, layer); states.defined())
            rows =
                rows.index_copy(0, rows_.virtual_rows.narrow(0, from, part.rows()), states.repeat({part.sentences, 1}).to(x.scalar_type()));
        from += part.rows();
    }
    return rows;
}

}  // namespace permille
