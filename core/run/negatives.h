// Wrong translations of the training text, for training against them (core/train/contrast.h): what the base alone makes of it.
#pragma once

#include <filesystem>
#include <memory>
#include <stop_token>
#include <string>

#include "core/run/open_model.h"
#include "core/run/texts.h"
#include "core/train/contrast.h"

namespace permille {

// At most training.contrast hypotheses of each sentence that differ from its reference, by beam search or by sampling; null when the
// settings ask for none. They are kept in `folder`/negatives.safetensors as they are found, so that a run that was stopped goes on there
// and a run that is continued trains against the same ones. Throws Stopped.
std::unique_ptr<Contrast> find_negatives(const OpenModel& model, const TokenText& train, const std::string& target_language,
                                         const TrainingSettings& training, std::uint64_t seed, const std::filesystem::path& folder,
                                         const EventSink& sink, const std::stop_token& stop);

}  // namespace permille
