// The method table (peft/methods.cpp) as the command line, the window and the study file see it. No torch: programs without libtorch have
// it from the library told_methods (told_catalog.cpp), the others from core.
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
// All methods of a table as a page in Markdown: idea, equation, paper, sites, knobs, when to use it. docs/methods.md is this page.
std::string method_pages(const std::vector<MethodInfo>& table);

}  // namespace permille
