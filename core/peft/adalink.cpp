// AdaLink (Wang et al. 2023, arXiv 2310.12100): the network stays as it is, its input embeddings get a low-rank residual: E' = E + Wu
// phi(Wd E), Wd [r, D], Wu [D, r], one for each stack. Here on the scaled token embeddings, before positions and norm; the vocabulary
// projection, tied or not, stays as it is. Whether the paper has a non-linearity or biases we could not see, so both are options and off:
// linear, without biases, which fits its parameter counts. Wd starts Kaiming-uniform, Wu at zero: the identity.
#include <ATen/ATen.h>

#include "core/base/error.h"
#include "core/nn/matmul.h"
#include "core/nn/parts.h"
#include "core/peft/adapter_block.h"

namespace permille {

namespace {

struct AdaLinkConfig : Scope {
    std::int64_t rank = 64;
    std::string activation = "none";
    bool bias = false;
    static const Fields<AdaLinkConfig>& fields() {
        static const auto list =
            Fields<AdaLinkConfig>()
                .add("rank", &AdaLinkConfig::rank, "rank of the residual", {.min = 1, .max = 65536})
                .add("activation", &AdaLinkConfig::activation, "non-linearity between the two maps", {.choices = {"none", "relu", "gelu"}})
                .add("bias", &AdaLinkConfig::bias, "biases in both maps")
                .add("stacks", static_cast<std::string AdaLinkConfig::*>(&Scope::stacks), "whose embeddings",
                     {.choices = {"both", "encoder", "decoder"}});
        return list;
    }
    std::vector<int> sites(const Layout& layout) const {
        std::vector<int> list;
        for (std::size_t i = 0; i < layout.sites.size(); ++i)
            if (layout.sites[i].name.ends_with(".embedding.tokens") && holds(layout.sites[i].name, layout))
                list.push_back(static_cast<int>(i));
        return list;
    }
};

class AdaLinkModule : public OutputModule {
public:
    // The values in the order of the specs: down, its bias, up, its bias; biases only where there are any.
    AdaLinkModule(const at::Tensor* values, bool bias, Nonlinearity kind) : kind_(kind) {
        down_ = *values++;
        if (bias) down_bias_ = *values++;
        up_ = *values++;
        if (bias) up_bias_ = *values;
    }

    at::Tensor apply(const Forward& forward, const at::Tensor& rows, const Passage&) const override {
        const auto typed = [&](const at::Tensor& tensor) { return tensor.defined() ? tensor.to(forward.compute) : tensor; };
        const at::Tensor middle = nonlinear(kind_, linear_map(typed(rows), typed(down_), typed(down_bias_)));
        return rows + linear_map(middle, typed(up_), typed(up_bias_));
    }

private:
    at::Tensor down_, down_bias_, up_, up_bias_;
    Nonlinearity kind_;
};

class AdaLink : public MethodWith<AdaLinkConfig> {
public:
    AdaLink()
        : MethodWith({.id = "adalink",
                      .name = "AdaLink",
                      .paper = "Wang et al. 2023, arXiv 2310.12100",
                      .summary = "adds a low-rank residual to the input embeddings and leaves the network alone",
                      .sites = {"embedding"},
                      .knobs = AdaLinkConfig::fields().list(),
                      .size_knob = "rank",
                      .mergeable = false,
                      .identity_at_start = true,
                      .default_learning_rate = 3e-3,
                      .equation = "E' = E + Wu Wd E on the scaled token embeddings of each stack, Wd [r, D], Wu [D, r]",
                      .advice = "For models that can be reached at their inputs only. Its size does not grow with depth, so budgets above "
                                "one percent are out of its reach."}) {}

    std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const override {
        const AdaLinkConfig chosen = config(settings);
        std::vector<TensorSpec> specs;
        for (const int index : chosen.sites(layout)) {
            const Site& site = layout.sites[static_cast<std::size_t>(index)];
            const std::string stem = site.name.substr(0, site.name.find('.')) + ".adalink.";
            specs.push_back({stem + "down.weight", {chosen.rank, site.out}, Init::kaiming(site.out)});
            if (chosen.bias) specs.push_back({stem + "down.bias", {chosen.rank}, Init::zeros()});
            specs.push_back({stem + "up.weight", {site.out, chosen.rank}, Init::zeros()});
            if (chosen.bias) specs.push_back({stem + "up.bias", {site.out}, Init::zeros()});
        }
        require_match(specs, info_.id);
        return specs;
    }

    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        const AdaLinkConfig chosen = config(settings);
        const at::Tensor* next = values.data();
        for (const int index : chosen.sites(layout)) {
            attachment.outputs.add(index, std::make_unique<AdaLinkModule>(next, chosen.bias, nonlinearity_of(chosen.activation)));
            next += chosen.bias ? 4 : 2;
        }
    }

    std::int64_t largest_size(const Layout& layout, const Json& settings) const override {
        return widest_output(layout, config(settings).sites(layout));
    }
};

}  // namespace

std::unique_ptr<Method> adalink_method() { return std::make_unique<AdaLink>(); }

}  // namespace permille
