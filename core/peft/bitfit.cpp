// BitFit (Ben Zaken, Ravfogel & Goldberg 2021, arXiv 2106.10199): only the bias vectors are trained, those of the layer norms included.
// A key projection's bias adds the same number to all scores of a query, so its gradient is zero; it is counted, as in the authors' code.
#include "core/peft/method.h"

namespace permille {

namespace {

struct BitFitConfig : Scope {
    bool norm_biases = true;
    static const Fields<BitFitConfig>& fields() {
        static const auto list =
            add_scope(Fields<BitFitConfig>().add("norm_biases", &BitFitConfig::norm_biases, "train the biases of the layer norms too"));
        return list;
    }
};

class BitFit : public MethodWith<BitFitConfig> {
public:
    BitFit()
        : MethodWith({.id = "bitfit",
                      .name = "BitFit",
                      .paper = "Ben Zaken et al. 2021, arXiv 2106.10199",
                      .summary = "trains the bias vectors only",
                      .sites = {"parameters"},
                      .knobs = BitFitConfig::fields().list(),
                      .size_knob = "",
                      .mergeable = true,
                      .identity_at_start = true,
                      .default_learning_rate = 3e-3,
                      .equation = "b <- trained copy of b, for every bias b of the model",
                      .advice = "The cheapest baseline that needs no choice of size: a first look at whether a base can be adapted at all, "
                                "and a floor for the others."}) {}

    std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const override {
        const BitFitConfig chosen = config(settings);
        return replace_parameters(
            layout,
            [&](const ParameterSpec& parameter) {
                const bool bias =
                    parameter.role == ParameterRole::bias || (chosen.norm_biases && parameter.role == ParameterRole::norm_bias);
                return bias && chosen.holds(parameter.name, layout);
            },
            info_.id);
    }
    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        attach_replacements(attachment, tensors(layout, settings), values);
    }
};

}  // namespace

std::unique_ptr<Method> bitfit_method() { return std::make_unique<BitFit>(); }

}  // namespace permille
