// SSF (Lian et al. 2022, arXiv 2210.08823, eq. 3): a trained scale and shift of every feature, y' = gamma y + beta, after every norm and
// projection and after the embeddings. The authors' code starts gamma at N(1, 0.02) and beta at N(0, 0.02) ("paper"), which is not quite
// the base; "identity" starts at one and zero. Projections and norms take it into their weights; the embeddings of a model without an
// embedding norm cannot, since their table also predicts.
#include <ATen/ATen.h>

#include "core/base/error.h"
#include "core/nn/parts.h"
#include "core/peft/method.h"

namespace permille {

namespace {

struct SsfConfig : Scope {
    bool projections = true, norms = true, embeddings = true;
    std::string initialisation = "paper";
    static const Fields<SsfConfig>& fields() {
        static const auto list = add_scope(
            Fields<SsfConfig>()
                .add("projections", &SsfConfig::projections, "after every projection; after fc1, before the activation")
                .add("norms", &SsfConfig::norms, "after every norm")
                .add("embeddings", &SsfConfig::embeddings,
                     "after the embeddings of models without an embedding norm; an adapter with these cannot be merged")
                .add("initialisation", &SsfConfig::initialisation,
                     "paper: normal around one and zero, deviation 0.02; identity: one and zero", {.choices = {"paper", "identity"}}));
        return list;
    }
};

class LinearSsf : public LinearDelta {
public:
    LinearSsf(at::Tensor scale, at::Tensor shift) : scale_(std::move(scale)), shift_(std::move(shift)) {}
    at::Tensor apply(const Forward&, const at::Tensor&, const at::Tensor& y) const override {
        return at::addcmul(shift_.to(y.scalar_type()), y, scale_.to(y.scalar_type()));
    }
    bool merge(at::Tensor& weight, at::Tensor& bias) const override {
        weight = weight * scale_.unsqueeze(1);
        bias = bias * scale_ + shift_;
        return true;
    }

private:
    at::Tensor scale_, shift_;
};

class OutputSsf : public OutputModule {
public:
    OutputSsf(at::Tensor scale, at::Tensor shift) : scale_(std::move(scale)), shift_(std::move(shift)) {}
    at::Tensor apply(const Forward&, const at::Tensor& rows, const Passage&) const override { return at::addcmul(shift_, rows, scale_); }
    bool merge(at::Tensor& weight, at::Tensor& bias) const override {
        weight = weight * scale_;
        bias = bias * scale_ + shift_;
        return true;
    }

private:
    at::Tensor scale_, shift_;
};

class Ssf : public MethodWith<SsfConfig> {
public:
    Ssf()
        : MethodWith({.id = "ssf",
                      .name = "SSF",
                      .paper = "Lian et al. 2022, arXiv 2210.08823",
                      .summary = "scales and shifts every feature after norms, projections and embeddings",
                      .sites = {"linear", "norm", "embedding"},
                      .knobs = SsfConfig::fields().list(),
                      .size_knob = "",
                      .mergeable = false,
                      .identity_at_start = false,
                      .default_learning_rate = 1e-3,
                      .equation = "y' = gamma y + beta, gamma and beta as wide as y",
                      .advice = "A tenth of a percent, spread evenly over the whole model: a good partner in a comparison with BitFit. "
                                "Without embeddings it merges into any base."}) {}

    std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const override {
        const SsfConfig chosen = config(settings);
        const bool exact = chosen.initialisation == "identity";
        std::vector<TensorSpec> specs;
        for (const int index : sites(layout, chosen)) {
            const Site& site = layout.sites[static_cast<std::size_t>(index)];
            const std::string stem = site.weight >= 0 ? module_of(layout, site) : site.name;
            specs.push_back({stem + ".ssf_scale", {site.out}, exact ? Init::ones() : Init::normal(0.02, 1.0)});
            specs.push_back({stem + ".ssf_shift", {site.out}, exact ? Init::zeros() : Init::normal(0.02)});
        }
        if (specs.empty()) throw Error(ErrorKind::config, "ssf", "no place of this model matches", "choose other stacks, layers or places");
        return specs;
    }

    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        std::size_t i = 0;
        for (const int index : sites(layout, config(settings))) {
            if (layout.sites[static_cast<std::size_t>(index)].kind == SiteKind::linear)
                attachment.linears.add(index, std::make_unique<LinearSsf>(values[i], values[i + 1]));
            else attachment.outputs.add(index, std::make_unique<OutputSsf>(values[i], values[i + 1]));
            i += 2;
        }
    }

private:
    static std::vector<int> sites(const Layout& layout, const SsfConfig& chosen) {
        std::vector<int> list;
        for (std::size_t i = 0; i < layout.sites.size(); ++i) {
            const Site& site = layout.sites[i];
            const std::string stack = site.name.substr(0, site.name.find('.'));
            const bool bare = site.name == stack + ".embedding.output" && layout.site(stack + ".embedding.norm") < 0;
            const bool wanted = (chosen.projections && site.kind == SiteKind::linear) || (chosen.norms && site.kind == SiteKind::norm) ||
                                (chosen.embeddings && bare);
            if (wanted && chosen.holds(site.name, layout)) list.push_back(static_cast<int>(i));
        }
        return list;
    }
};

}  // namespace

std::unique_ptr<Method> ssf_method() { return std::make_unique<Ssf>(); }

}  // namespace permille
