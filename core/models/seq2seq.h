// A Transformer encoder-decoder over shared, frozen weights. Immutable after construction: any number of runs, threads and attachments may
// use one at the same time.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <vector>

#include "core/models/architecture.h"
#include "core/models/decoder_cache.h"
#include "core/nn/mixture.h"
#include "core/nn/parts.h"

namespace permille {

// What the encoder made of a batch.
struct Encoded {
    at::Tensor states;  // [N, D]; with an attached prompt the virtual tokens' among them
    TokenRows tokens;   // of the states
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
    // The same for a batch whose sentences have different attachments, in this order; for as long as that batch is worked on.
    Forward inference(const std::vector<Share>& shares) const;
    // A training context; dropout < 0 takes the model's own. The seed chooses all dropout masks of the batch.
    Forward training(const Attachment& attachment, double dropout, std::uint64_t seed) const;

    Encoded encode(const Forward& forward, const TokenRows& source) const;
    // Decoder states [M, D] (before the vocabulary projection) of packed decoder inputs.
    at::Tensor decode(const Forward& forward, const Encoded& encoded, const TokenRows& target) const;
    // The vocabulary projection's matrix [V, D] in the compute type: the decoder's table, unless the architecture says otherwise. In a
    // mixed batch there are several: logits() and log_probabilities() know.
    at::Tensor output_weight(const Forward& forward) const;
    // Logits [N, V] float32.
    at::Tensor logits(const Forward& forward, const at::Tensor& states) const;
    // log p(label) of decoder states [N, D], natural, float32; no [N, V] tensor is made.
    at::Tensor log_probabilities(const Forward& forward, const at::Tensor& states, const at::Tensor& labels) const;

    // Tokens of a decoder input at most: the model's positions less those of an attached prompt. Throws Error(config): fewer than 2, so
    // that nothing could be said. Of one attachment.
    std::int64_t longest_target(const Forward& forward) const;
    // Starts a search over encoded sources with `beams` hypotheses each, up to max_length positions.
    DecoderCache start(const Forward& forward, const Encoded& encoded, std::int64_t beams, std::int64_t max_length) const;
    // What a hypothesis of such a search takes of the device's memory: its part of the cache, of a source of so many tokens, and its
    // logits.
    std::int64_t bytes_per_hypothesis(std::int64_t beams, std::int64_t source, std::int64_t max_length) const;
    // One position: tokens [R] -> states [R, D].
    at::Tensor step(const Forward& forward, DecoderCache& cache, const at::Tensor& tokens) const;

private:
    struct Layer {
        Attention self_attn, cross_attn;
        FeedForward ffn;
        Norm self_norm, cross_norm, ffn_norm;
        int self_output = -1, cross_output = -1, ffn_output = -1, layer_output = -1, memory = -1;
    };
    struct Stack {
        std::vector<Layer> layers;
        Norm embedding_norm, final_norm;
        int table = -1, positions = -1;                              // parameters
        int prompt = -1, embedding_tokens = -1, embedding_out = -1;  // sites
    };

    Stack make_stack(const std::string& side, std::int64_t layers, std::int64_t heads, bool cross) const;
    // Token embeddings [N, D] as they enter a stack, before positions; positions: of `Passage`.
    at::Tensor embed_tokens(const Forward& forward, const Stack& stack, const at::Tensor& ids, const at::Tensor& positions) const;
    // With positions and norm, after dropout.
    at::Tensor enter(const Forward& forward, const Stack& stack, at::Tensor x, const at::Tensor& counted) const;
    // x after a block: residual + dropout(output modules(block(norm(x)))), with the norm where the architecture has it.
    template <class Block>
    at::Tensor residual(const Forward& forward, const at::Tensor& x, const Norm& norm, int output_site, Block&& block) const;
    // What a layer's cross-attention reads of the encoder's states [N, D], in the compute type; typed: the states in that type already.
    at::Tensor memory_of(const Forward& forward, const Layer& layer, const at::Tensor& states, const at::Tensor& typed) const;
    // One position of all layers: x [R, D] -> [R, D]. before(layer, x): what flows into a layer instead of x.
    at::Tensor step_layers(const Forward& forward, DecoderCache& cache, at::Tensor x,
                           const std::function<at::Tensor(std::int64_t, const at::Tensor&)>& before = {}) const;
    // Tells the modules the ids of the hypotheses.
    static void pass_step(const Forward& forward, const DecoderCache& cache, const at::Tensor& ids);
    // Positions that a prefix takes before the tokens of the stack.
    std::int64_t shift(const Forward& forward, const Stack& stack) const;
    // Throws Error(config): a sentence with its prompt is longer than the model's positions.
    void check_lengths(const Forward& forward, const Stack& stack, const Rows& real) const;
    // Prefixes and virtual tokens, before the first position.
    void begin(const Forward& forward, DecoderCache& cache) const;

    Architecture architecture_;
    Layout layout_;
    std::vector<at::Tensor> weights_;
    std::vector<at::Tensor> typed_;  // the same with biases in the compute type
    at::Tensor logits_bias_, sinusoids_;
    at::ScalarType compute_;
    Stack encoder_, decoder_;
    int projection_ = -1;
};

// Rows [count, D] of the fixed sinusoid tables, float32; the first row is position 0 of a sentence.
at::Tensor sinusoid_table(Positions kind, std::int64_t count, std::int64_t d_model, std::int64_t pad_id);

}  // namespace permille
