// `permille pretrain`: a small multilingual base from scratch, or on from another model, by a recipe. Torch-free face.
#pragma once

#include <filesystem>
#include <stop_token>

#include "core/base/events.h"
#include "core/base/spec.h"

namespace permille {

struct PretrainReport {
    std::int64_t updates = 0, parameters = 0;
    double seconds = 0, train_loss = 0;
    bool stopped = false;
    std::string folder;
    Json to_json() const;
};

// Trains or continues (checkpoints lie in `work`), then writes the base in Hugging Face layout into `output`.
// updates_limit: stop after this many more updates (0: as the recipe says). Stopped on the way, the base as it is by then goes to
// WORK/model; stopped before the first update, the report names no folder.
PretrainReport pretrain(const std::filesystem::path& recipe, const std::filesystem::path& work, const std::filesystem::path& output,
                        const DeviceSettings& device, std::int64_t updates_limit, const EventSink& sink, std::stop_token stop);

}  // namespace permille
