// The table of methods, in alphabetical order: a new method is its own file and one declaration and one line here.
#include "core/peft/method.h"

namespace permille {

std::unique_ptr<Method> bitfit_method();
std::unique_ptr<Method> bottleneck_method();
std::unique_ptr<Method> full_method();
std::unique_ptr<Method> layernorm_method();
std::unique_ptr<Method> lora_method();

const std::vector<std::unique_ptr<Method>>& methods() {
    static const auto table = [] {
        std::vector<std::unique_ptr<Method>> list;
        list.push_back(bitfit_method());
        list.push_back(bottleneck_method());
        list.push_back(full_method());
        list.push_back(layernorm_method());
        list.push_back(lora_method());
        return list;
    }();
    return table;
}

}  // namespace permille
