// The table of methods, in alphabetical order: a new method is its own file and one declaration and one line here.
#include "core/peft/method.h"

namespace permille {

std::unique_ptr<Method> adalink_method();
std::unique_ptr<Method> adalora_method();
std::unique_ptr<Method> bitfit_method();
std::unique_ptr<Method> bottleneck_method();
std::unique_ptr<Method> compacter_method();
std::unique_ptr<Method> context_bitfit_method();
std::unique_ptr<Method> context_ia3_method();
std::unique_ptr<Method> context_lora_method();
std::unique_ptr<Method> cross_attention_method();
std::unique_ptr<Method> dept_method();
std::unique_ptr<Method> dora_method();
std::unique_ptr<Method> dsee_method();
std::unique_ptr<Method> experts_method();
std::unique_ptr<Method> full_method();
std::unique_ptr<Method> houlsby_method();
std::unique_ptr<Method> ia3_method();
std::unique_ptr<Method> language_adapters_method();
std::unique_ptr<Method> layer_prefix_method();
std::unique_ptr<Method> layernorm_method();
std::unique_ptr<Method> lora_method();
std::unique_ptr<Method> loretta_adp_method();
std::unique_ptr<Method> loretta_rep_method();
std::unique_ptr<Method> mam_method();
std::unique_ptr<Method> parallel_method();
std::unique_ptr<Method> parameters_method();
std::unique_ptr<Method> pfeiffer_method();
std::unique_ptr<Method> prefix_method();
std::unique_ptr<Method> prompt_method();
std::unique_ptr<Method> ssf_method();
std::unique_ptr<Method> unipelt_method();
std::unique_ptr<Method> vera_method();

const std::vector<std::unique_ptr<Method>>& methods() {
    static const auto table = [] {
        std::vector<std::unique_ptr<Method>> list;
        list.push_back(adalink_method());
        list.push_back(adalora_method());
        list.push_back(bitfit_method());
        list.push_back(bottleneck_method());
        list.push_back(compacter_method());
        list.push_back(context_bitfit_method());
        list.push_back(context_ia3_method());
        list.push_back(context_lora_method());
        list.push_back(cross_attention_method());
        list.push_back(dept_method());
        list.push_back(dora_method());
        list.push_back(dsee_method());
        list.push_back(experts_method());
        list.push_back(full_method());
        list.push_back(houlsby_method());
        list.push_back(ia3_method());
        list.push_back(language_adapters_method());
        list.push_back(layer_prefix_method());
        list.push_back(layernorm_method());
        list.push_back(lora_method());
        list.push_back(loretta_adp_method());
        list.push_back(loretta_rep_method());
        list.push_back(mam_method());
        list.push_back(parallel_method());
        list.push_back(parameters_method());
        list.push_back(pfeiffer_method());
        list.push_back(prefix_method());
        list.push_back(prompt_method());
        list.push_back(ssf_method());
        list.push_back(unipelt_method());
        list.push_back(vera_method());
        return list;
    }();
    return table;
}

}  // namespace permille
