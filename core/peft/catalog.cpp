#include "core/peft/catalog.h"

#include "core/peft/method.h"

namespace permille {

const MethodInfo& find_method(const std::string& id, const std::string& where) { return find_method_by_id(id, where).info(); }

const std::vector<MethodInfo>& method_catalog() {
    static const std::vector<MethodInfo> catalog = [] {
        std::vector<MethodInfo> list;
        for (const auto& method : methods()) list.push_back(method->info());
        return list;
    }();
    return catalog;
}

}  // namespace permille
