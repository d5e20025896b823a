// Full fine-tuning: every parameter of the base gets its own trained copy, the tied embedding table once. The reference line of the study.
#include "core/peft/method.h"

namespace permille {

namespace {

struct FullConfig : Scope {
    bool embeddings = true;
    static const Fields<FullConfig>& fields() {
        static const auto list =
            add_scope(Fields<FullConfig>().add("embeddings", &FullConfig::embeddings, "train the embedding and position tables too"));
        return list;
    }
};

class Full : public MethodWith<FullConfig> {
public:
    Full()
        : MethodWith({.id = "full",
                      .name = "Full fine-tuning",
                      .paper = "the baseline of Üstün & Cooper Stickland 2022, arXiv 2205.11277",
                      .summary = "trains every parameter of the base",
                      .sites = {"parameters"},
                      .knobs = FullConfig::fields().list(),
                      .size_knob = "",
                      .mergeable = true,
                      .identity_at_start = true,
                      .trains_whole_base = true,
                      .default_learning_rate = 5e-4,
                      .equation = "W <- trained copy of W, for every parameter W of the base",
                      .advice = "The line that the others are measured by. It needs the most memory and stores a whole model for every "
                                "language pair."}) {}

    std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const override {
        const FullConfig chosen = config(settings);
        return replace_parameters(
            layout,
            [&](const ParameterSpec& parameter) {
                if (parameter.role == ParameterRole::embedding || parameter.role == ParameterRole::position) return chosen.embeddings;
                return chosen.holds(parameter.name, layout);
            },
            info_.id);
    }
    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        attach_replacements(attachment, tensors(layout, settings), values);
    }
};

}  // namespace

std::unique_ptr<Method> full_method() { return std::make_unique<Full>(); }

}  // namespace permille
