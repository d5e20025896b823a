// The methods as the command line, the window and the study file see them: data read from the method table (peft/methods.cpp). No torch.
#pragma once

#include <string>
#include <vector>

#include "core/base/fields.h"

namespace permille {

struct MethodInfo {
    std::string id;               // "lora"
    std::string name;             // "LoRA"
    std::string paper;            // "Hu et al. 2021, arXiv 2106.09685"
    std::string summary;          // one line for people
    std::vector<std::string> sites;   // the kinds of places where it can go
    std::vector<Field> knobs;
    std::string size_knob;        // the knob that a budget solves; "" when the size is fixed
    bool mergeable = false;
    bool identity_at_start = false;
    double default_learning_rate = 0;
};

// In alphabetical order of their ids.
const std::vector<MethodInfo>& method_catalog();
// Throws Error(config) that names the nearest known method.
const MethodInfo& find_method(const std::string& id, const std::string& where);

}  // namespace permille
