// The method table (peft/methods.cpp) as the command line, the window and the study file see it. No torch.
#pragma once

#include <string>
#include <vector>

#include "core/base/method_info.h"

namespace permille {

// In alphabetical order of their ids.
const std::vector<MethodInfo>& method_catalog();
// Throws Error(config) that names the nearest known method.
const MethodInfo& find_method(const std::string& id, const std::string& where);
// What a knob may be, for people: "1 to 65536", "relu, gelu, swish".
std::string knob_range(const Field& knob);
// All methods as a page in Markdown: idea, equation, paper, sites, knobs, when to use it. docs/methods.md is this page.
std::string method_pages();

}  // namespace permille
