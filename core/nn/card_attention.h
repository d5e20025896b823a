// Attention over packed rows on a card, by the one kernel of libtorch's that is right for all of float32, bfloat16 and float16, on cards of
// any age: the memory-efficient one (Rabe and Staats 2021, arXiv 2112.05682, as xFormers made it). No score is ever in memory. libtorch's
// flash attention would be somewhat faster in 16 bits, but not on sentences of some tens of tokens, and it adds up the queries' gradients
// in any order, so that a run would not be the same twice.
//
// - Without dropout the sentences lie one behind the other, and the kernel is told where each begins.
// - With dropout of the weights they are padded: told where sentences begin, libtorch 2.11 counts its random numbers in the forward pass
//   with no keys at all and in the backward pass with the longest's (pytorch issue 115590), so that the two drop different weights. In a
//   padded batch they count alike.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/nn/dropout.h"
#include "core/nn/rows.h"

namespace permille {

// Whether the device of the queries [N, D] has the kernel, for their type and the width of their heads.
bool fits_card_attention(const at::Tensor& queries, std::int64_t heads);

// As packed_attention(). rate: the share of the attention's weights that are dropped, the others being scaled by 1 / (1 - rate).
at::Tensor card_attention(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values, const Rows& rows,
                          const Rows& memory_rows, std::int64_t heads, bool causal, double rate, DropoutStreams& streams);

}  // namespace permille
