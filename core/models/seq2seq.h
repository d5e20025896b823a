// A Transformer encoder-decoder over shared, frozen weights. Immutable after construction: any number of runs, threads and attachments may
// use one at the same time.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "core/models/architecture.h"
#include "core/nn/parts.h"

namespace permille {

// Keys and values of a beam search. Rows of the self-attention cache are hypotheses; the cross-attention keys and values are kept once per
// sentence, beams being query rows. Time is the outer dimension, so that reordering hypotheses copies only the positions that exist.
struct DecoderCache {
    struct Layer {
        at::Tensor self_keys, self_values;    // flat buffers, seen as [T_max, R, D] with R = B*K hypotheses
        at::Tensor spare_keys, spare_values;  // the other halves of the double buffer
        at::Tensor cross_keys, cross_values;  // [B, H, S, head_dim]
    };
    std::vector<Layer> layers;
    at::Tensor cross_mask;    // [B, 1, 1, S] additive in the compute type, or undefined
    std::int64_t length = 0;  // decoder positions already cached
    std::int64_t beams = 1;   // K: rows per sentence
    std::int64_t rows = 0;    // R
    std::int64_t width = 0;   // D

    // Row i becomes what row order[i] was. With fewer rows whole sentences leave: `sentences` are the ones that stay.
    void select(const std::vector<std::int64_t>& order, const std::vector<std::int64_t>& sentences);
};

class Seq2Seq {
public:
    // Base tensors by parameter index of make_layout(architecture), matrices already in `compute`; logits_bias: final_logits_bias [V] in
    // float32 or undefined. Throws Error(tensor) when the bias has another size.
    Seq2Seq(Architecture architecture, std::vector<at::Tensor> weights, at::Tensor logits_bias, at::ScalarType compute);

    const Architecture& architecture() const { return architecture_; }
    const Layout& layout() const { return layout_; }
    const std::vector<at::Tensor>& weights() const { return weights_; }
    const at::Tensor& logits_bias() const { return logits_bias_; }
    at::ScalarType compute() const { return compute_; }
    at::Device device() const { return weights_.front().device(); }

    // A forward context for decoding or scoring: no dropout.
    Forward inference(const Attachment* attachment = nullptr) const;
    // A training context; dropout < 0 takes the model's own. The seed chooses all dropout masks of the batch.
    Forward training(const Attachment& attachment, double dropout, std::uint64_t seed) const;

    // Encoder states [N, D] of packed source tokens.
    at::Tensor encode(const Forward& forward, const TokenRows& source) const;
    // Decoder states [M, D] (before the vocabulary projection) of packed decoder inputs.
    at::Tensor decode(const Forward& forward, const TokenRows& source, const at::Tensor& encoded, const TokenRows& target) const;
    // The vocabulary projection's matrix [V, D] in the compute type: the decoder's table, unless the architecture says otherwise.
    at::Tensor output_weight(const Forward& forward) const;
    // Logits [N, V] float32.
    at::Tensor logits(const Forward& forward, const at::Tensor& states) const;

    // Starts a search over encoded sources with `beams` hypotheses each, up to max_length positions.
    DecoderCache start(const Forward& forward, const TokenRows& source, const at::Tensor& encoded, std::int64_t beams,
                       std::int64_t max_length) const;
    // One position: tokens [R] -> states [R, D].
    at::Tensor step(const Forward& forward, DecoderCache& cache, const at::Tensor& tokens) const;

private:
    struct Layer {
        Attention self_attn, cross_attn;
        FeedForward ffn;
        Norm self_norm, cross_norm, ffn_norm;
        int self_output = -1, cross_output = -1, ffn_output = -1, layer_output = -1;
    };
    struct Stack {
        std::vector<Layer> layers;
        Norm embedding_norm, final_norm;
        int table = -1, positions = -1;
    };

    Stack make_stack(const std::string& side, std::int64_t layers, std::int64_t heads, bool cross) const;
    at::Tensor embed(const Forward& forward, const Stack& stack, const at::Tensor& ids, const at::Tensor& positions) const;
    // x after a block: residual + dropout(output module(block(norm(x)))), with the norm where the architecture has it.
    template <class Block>
    at::Tensor residual(const Forward& forward, const at::Tensor& x, const Norm& norm, int output_site, Block&& block) const;

    Architecture architecture_;
    Layout layout_;
    std::vector<at::Tensor> weights_;
    at::Tensor logits_bias_, sinusoids_;
    at::ScalarType compute_;
    Stack encoder_, decoder_;
    int projection_ = -1;
};

// Rows [count, D] of the fixed sinusoid tables, float32; the first row is position 0 of a sentence.
at::Tensor sinusoid_table(Positions kind, std::int64_t count, std::int64_t d_model, std::int64_t pad_id);

}  // namespace permille
