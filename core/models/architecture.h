// A Transformer encoder-decoder as data: sizes, special tokens and the choices in which the families differ. Read from config.json by the
// family.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/nn/layout.h"

namespace permille {

// m2m: sin and cos halves, divisor half-1, rows counted from pad_id + 1; marian: divisor half, rows from 0; learned: a table, rows from an
// offset.
enum class Positions { m2m, marian, learned };

struct Architecture {
    std::string model_type;
    std::int64_t d_model = 0;
    std::int64_t encoder_layers = 0, decoder_layers = 0;
    std::int64_t encoder_heads = 0, decoder_heads = 0;
    std::int64_t encoder_ffn = 0, decoder_ffn = 0;
    std::int64_t vocab_size = 0;                    // V: tokens that the decoder reads and predicts
    std::optional<std::int64_t> source_vocab_size;  // set: the encoder reads a table of its own, with so many rows
    bool tied_projection = true;                    // the vocabulary projection is the decoder's table; otherwise a matrix of its own
    std::int64_t max_positions = 0;
    std::int64_t pad_id = 1, bos_id = 0, eos_id = 2, decoder_start_id = 2;
    std::optional<std::int64_t> forced_eos_id;
    bool generates_pad = true;            // otherwise a search never chooses pad_id, without making the other tokens more probable
    bool starts_with_last_label = false;  // a taught decoder begins with the last label of the sentence in place of decoder_start_id
    bool scale_embedding = true;
    bool pre_norm = true;         // norm before each block and once at the end of a stack; otherwise after each residual addition
    bool embedding_norm = false;  // a norm over the embeddings
    bool logits_bias = false;     // final_logits_bias, a buffer
    Positions positions = Positions::m2m;
    std::int64_t position_offset = 0;  // learned tables
    Activation activation = Activation::relu;
    double dropout = 0.1, attention_dropout = 0.1, activation_dropout = 0.0;

    std::int64_t source_vocabulary() const { return source_vocab_size.value_or(vocab_size); }
    // What the decoder reads first while it is taught `labels`.
    template <class Labels>
    std::int64_t start_of(const Labels& labels) const {
        return starts_with_last_label && !labels.empty() ? static_cast<std::int64_t>(labels.back()) : decoder_start_id;
    }
};

// The parameters, under the names of Hugging Face's BART-like checkpoints, and the sites, under ours. Indices are stable for an
// architecture.
Layout make_layout(const Architecture& architecture);

}  // namespace permille
