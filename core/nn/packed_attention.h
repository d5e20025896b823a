// Attention over packed rows, differentiable: each sentence and head by itself, with its own length, so that nothing is padded, copied into
// another order or masked. Two ways of the one function: on the CPU a kernel of ours, elsewhere libtorch's (core/nn/card_attention.h).
//
// Ours computes in float32 for float32 and bfloat16 rows. libtorch's fused attention on the CPU makes its products one by one for every
// head, too, but through libraries whose fixed cost is larger than such a product: with this one, LoRA trains the bundled base 1.1 times as
// fast in float32 and 1.6 times in bfloat16.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/nn/dropout.h"
#include "core/nn/rows.h"

namespace permille {

// Whether it can do it for queries [N, D] on their device, and does it well: on the CPU without dropout of the weights, and up to middling
// lengths, whose scores stay in the processor's cache. Where it does not, attention is on padded rows.
bool fits_packed_attention(const at::Tensor& queries, const Rows& rows, const Rows& memory_rows, std::int64_t heads, double dropout = 0);

// softmax(head_dim^-0.5 q k^T) v: queries [N, D] of `rows`, keys and values [M, D] of `memory_rows` -> [N, D]. causal: only to earlier
// places. dropout: the share of the weights that are dropped, by the next of the streams.
at::Tensor packed_attention(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values, const Rows& rows,
                            const Rows& memory_rows, std::int64_t heads, bool causal, double dropout, DropoutStreams& streams);

}  // namespace permille
