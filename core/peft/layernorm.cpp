// LayerNorm tuning: the gains of the layer norms, their biases too, or the gains with all biases of the model (BitFit + gains). Which of
// the three Üstün & Cooper Stickland (2022) mean could not be checked, so all are here. PEFT's LN_TUNING is the second.
#include "core/base/error.h"
#include "core/peft/targets.h"

namespace permille {

namespace {

struct LayerNormConfig : Scope {
    std::string variant = "gains_and_biases";
    static const Fields<LayerNormConfig>& fields() {
        static const auto list = add_scope(Fields<LayerNormConfig>().add(
            "variant", &LayerNormConfig::variant, "what is trained", {.choices = {"gains", "gains_and_biases", "gains_and_all_biases"}}));
        return list;
    }
};

class LayerNorm : public MethodWith<LayerNormConfig> {
public:
    LayerNorm()
        : MethodWith({.id = "layernorm",
                      .name = "LayerNorm tuning",
                      .paper = "Zhao et al. 2023, arXiv 2312.11420; T-Few, arXiv 2205.05638",
                      .summary = "trains the layer norms only",
                      .sites = {"parameters"},
                      .knobs = LayerNormConfig::fields().list(),
                      .size_knob = "",
                      .mergeable = true,
                      .identity_at_start = true,
                      .default_learning_rate = 5e-3,
                      .equation = "LN(x) = g * (x - mean) / std + b with trained copies of g and b",
                      .advice = "The smallest share of the base beside prompts; also as a partner, for example lora+layernorm."}) {}

    std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const override {
        const LayerNormConfig chosen = config(settings);
        auto specs = replace_parameters(
            layout,
            [&](const ParameterSpec& parameter) {
                const bool trained = parameter.role == ParameterRole::norm_weight ||
                                     (chosen.variant != "gains" && parameter.role == ParameterRole::norm_bias) ||
                                     (chosen.variant == "gains_and_all_biases" && parameter.role == ParameterRole::bias);
                return trained && chosen.holds(parameter.name, layout);
            },
            info_.id);
        if (chosen.variant == "gains_and_biases")  // the names that PEFT gives them
            for (auto& spec : specs) {
                const auto dot = spec.name.rfind('.');
                spec.name = "base_model.model." + spec.name.substr(0, dot) + ".ln_tuning_layers" + spec.name.substr(dot);
            }
        return specs;
    }
    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        attach_replacements(attachment, tensors(layout, settings), values);
    }
    Json peft_config(const Layout& layout, const Json& settings) const override {
        if (config(settings).variant != "gains_and_biases") return nullptr;
        Json targets = Json::array();
        for (const auto& parameter : layout.parameters)
            if (parameter.role == ParameterRole::norm_weight && config(settings).holds(parameter.name, layout))
                targets.push_back(parameter.name.substr(0, parameter.name.rfind('.')));
        return Json{{"peft_type", "LN_TUNING"}, {"target_modules", targets}};
    }
    Json from_peft(const Layout& layout, const Json& config) const override {
        if (!is_peft_type(config, "LN_TUNING")) return nullptr;
        refuse_other_fields(config, {});
        std::vector<std::string> paths;
        for (const auto& parameter : layout.parameters)
            if (parameter.role == ParameterRole::norm_weight) paths.push_back(parameter.name.substr(0, parameter.name.rfind('.')));
        Json chosen = Json::array();
        for (const std::size_t i : peft_matches(config.value("target_modules", Json()), paths)) chosen.push_back(paths[i]);
        for (const char* stacks : {"both", "encoder", "decoder"}) {
            const Json settings = complete({{"stacks", stacks}});
            if (peft_config(layout, settings)["target_modules"] == chosen) return settings;
        }
        throw Error(ErrorKind::unsupported, "adapter_config.json/target_modules", "names some of a stack's norms",
                    "only all norms of a stack can be read, or of both");
    }
};

}  // namespace

std::unique_ptr<Method> layernorm_method() { return std::make_unique<LayerNorm>(); }

}  // namespace permille
