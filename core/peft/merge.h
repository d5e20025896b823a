// An adapter worked into the weights of its base: a plain model that translates the same, without anything beside it.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "core/peft/attach.h"

namespace permille {

// A model of the base's kind. Its layout is the base's but for tables: what is attached to the token embeddings of a stack changes the
// table for that stack's lookups alone, so where other places read the same table each gets one of its own.
struct Merged {
    Architecture architecture;
    Layout layout;
    std::vector<at::Tensor> weights;  // by parameter index of the layout, float32 where something was merged into them
};

// Throws Error(unsupported) naming the method and the place when what is attached is no change of weights there.
Merged merge(const Attached& attached, const Seq2Seq& base);

// The weights where the layout stays the base's. Throws Error(unsupported) where it does not, too.
std::vector<at::Tensor> merged_weights(const Attached& attached, const Seq2Seq& base);

}  // namespace permille
