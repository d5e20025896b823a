#include "core/peft/method.h"

#include <cmath>

namespace permille {

Init Init::kaiming(std::int64_t fan_in) {
    const double bound = 1.0 / std::sqrt(static_cast<double>(fan_in));
    return uniform(-bound, bound);
}

std::int64_t TensorSpec::count() const {
    std::int64_t product = 1;
    for (const auto size : shape) product *= size;
    return product;
}

bool in_scope(const std::string& name, const std::string& stacks) {
    if (stacks == "both") return true;
    return name.rfind(stacks + ".", 0) == 0 || name.rfind("model." + stacks + ".", 0) == 0;
}

std::vector<TensorSpec> replace_parameters(const Layout& layout, const std::function<bool(const ParameterSpec&)>& chosen,
                                           const std::string& method) {
    std::vector<TensorSpec> specs;
    for (std::size_t i = 0; i < layout.parameters.size(); ++i) {
        const ParameterSpec& parameter = layout.parameters[i];
        if (chosen(parameter)) specs.push_back({parameter.name, parameter.shape, Init::base_copy(), static_cast<int>(i)});
    }
    if (specs.empty())
        throw Error(ErrorKind::config, method, "no parameter of this model matches", "choose other stacks or another method");
    return specs;
}

void attach_replacements(Attachment& attachment, const std::vector<TensorSpec>& specs, const std::vector<at::Tensor>& values) {
    for (std::size_t i = 0; i < specs.size(); ++i) attachment.parameters[static_cast<std::size_t>(specs[i].base)] = values[i];
}

const Method& find_method_by_id(const std::string& id, const std::string& where) {
    std::vector<std::string> ids;
    for (const auto& method : methods()) {
        if (method->info().id == id) return *method;
        ids.push_back(method->info().id);
    }
    const std::string near = nearest(id, ids);
    throw Error(ErrorKind::config, where, "'" + id + "' is not a method",
                near.empty() ? "known are " + list_some(ids, 40) : "did you mean '" + near + "'?");
}

}  // namespace permille
