// Keys and values of a search. Rows of the self-attention cache are hypotheses; the cross-attention keys and values are kept once per
// sentence, beams being query rows. Time is the outer dimension, so that reordering hypotheses copies only the positions that exist. In a
// mixed batch there are as many places for prefixes and virtual tokens as its longest has; those of the others end there too.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace permille {

struct DecoderCache {
    struct Layer {
        std::int64_t prefix = 0;                // places of an attached prefix, before the positions
        at::Tensor hidden;                      // [B, prefix] bool: those that are empty; undefined: none
        at::Tensor prefix_keys, prefix_values;  // [1 or B, prefix, D], until the first step
        at::Tensor self_keys, self_values;      // flat buffers, seen as [prefix + T_max, R, D] with R = B*K hypotheses
        at::Tensor spare_keys, spare_values;    // the other halves of the double buffer
        std::int64_t cross_prefix = 0;          // of the S keys that cross-attention sees
        at::Tensor cross_keys, cross_values;    // [B, H, S, head_dim]
        at::Tensor cross_mask;                  // [B, 1, 1, S] additive in the compute type, or undefined
    };
    std::vector<Layer> layers;
    std::int64_t front = 0;            // places of virtual tokens, before the first real one
    at::Tensor hidden;                 // [B, front] bool: those that are empty; undefined: none
    std::vector<std::int64_t> shares;  // sentences that are left of each attachment
    std::int64_t length = 0;           // decoder positions already cached, virtual tokens counted
    std::int64_t beams = 1;            // K: rows per sentence
    std::int64_t rows = 0;             // R
    std::int64_t width = 0;            // D

    // What is added to the scores of a layer's self-attention at the present position, [R, 1, 1, prefix + length + 1]; undefined: nothing.
    at::Tensor self_mask(const Layer& layer, const at::TensorOptions& options) const;

    // Row i becomes what row order[i] was. With fewer rows whole sentences leave: `sentences` are the ones that stay.
    void select(const std::vector<std::int64_t>& order, const std::vector<std::int64_t>& sentences);
};

}  // namespace permille
