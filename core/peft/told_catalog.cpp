// The faces of core/peft/catalog.h for programs without libtorch: the same table, told by itself when the program was built.
#include <map>
#include <mutex>

#include "core/peft/catalog.h"
#include "core/peft/method_data.h"
#include "core/peft/tell_methods.h"

namespace permille {

const std::vector<MethodInfo>& method_catalog() {
    static const std::vector<MethodInfo> catalog = [] {
        std::vector<MethodInfo> list;
        for (const Json& method : Json::parse(kToldMethods)) list.push_back(method_from_json(method));
        return list;
    }();
    return catalog;
}

const MethodInfo& find_method(const std::string& id, const std::string& where) {
    const auto& table = method_catalog();
    const auto places = methods_named(id, table, where);
    if (places.size() == 1) return table[places.front()];
    static std::mutex mutex;
    static std::map<std::string, MethodInfo> combinations;
    const std::lock_guard lock(mutex);
    std::vector<MethodInfo> parts;
    for (const std::size_t place : places) parts.push_back(table[place]);
    return combinations.try_emplace(id, combined(id, parts)).first->second;
}

}  // namespace permille
