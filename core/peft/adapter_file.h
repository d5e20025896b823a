// An adapter on disk: a folder with permille.json (method, settings, the base's fingerprint, how it was trained), adapter_model.safetensors
// (only what the method trains) and, for methods that Hugging Face PEFT has, its adapter_config.json, so that PEFT opens the same folder.
#pragma once

#include <filesystem>

#include "core/base/events.h"
#include "core/models/base_model.h"
#include "core/peft/attach.h"

namespace permille {

// `notes` is kept under "training" in permille.json.
void save_adapter(const std::filesystem::path& folder, const Attached& attached, const BaseModel& base, const Json& notes);

// The size in bytes that adapter_model.safetensors will have, from arithmetic alone. Settings are complete.
std::int64_t adapter_file_size(const Method& method, const Layout& layout, const Json& settings);

// Throws Error(file, tensor, config): missing or damaged files, a method that is not known, tensors missing, left over or of another shape,
// and an adapter made for another base (by fingerprint).
// A folder that Hugging Face PEFT wrote has no permille.json: the method and its settings come from adapter_config.json, by the first
// method of the table that knows it, and the shapes are all that says whether it belongs to the base, which goes to the log.
// Error(unsupported) names the field that no method here serves. One of AdapterHub (core/peft/adapterhub.h) is read in the same way.
Attached load_adapter(const std::filesystem::path& folder, const BaseModel& base, const EventSink& sink = {});

// permille.json (of a folder that PEFT wrote its adapter_config.json, under "peft") with the tensors' names, shapes and count.
Json describe_adapter(const std::filesystem::path& folder);

}  // namespace permille
