// An adapter on disk: a folder with permille.json (method, settings, the base's fingerprint, how it was trained), adapter_model.safetensors
// (only what the method trains) and, for methods that Hugging Face PEFT has, its adapter_config.json, so that PEFT opens the same folder.
#pragma once

#include <filesystem>

#include "core/models/base_model.h"
#include "core/peft/attach.h"

namespace permille {

// `notes` is kept under "training" in permille.json.
void save_adapter(const std::filesystem::path& folder, const Attached& attached, const BaseModel& base, const Json& notes);

// Throws Error(file, tensor, config): missing or damaged files, a method that is not known, tensors missing, left over or of another shape,
// and an adapter made for another base (by fingerprint).
Attached load_adapter(const std::filesystem::path& folder, const BaseModel& base);

// permille.json with the tensors' names, shapes and count.
Json describe_adapter(const std::filesystem::path& folder);

}  // namespace permille
