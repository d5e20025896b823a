// Several methods trained together (composite.cpp), under a name and with settings of their own.
#pragma once

#include <memory>
#include <vector>

#include "core/peft/method.h"

namespace permille {

// A line for the table of methods. info says id, name, paper, summary, learning rate, equation and advice; what else there is follows from
// the parts. settings ("prefix.prefix_length") are what the parts start from in place of their defaults. All learn at the one rate.
std::unique_ptr<Method> named_combination(MethodInfo info, std::vector<std::unique_ptr<Method>> parts, const Json& settings);

}  // namespace permille
