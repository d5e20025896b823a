// The virtual tokens at the input of one stack for a whole batch: in a mixed batch every sentence has those of its own attachment, many or
// none.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "core/nn/mixture.h"

namespace permille {

class BatchPrompt {
public:
    // tokens: the real ones.
    BatchPrompt(const Forward& forward, int site, const TokenRows& tokens);

    bool none() const { return none_; }
    // With the virtual ones, whose ids are -1.
    const TokenRows& tokens() const { return rows_.tokens; }
    // Embeddings of the real tokens [N, D] -> of all of them [N', D].
    at::Tensor among(const at::Tensor& real) const;
    // x [N', D] with the states that virtual tokens have before this layer, where their prompt says so.
    at::Tensor with_states(const at::Tensor& x, std::int64_t layer) const;
    // [N', D] -> [N, D]
    at::Tensor real(const at::Tensor& x) const { return none_ ? x : x.index_select(0, rows_.real_rows); }

private:
    struct Part {
        const Prompt* prompt;
        const Forward* forward;
        std::int64_t sentences;
        std::int64_t rows() const { return sentences * (prompt->front() + prompt->back()); }
    };
    std::vector<Part> parts_;  // those that have one
    bool none_ = true;
    PromptedRows rows_;
};

}  // namespace permille
