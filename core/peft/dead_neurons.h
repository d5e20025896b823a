// Neurons of feed-forward blocks that change nothing: what structured pruning (core/peft/pruning.h) leaves behind once it is merged. All
// activations are 0 at 0, so a neuron is dead when its row of W1 and its bias are zero, or its column of W2 is.
#pragma once

#include <cstdint>

#include "core/peft/merge.h"

namespace permille {

// Of each block of a stack; its blocks have one width, so as many go as every one of them can spare, and at least one neuron stays.
struct RemovedNeurons {
    std::int64_t encoder = 0, decoder = 0;
};

// Narrows the feed-forward blocks: the model translates as before and computes less.
RemovedNeurons remove_dead_neurons(Merged& merged);

}  // namespace permille
