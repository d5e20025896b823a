// What methods say about themselves, worked on as data. No torch.
#pragma once

#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/base/method_info.h"

namespace permille {

// What `permille methods --json` prints of a method, and back.
Json to_json(const MethodInfo& method);
MethodInfo method_from_json(const Json& json);

// The places in the table of what an id names: one method, or several joined by '+', "lora+layernorm". Throws Error(config) naming what is
// near.
std::vector<std::size_t> methods_named(const std::string& id, const std::vector<MethodInfo>& table, const std::string& where);
// What methods that are trained together say about themselves; their knobs are called lora.rank and so on.
MethodInfo combined(const std::string& id, const std::vector<MethodInfo>& parts);

}  // namespace permille
