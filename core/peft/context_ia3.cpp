// Context-PEFT with (IA)^3 (Hadji-Kyriacou & Arandjelovic 2023, arXiv 2312.08900): keys, values and the input of fc2 are scaled by the
// product over groups g of (1 + m_g l_g), m_g being 1 for the tokens of group g. All l_g start at zero.
#include <ATen/ATen.h>

#include "core/peft/context.h"

namespace permille {

namespace {

struct ContextIa3Config : Contexts {
    ContextIa3Config() { targets = "k,v,fc2"; }
    static const Fields<ContextIa3Config>& fields() {
        static const auto list = add_contexts(Fields<ContextIa3Config>());
        return list;
    }
};

bool scales_input(const Site& site) { return site.name.ends_with(".fc2"); }

class ContextIa3Delta : public LinearDelta {
public:
    ContextIa3Delta(std::vector<at::Tensor> scales, Membership members, bool of_input)
        : scales_(std::move(scales)), members_(std::move(members)), of_input_(of_input) {}

    at::Tensor input(const Forward& forward, const at::Tensor& x) const override { return of_input_ ? x * gate(forward, x) : x; }
    at::Tensor apply(const Forward& forward, const at::Tensor&, const at::Tensor& y) const override {
        return of_input_ ? y : y * gate(forward, y);
    }

private:
    at::Tensor gate(const Forward& forward, const at::Tensor& rows) const {
        const at::Tensor members = members_(forward, rows.scalar_type());
        at::Tensor product;
        for (std::size_t group = 0; group < scales_.size(); ++group) {
            const at::Tensor own =
                members.select(1, static_cast<std::int64_t>(group)).unsqueeze(1) * scales_[group].to(rows.scalar_type()) + 1;
            product = product.defined() ? product * own : own;
        }
        return product;
    }

    std::vector<at::Tensor> scales_;  // by group
    Membership members_;
    bool of_input_;
};

class ContextIa3 : public MethodWith<ContextIa3Config> {
public:
    ContextIa3()
        : MethodWith({.id = "context_ia3",
                      .name = "Context-(IA)^3",
                      .paper = "Hadji-Kyriacou & Arandjelovic 2023, arXiv 2312.08900",
                      .summary = "scales keys, values and feed-forward middles by vectors of their own for text and domains of tokens",
                      .sites = {"linear"},
                      .knobs = ContextIa3Config::fields().list(),
                      .size_knob = "",
                      .mergeable = false,
                      .identity_at_start = true,
                      .default_learning_rate = 3e-3,
                      .equation = "k' = k prod_g (1 + m_g l_g), v and the input of fc2 likewise; l_g as wide, m_g 1 for tokens of group g",
                      .advice = "(IA)^3 where language tags and special tokens, or a domain's terms, need scales of their own."}) {}

    std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const override {
        const ContextIa3Config chosen = config(settings);
        std::vector<TensorSpec> specs;
        for (const int index : chosen.sites(layout, info_.id)) {
            const Site& site = layout.sites[static_cast<std::size_t>(index)];
            for (const std::string& group : chosen.groups(site, info_.id))
                specs.push_back(
                    {module_of(layout, site) + "." + group + ".ia3_l", {scales_input(site) ? site.in : site.out}, Init::zeros()});
        }
        return specs;
    }

    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        const ContextIa3Config chosen = config(settings);
        const auto domains = chosen.parsed(info_.id);
        auto next = values.begin();
        for (const int index : chosen.sites(layout, info_.id)) {
            const Site& site = layout.sites[static_cast<std::size_t>(index)];
            const auto last = next + static_cast<std::ptrdiff_t>(domains.size() + 1);
            attachment.linears.add(index, std::make_unique<ContextIa3Delta>(std::vector<at::Tensor>(next, last), Membership(site, domains),
                                                                            scales_input(site)));
            next = last;
        }
    }
};

}  // namespace

std::unique_ptr<Method> context_ia3_method() { return std::make_unique<ContextIa3>(); }

}  // namespace permille
