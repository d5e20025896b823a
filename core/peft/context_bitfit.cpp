// Context-PEFT with BitFit (Hadji-Kyriacou & Arandjelovic 2023, arXiv 2312.08900): y = x W^T + b + sum over groups g of m_g c_g, m_g being
// 1 for the tokens of group g. The base's biases stay; all c_g start at zero.
#include <ATen/ATen.h>

#include "core/peft/context.h"

namespace permille {

namespace {

struct ContextBitFitConfig : Contexts {
    ContextBitFitConfig() { targets = "all"; }
    static const Fields<ContextBitFitConfig>& fields() {
        static const auto list = add_contexts(Fields<ContextBitFitConfig>());
        return list;
    }
};

class ContextBitFitDelta : public LinearDelta {
public:
    ContextBitFitDelta(std::vector<at::Tensor> biases, Membership members) : biases_(std::move(biases)), members_(std::move(members)) {}

    at::Tensor apply(const Forward& forward, const at::Tensor&, const at::Tensor& y) const override {
        return y + at::mm(members_(forward, y.scalar_type()), at::stack(biases_).to(y.scalar_type()));
    }

private:
    std::vector<at::Tensor> biases_;  // by group
    Membership members_;
};

class ContextBitFit : public MethodWith<ContextBitFitConfig> {
public:
    ContextBitFit()
        : MethodWith({.id = "context_bitfit",
                      .name = "Context-BitFit",
                      .paper = "Hadji-Kyriacou & Arandjelovic 2023, arXiv 2312.08900",
                      .summary = "adds biases of their own for text and for each domain of tokens",
                      .sites = {"linear"},
                      .knobs = ContextBitFitConfig::fields().list(),
                      .size_knob = "",
                      .mergeable = false,
                      .identity_at_start = true,
                      .default_learning_rate = 3e-3,
                      .equation = "y = x W^T + b + sum_g m_g c_g, c_g [out], m_g 1 for tokens of group g",
                      .advice = "BitFit where language tags and special tokens, or a domain's terms, need biases of their own."}) {}

    std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const override {
        const ContextBitFitConfig chosen = config(settings);
        std::vector<TensorSpec> specs;
        for (const int index : chosen.sites(layout, info_.id)) {
            const Site& site = layout.sites[static_cast<std::size_t>(index)];
            for (const std::string& group : chosen.groups(site, info_.id))
                specs.push_back({module_of(layout, site) + "." + group + ".bias", {site.out}, Init::zeros()});
        }
        return specs;
    }

    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        const ContextBitFitConfig chosen = config(settings);
        const auto domains = chosen.parsed(info_.id);
        auto next = values.begin();
        for (const int index : chosen.sites(layout, info_.id)) {
            const auto last = next + static_cast<std::ptrdiff_t>(domains.size() + 1);
            attachment.linears.add(
                index, std::make_unique<ContextBitFitDelta>(std::vector<at::Tensor>(next, last),
                                                            Membership(layout.sites[static_cast<std::size_t>(index)], domains)));
            next = last;
        }
    }
};

}  // namespace

std::unique_ptr<Method> context_bitfit_method() { return std::make_unique<ContextBitFit>(); }

}  // namespace permille
