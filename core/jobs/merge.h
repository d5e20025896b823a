// `permille merge`: an adapter worked into its base, as a model folder of its own. Torch-free face.
#pragma once

#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>

#include "core/base/events.h"
#include "core/base/json.h"

namespace permille {

struct MergeReport {
    std::string folder, method, dtype;
    std::int64_t parameters = 0;
    std::int64_t changed_tensors = 0;                       // that differ from the base's
    std::int64_t encoder_neurons = 0, decoder_neurons = 0;  // pruned ones of each block, which the merged model does without
    Json to_json() const;
};

// Writes `output`, which must not exist, in Hugging Face layout: the base's config.json and what else describes it (tokenizer, generation
// settings), and model.safetensors in `dtype` (float32, bfloat16, float16). Computed in float32 on the CPU. Whole or not at all.
// Throws Error(unsupported) naming the method and the place when something is no change of weights or `dtype` cannot hold a value,
// Error(config) when the adapter is another base's, Error(file), and Stopped when asked to stop.
MergeReport merge_adapter(const std::string& model, const std::filesystem::path& adapter, const std::filesystem::path& output,
                          const std::string& dtype, const EventSink& sink = {}, const std::stop_token& stop = {});

}  // namespace permille
