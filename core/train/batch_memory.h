// What a batch holds at once while it is trained on, found out by doing it: forward and backward on a narrow copy of the model, of the same
// depth and with the method in the same places, counting what is allocated.
#pragma once

#include <cstdint>

#include "core/base/spec.h"
#include "core/models/architecture.h"
#include "core/peft/method.h"

namespace permille {

// Bytes at the peak for one sentence pair of so many tokens on either side; weights, trained values and their gradients not counted, the
// vocabulary projection and its loss neither. Two narrow copies, because what a batch holds grows with the width in a straight line: the
// work of some hundredths of a second. settings: complete.
double batch_bytes_per_sentence(const Architecture& architecture, const Method& method, const Json& settings,
                                const TrainingSettings& training, c10::ScalarType compute, std::int64_t tokens);

}  // namespace permille
