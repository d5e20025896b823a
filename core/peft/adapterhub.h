// Adapters as folders of AdapterHub's library (Pfeiffer et al. 2020, arXiv 2007.07779; the Python package "adapters"): adapter_config.json
// and adapter.safetensors, which its load_adapter opens with use_safetensors=True. mBART is the one family that both programs have.
#pragma once

#include <filesystem>
#include <string>

#include "core/models/base_model.h"
#include "core/peft/attach.h"

namespace permille {

// name: under which AdapterHub knows the adapter. Throws Error(unsupported) for another family, and for a method or settings that
// AdapterHub does not have.
void save_adapterhub(const std::filesystem::path& folder, const Attached& attached, const BaseModel& base, const std::string& name);

// reduction_factor of a middle layer this wide: AdapterHub divides the model's width by it and rounds down.
double reduction_factor(std::int64_t width, std::int64_t middle);

}  // namespace permille
