// The prefixes of one attention for a whole batch. In a mixed batch they may differ in length: the shorter ones stand next to the sentence,
// and the places before them are hidden.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/nn/parts.h"

namespace permille {

struct BatchPrefix {
    std::int64_t length = 0;  // of the longest; 0: there is none, and the tensors are undefined
    at::Tensor keys, values;  // [1 or B, length, D], in the compute type
    at::Tensor hidden;        // [B, length] bool: places where a sentence has nothing; undefined: there are no such places

    BatchPrefix(const Forward& forward, int site, std::int64_t sentences);

    // Keys or values of the prefix before those of the sentences: [B, H, S, head_dim] -> [B, H, length + S, head_dim].
    static at::Tensor joined(const at::Tensor& prefix, const at::Tensor& rest);
    // Added to scores [B, H, L, length + S]: minus infinity at hidden places and at padded keys of `rows`, [B, 1, 1, length + S];
    // undefined: nothing is. earlier: so many queries L that see earlier keys alone, with which padded keys are hidden anyhow; [B or 1, 1,
    // L, length
    // + S]. Made once for all layers of a batch, but in mixed ones.
    at::Tensor mask(const Rows& rows, const at::TensorOptions& options, std::int64_t earlier = 0) const;
};

// What multiplies the prefix for each query, [N, 1] float32, from the rows x [N, D] that the attention reads; one where an attachment has
// no gate, undefined where none has.
at::Tensor prefix_gate(const Forward& forward, int site, const at::Tensor& x);

}  // namespace permille
