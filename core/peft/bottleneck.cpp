// Bottleneck adapters after every layer (Bapna & Firat 2019, arXiv 1909.08478, section 2): A(x) = x + Wu relu(Wd LN(x) + bd) + bu, with an
// own norm and a residual. Wd [r, D], bd [r], Wu [D, r], bu [D], norm [D] twice. The main method of Üstün & Cooper Stickland (2022). Their
// code starts all four tensors near 1e-5 (initialisation "paper"), which is nearly the identity; "identity" starts Wd Kaiming-uniform and
// Wu, bd, bu at zero, an exact identity that starts learning sooner.
#include <ATen/ATen.h>

#include "core/nn/matmul.h"
#include "core/nn/parts.h"
#include "core/peft/method.h"

namespace permille {

namespace {

struct BottleneckConfig : Scope {
    std::int64_t bottleneck_dim = 64;
    std::string activation = "relu";
    std::string initialisation = "identity";
    static const Fields<BottleneckConfig>& fields() {
        static const auto list = add_scope(
            Fields<BottleneckConfig>()
                .add("bottleneck_dim", &BottleneckConfig::bottleneck_dim, "width of the adapter's middle layer", {.min = 1, .max = 1 << 20})
                .add("activation", &BottleneckConfig::activation, "non-linearity of the middle layer",
                     {.choices = {"relu", "gelu", "swish"}})
                .add("initialisation", &BottleneckConfig::initialisation,
                     "identity: an exact identity at the start; paper: all values near 1e-5", {.choices = {"identity", "paper"}}));
        return list;
    }
    Activation kind() const {
        return activation == "gelu" ? Activation::gelu : activation == "swish" ? Activation::swish : Activation::relu;
    }
};

class BottleneckModule : public OutputModule {
public:
    BottleneckModule(const std::vector<at::Tensor>& values, std::size_t first, Activation activation)
        : norm_weight_(values[first]),
          norm_bias_(values[first + 1]),
          down_(values[first + 2]),
          down_bias_(values[first + 3]),
          up_(values[first + 4]),
          up_bias_(values[first + 5]),
          activation_(activation) {}

    at::Tensor apply(const Forward& forward, const at::Tensor& rows, const Passage&) const override {
        const auto typed = [&](const at::Tensor& tensor) { return tensor.to(forward.compute); };
        const at::Tensor normed = at::layer_norm(rows.to(at::kFloat), {rows.size(-1)}, norm_weight_, norm_bias_, 1e-5).to(forward.compute);
        const at::Tensor middle = activate(activation_, linear_map(normed, typed(down_), typed(down_bias_)));
        return rows + linear_map(middle, typed(up_), typed(up_bias_));
    }

private:
    at::Tensor norm_weight_, norm_bias_, down_, down_bias_, up_, up_bias_;
    Activation activation_;
};

class Bottleneck : public MethodWith<BottleneckConfig> {
public:
    Bottleneck()
        : MethodWith({.id = "bottleneck",
                      .name = "Bottleneck adapters",
                      .paper = "Bapna & Firat 2019, arXiv 1909.08478",
                      .summary = "adds a small feed-forward block with its own norm after every layer",
                      .sites = {"output"},
                      .knobs = BottleneckConfig::fields().list(),
                      .size_knob = "bottleneck_dim",
                      .mergeable = false,
                      .identity_at_start = true,
                      .default_learning_rate = 2e-3,
                      .equation = "A(x) = x + Wu relu(Wd LN(x) + bd) + bu after every layer, Wd [r, D], Wu [D, r], own LN",
                      .advice = "The main method of the study, with the widest range of sizes. It cannot be merged, so every translated "
                                "token pays for it."}) {}

    std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const override {
        const BottleneckConfig chosen = config(settings);
        const bool paper = chosen.initialisation == "paper";
        const Init small = Init::uniform(1e-5 - 1e-6, 1e-5 + 1e-6);
        std::vector<TensorSpec> specs;
        for (const int index : sites(layout, chosen)) {
            const Site& site = layout.sites[static_cast<std::size_t>(index)];
            const auto dot = site.name.find('.');
            const std::string stem =
                site.name.substr(0, dot) + ".layers." + site.name.substr(dot + 1, site.name.rfind('.') - dot - 1) + ".adapter.";
            const std::int64_t width = site.out, middle = chosen.bottleneck_dim;
            specs.push_back({stem + "layer_norm.weight", {width}, Init::ones()});
            specs.push_back({stem + "layer_norm.bias", {width}, Init::zeros()});
            specs.push_back({stem + "down_proj.weight", {middle, width}, paper ? small : Init::kaiming(width)});
            specs.push_back({stem + "down_proj.bias", {middle}, paper ? small : Init::zeros()});
            specs.push_back({stem + "up_proj.weight", {width, middle}, paper ? small : Init::zeros()});
            specs.push_back({stem + "up_proj.bias", {width}, paper ? small : Init::zeros()});
        }
        if (specs.empty()) throw Error(ErrorKind::config, "bottleneck/stacks", "no layer of this model matches", "choose other stacks");
        return specs;
    }

    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        const BottleneckConfig chosen = config(settings);
        std::size_t first = 0;
        for (const int index : sites(layout, chosen)) {
            attachment.outputs.add(index, std::make_unique<BottleneckModule>(values, first, chosen.kind()));
            first += 6;
        }
    }

    std::int64_t largest_size(const Layout& layout, const Json&) const override {
        std::int64_t largest = 1;
        for (const Site& site : layout.sites) largest = std::max(largest, site.out);  // the width of the feed-forward block
        return largest;
    }

private:
    // "encoder.3.output": after a layer, not after one of its blocks.
    static std::vector<int> sites(const Layout& layout, const BottleneckConfig& chosen) {
        std::vector<int> list;
        for (std::size_t i = 0; i < layout.sites.size(); ++i) {
            const Site& site = layout.sites[i];
            const auto dots = std::count(site.name.begin(), site.name.end(), '.');
            if (site.kind == SiteKind::output && dots == 2 && chosen.holds(site.name, layout)) list.push_back(static_cast<int>(i));
        }
        return list;
    }
};

}  // namespace

std::unique_ptr<Method> bottleneck_method() { return std::make_unique<Bottleneck>(); }

}  // namespace permille
