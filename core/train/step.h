// One update of one or more trainings over the same base: forward and backward pass, then the optimiser's step.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/base/events.h"
#include "core/data/batches.h"
#include "core/nn/rows.h"
#include "core/train/contrast.h"
#include "core/train/state.h"

namespace permille {

// Packed tensors of a batch: encoder input, decoder input (labels shifted right behind the token that the architecture starts from) and
// labels.
struct TensorBatch {
    TokenRows source, target;
    at::Tensor labels;        // [M] int64
    std::int64_t tokens = 0;  // labels
};
TensorBatch collate(const std::vector<TokenPair>& pairs, const BatchPlan& plan, const Architecture& architecture, const at::Device& device);

// What a training's next update is made of.
struct StepTask {
    TrainingState* state = nullptr;
    const std::vector<TokenPair>* pairs = nullptr;  // the training text
    std::vector<BatchPlan> batches;                 // of it, accumulated
    std::vector<TensorBatch> prepared = {};         // these batches on the device already; empty: they are made when their turn comes
    const Seq2Seq* teacher = nullptr;               // to distil from; null: none
    const Contrast* contrast = nullptr;             // wrong translations to train against; null: none
    EventSink sink;                                 // learns of splits
};

// What one update was made of, no padding; what it found stays on the device, in TrainingState::running.
struct StepSize {
    std::int64_t labels = 0, tokens = 0;  // tokens: source and target
};

// One update of every task, in their order; each counts as if it were alone. A batch that does not fit into memory is split (same update,
// slower). An update whose gradient is not a number is skipped. Nothing waits for the device, but for methods that remember
// something between updates. Throws Error(device_memory, config).
std::vector<StepSize> training_step(std::span<StepTask> tasks);

}  // namespace permille
