#include "core/peft/method.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "core/base/error.h"

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

Sizes sizes(const Method& method, const Layout& layout, const Json& settings) {
    Sizes result;
    for (const TensorSpec& spec : method.tensors(layout, settings)) {
        if (spec.role != TensorRole::trained) continue;
        result.trainable += spec.count();
        if (spec.base < 0) result.added += spec.count();
    }
    std::int64_t stored_trained = 0;
    for (const TensorSpec& spec : method.tensors(layout, method.stored_settings(settings))) {
        if (spec.role != TensorRole::state) result.stored += spec.count();
        if (spec.role == TensorRole::trained) stored_trained += spec.count();
    }
    result.pruned = method.pruned(layout, settings);
    result.train_only = std::max<std::int64_t>(0, result.trainable - stored_trained);
    return result;
}

namespace {

// The stack and the layer of a parameter's or site's name; layer -1: outside of layers.
struct Place {
    std::string stack;
    std::int64_t layer = -1;
};

Place place_of(const std::string& name) {
    Place place;
    std::istringstream parts(name);
    std::string part;
    while (std::getline(parts, part, '.')) {
        if (part == "encoder" || part == "decoder") place.stack = part;
        else if (!place.stack.empty() && !part.empty() && part.find_first_not_of("0123456789") == std::string::npos) {
            place.layer = std::stoll(part);
            break;
        }
    }
    return place;
}

[[noreturn]] void bad_layers(const std::string& text) {
    throw Error(ErrorKind::config, "layers", "'" + text + "' names no layers",
                "write all, 'last 2', 'first 2', or numbers from 0 such as '0,2-3'");
}

std::int64_t number(const std::string& digits, const std::string& text) {
    if (digits.empty() || digits.size() > 6 || digits.find_first_not_of("0123456789") != std::string::npos) bad_layers(text);
    return std::stoll(digits);
}

bool chosen(const std::string& text, std::int64_t layer, std::int64_t count) {
    if (text.rfind("last ", 0) == 0) return layer >= count - number(text.substr(5), text);
    if (text.rfind("first ", 0) == 0) return layer < number(text.substr(6), text);
    std::istringstream parts(text);
    std::string part;
    bool found = false, any = false;
    while (std::getline(parts, part, ',')) {
        any = true;
        const auto dash = part.find('-');
        const std::int64_t low = number(part.substr(0, dash), text);
        const std::int64_t high = dash == std::string::npos ? low : number(part.substr(dash + 1), text);
        if (high < low) bad_layers(text);
        found = found || (layer >= low && layer <= high);
    }
    if (!any) bad_layers(text);
    return found;
}

}  // namespace

bool Scope::holds(const std::string& name, const Layout& layout) const {
    const Place place = place_of(name);
    if (stacks != "both" && place.stack != stacks) return false;
    if (layers == "all") return true;
    if (place.layer < 0) return chosen(layers, 0, 1), false;
    std::int64_t count = 0;
    for (const Site& site : layout.sites) {
        if (site.kind != SiteKind::feed_forward) continue;  // one of each layer
        const Place other = place_of(site.name);
        if (other.stack == place.stack) count = std::max(count, other.layer + 1);
    }
    return chosen(layers, place.layer, count);
}

std::string module_of(const Layout& layout, const Site& site) {
    const std::string& weight = layout.parameters[static_cast<std::size_t>(site.weight)].name;
    return weight.substr(6, weight.rfind('.') - 6);  // "model." and ".weight"
}

std::vector<TensorSpec> replace_parameters(const Layout& layout, const std::function<bool(const ParameterSpec&)>& chosen,
                                           const std::string& method) {
    std::vector<TensorSpec> specs;
    for (std::size_t i = 0; i < layout.parameters.size(); ++i) {
        const ParameterSpec& parameter = layout.parameters[i];
        if (chosen(parameter))
            specs.push_back({parameter.name, parameter.shape, Init::base_copy(), static_cast<int>(i), TensorRole::trained, 1});
    }
    if (specs.empty())
        throw Error(ErrorKind::config, method, "no parameter of this model matches", "choose other stacks or another method");
    return specs;
}

void attach_replacements(Attachment& attachment, const std::vector<TensorSpec>& specs, const std::vector<at::Tensor>& values) {
    for (std::size_t i = 0; i < specs.size(); ++i) attachment.parameters[static_cast<std::size_t>(specs[i].base)] = values[i];
}

}  // namespace permille
