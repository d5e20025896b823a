// What a training costs on a machine's CPU, and what translating costs, from config.json and the settings alone. tests/bench/memory.cpp
// holds the estimates against processes that do it.
#pragma once

#include <cstdint>

#include "core/base/spec.h"
#include "core/models/base_model.h"
#include "core/peft/method.h"

namespace permille {

// What one process needs at its peak, in bytes, program and libraries counted, the text not; and the training proper of 1,000 updates, in
// seconds of a machine that does nothing else, validation not counted. Batches are as large as the settings allow, of sentences of
// kSentenceTokens tokens.
struct TrainingCosts {
    std::int64_t peak_memory_bytes = 0;
    double seconds_per_1000_updates = 0;
};
constexpr std::int64_t kSentenceTokens = 40;

// settings: complete. teacher: what training.teacher names, null for none.
TrainingCosts training_costs(const ModelDescription& base, const Method& method, const Json& settings, const TrainingSettings& training,
                             const DeviceSettings& device, const ModelDescription* teacher = nullptr);

// The base's tensors in the type of the computation: they are mapped from the file when it holds that type.
std::int64_t weights_bytes(const Layout& layout, const DeviceSettings& device);
// At the peak of translating, translations being half as long again as their sources.
std::int64_t translation_bytes(const ModelDescription& base, const DecodingSettings& decoding, const DeviceSettings& device);

}  // namespace permille
