// Adapters as folders of AdapterHub's library (Pfeiffer et al. 2020, arXiv 2007.07779; the Python package "adapters"): adapter_config.json
// and adapter.safetensors, which its load_adapter opens with use_safetensors=True, or pytorch_adapter.bin. mBART is the one family that
// both programs have.
#pragma once

#include <filesystem>
#include <string>

#include "core/base/events.h"
#include "core/models/base_model.h"
#include "core/models/safetensors.h"
#include "core/peft/attach.h"

namespace permille {

// name: under which AdapterHub knows the adapter. Throws Error(unsupported) for another family, and for a method or settings that
// AdapterHub does not have.
void save_adapterhub(const std::filesystem::path& folder, const Attached& attached, const BaseModel& base, const std::string& name);

// A folder that AdapterHub's library wrote, or save_adapterhub() did.
bool is_adapterhub_folder(const std::filesystem::path& folder);
TensorMap read_adapterhub_tensors(const std::filesystem::path& folder);
// By the first method of the table that gives the very configuration. The shapes are all that says whether it belongs to the base, which
// goes to the log. Throws Error(unsupported) for a configuration that no method here computes, Error(file, tensor) for damage.
Attached load_adapterhub(const std::filesystem::path& folder, const BaseModel& base, const EventSink& sink = {});

// reduction_factor of a middle layer this wide: AdapterHub divides the model's width by it and rounds down.
double reduction_factor(std::int64_t width, std::int64_t middle);

}  // namespace permille
