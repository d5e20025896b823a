// Freely chosen parameters of the base, by two regular expressions over their names, as in the training code of Üstün & Cooper Stickland
// 2022 (arXiv 2205.11277): what the first finds is trained, unless the second finds it too. A tied table is found under each of its names.
#include <algorithm>
#include <optional>
#include <regex>

#include "core/base/error.h"
#include "core/peft/method.h"

namespace permille {

namespace {

struct ParametersConfig {
    std::string unfreeze = "bias$";
    std::string freeze;
    static const Fields<ParametersConfig>& fields() {
        static const auto list =
            Fields<ParametersConfig>()
                .add("unfreeze", &ParametersConfig::unfreeze,
                     "regular expression (ECMAScript) that is searched for in the checkpoint's names, such as 'decoder.*encoder_attn' or "
                     "'layers\\.(0|1)\\.fc'")
                .add("freeze", &ParametersConfig::freeze, "the same for those that stay frozen all the same; empty: none");
        return list;
    }
};

// Of a knob; nothing for an empty expression.
std::optional<std::regex> expression(const char* knob, const std::string& text) {
    if (text.empty()) return std::nullopt;
    try {
        return std::regex(text);
    } catch (const std::regex_error&) {
        throw Error(ErrorKind::config, std::string("parameters/") + knob, "'" + text + "' is not a regular expression",
                    "check its brackets and escape what is meant literally: '\\.' for a dot");
    }
}

bool found(const std::optional<std::regex>& pattern, const ParameterSpec& parameter) {
    if (!pattern) return false;
    const auto holds = [&](const std::string& name) { return std::regex_search(name, *pattern); };
    return holds(parameter.name) || std::any_of(parameter.aliases.begin(), parameter.aliases.end(), holds);
}

class Parameters : public MethodWith<ParametersConfig> {
public:
    Parameters()
        : MethodWith({.id = "parameters",
                      .name = "Chosen parameters",
                      .paper = "the training code of Üstün & Cooper Stickland 2022, arXiv 2205.11277",
                      .summary = "trains the parameters of the base whose names two patterns choose",
                      .sites = {"parameters"},
                      .knobs = ParametersConfig::fields().list(),
                      .size_knob = "",
                      .mergeable = true,
                      .identity_at_start = true,
                      .default_learning_rate = 1e-3,
                      .equation = "W <- trained copy of W for every parameter whose name matches `unfreeze` and not `freeze`",
                      .advice = "For a subset that no other method has: single layers, one kind of projection, the embeddings alone."}) {}

    Json complete(const Json& settings) const override {
        Json whole = MethodWith::complete(settings);
        for (const char* knob : {"unfreeze", "freeze"}) expression(knob, whole[knob].get<std::string>());
        return whole;
    }

    std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const override {
        const ParametersConfig chosen = config(settings);
        const auto unfreeze = expression("unfreeze", chosen.unfreeze), freeze = expression("freeze", chosen.freeze);
        return replace_parameters(
            layout, [&](const ParameterSpec& parameter) { return found(unfreeze, parameter) && !found(freeze, parameter); }, info_.id);
    }
    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        attach_replacements(attachment, tensors(layout, settings), values);
    }
};

}  // namespace

std::unique_ptr<Method> parameters_method() { return std::make_unique<Parameters>(); }

}  // namespace permille
