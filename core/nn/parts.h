// The parts of a Transformer as functions over packed rows. Weights are frozen tensors of the base; what a method attached is looked up in
// the Forward context at every parameter and site. Nothing here keeps state, so one base serves any number of runs and threads.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>

#include "core/nn/attachment.h"
#include "core/nn/dropout.h"
#include "core/nn/rows.h"

namespace permille {

class Mixture;  // core/nn/mixture.h

// One forward pass: which attachment, whether it trains, and the type of the matrix work (norms, residuals and the loss stay float32).
struct Forward {
    const std::vector<at::Tensor>* weights = nullptr;  // by parameter index; matrices in the compute type
    const std::vector<at::Tensor>* typed = nullptr;    // the same with biases in the compute type, too; null: they are cast when needed
    const Attachment* attachment = nullptr;            // null: the base alone, or a mixed batch
    std::shared_ptr<Mixture> mixture;                  // of a mixed batch, whose sentences have different attachments; else null
    at::ScalarType compute = at::kFloat;
    bool eager_attention = false;                                       // the plain softmax path, kept for tests
    double dropout = 0, attention_dropout = 0, activation_dropout = 0;  // 0 unless training
    mutable DropoutStreams streams;
    // Gradient checkpointing (core/nn/recompute.h): the trained tensors; empty: off.
    std::vector<at::Tensor> recompute;

    // The ids of the rows that pass through the encoder and the decoder, for modules that treat tokens differently; virtual ones are -1.
    mutable at::Tensor source_ids, target_ids;
    // The sentences that the encoder's rows form, for modules that look at a sentence as a whole.
    mutable Rows source_rows;

    // Rows that pass an output, norm or embedding site, through the modules attached there.
    at::Tensor through(int site, const at::Tensor& rows, const Passage& passage = {}) const;
    bool has_output(int site) const;  // of any attachment

    // Of one attachment; of a mixed batch each has its own.
    // The tensor of a parameter: the attachment's own copy, else the base's.
    const at::Tensor& parameter(int index) const;
    // The same in the compute type: matrices and biases.
    at::Tensor typed_parameter(int index) const;
    const AttentionPrefix* prefix(int site) const {
        return attachment && !attachment->prefixes.at(site).empty() ? attachment->prefixes.at(site).front().get() : nullptr;
    }
    const Prompt* prompt(int site) const {
        return attachment && !attachment->prompts.at(site).empty() ? attachment->prompts.at(site).front().get() : nullptr;
    }
};

// A projection with its site. y = x W^T + b, with the deltas attached there. x [N, in] -> [N, out] in the compute type.
struct Linear {
    int site = -1, weight = -1, bias = -1;
    at::Tensor operator()(const Forward& forward, const at::Tensor& x) const;
    // x W^T + b without what is attached.
    at::Tensor frozen(const Forward& forward, const at::Tensor& x) const;
};

// LayerNorm over D (Ba et al. 2016), eps 1e-5, computed in float32. [N, D] -> [N, D].
struct Norm {
    int site = -1, weight = -1, bias = -1;
    at::Tensor operator()(const Forward& forward, const at::Tensor& x) const;
};

// softmax(head_dim^-0.5 q k^T + mask) v step by step, where dropout or a gate comes between: queries [B, H, L, head_dim], keys and values
// [B, H, M, head_dim], mask additive or none. gate [B, L], of each query, multiplies the first `gated` keys and values; undefined: none.
at::Tensor plain_attention(const Forward& forward, const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                           const std::optional<at::Tensor>& mask, const at::Tensor& gate = {}, std::int64_t gated = 0);

// Multi-head scaled dot-product attention (Vaswani et al. 2017, eq. 1); queries are scaled by head_dim^-0.5.
struct Attention {
    int site = -1;
    Linear q, k, v, out;
    std::int64_t heads = 1;

    // queries [N, D] of `rows`, attending to `memory` [M, D] of `memory_rows` (the same for self-attention). causal: only to earlier
    // places.
    at::Tensor operator()(const Forward& forward, const at::Tensor& x, const Rows& rows, const at::Tensor& memory, const Rows& memory_rows,
                          bool causal) const;
};

at::Tensor activate(Activation activation, const at::Tensor& x);

struct FeedForward {
    int site = -1;
    Linear fc1, fc2;
    Activation activation = Activation::relu;
    at::Tensor operator()(const Forward& forward, const at::Tensor& x) const;
};

}  // namespace permille
