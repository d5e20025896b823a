// Bottleneck adapters after every layer (Bapna & Firat 2019, arXiv 1909.08478, section 2): A(x) = x + Wu relu(Wd LN(x) + bd) + bu, with an
// own norm and a residual. Wd [r, D], bd [r], Wu [D, r], bu [D], norm [D] twice. The main method of Üstün & Cooper Stickland (2022). Their
// code starts all four tensors near 1e-5 (initialisation "paper"), which is nearly the identity; its second choice, N(0, 0.02) for weights
// and biases, cannot be reached there because of a slip, here it is "bert"; "identity" starts Wd Kaiming-uniform and Wu, bd, bu at zero, an
// exact identity that starts learning sooner. Their adapt_encoder_out puts one more adapter into each decoder layer, on the encoder's
// output just before cross-attention reads it; here it goes with the decoder.
#include <ATen/ATen.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/nn/parts.h"
#include "core/peft/adapter_block.h"
#include "core/peft/adapterhub.h"

namespace permille {

namespace {

struct BottleneckConfig : Scope {
    std::int64_t bottleneck_dim = 64;
    std::string activation = "relu";
    std::string initialisation = "identity";
    bool encoder_output = false;
    static const Fields<BottleneckConfig>& fields() {
        static const auto list = add_scope(
            Fields<BottleneckConfig>()
                .add("bottleneck_dim", &BottleneckConfig::bottleneck_dim, "width of the adapter's middle layer", {.min = 1, .max = 1 << 20})
                .add("activation", &BottleneckConfig::activation, "non-linearity of the middle layer",
                     {.choices = {"relu", "gelu", "swish"}})
                .add("initialisation", &BottleneckConfig::initialisation,
                     "identity: an exact identity at the start; paper: all values near 1e-5; bert: all values N(0, 0.02)",
                     {.choices = {"identity", "paper", "bert"}})
                .add("encoder_output", &BottleneckConfig::encoder_output,
                     "one more adapter in each decoder layer, on the encoder's output that its cross-attention reads"));
        return list;
    }
    BlockStart start(std::int64_t width) const {
        if (initialisation == "identity") return BlockStart::of("identity", width, bottleneck_dim);
        const Init same = initialisation == "paper" ? Init::uniform(1e-5 - 1e-6, 1e-5 + 1e-6) : Init::normal(0.02);
        return {same, same, same, same};
    }
};

constexpr std::size_t kTensors = 2 + AdapterBlock::kTensors;

class BottleneckModule : public OutputModule {
public:
    BottleneckModule(const std::vector<at::Tensor>& values, std::size_t first, Nonlinearity kind)
        : norm_weight_(values[first]), norm_bias_(values[first + 1]), block_(values, first + 2, kind) {}

    at::Tensor apply(const Forward& forward, const at::Tensor& rows, const Passage&) const override {
        return rows + block_(forward, at::layer_norm(rows.to(at::kFloat), {rows.size(-1)}, norm_weight_, norm_bias_, 1e-5));
    }

private:
    at::Tensor norm_weight_, norm_bias_;
    AdapterBlock block_;
};

class Bottleneck : public MethodWith<BottleneckConfig> {
public:
    Bottleneck()
        : MethodWith({.id = "bottleneck",
                      .name = "Bottleneck adapters",
                      .paper = "Bapna & Firat 2019, arXiv 1909.08478",
                      .summary = "adds a small feed-forward block with its own norm after every layer",
                      .sites = {"output", "memory"},
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
        std::vector<TensorSpec> specs;
        for (const int index : sites(layout, chosen)) {
            const Site& site = layout.sites[static_cast<std::size_t>(index)];
            const std::string stem = layer_stem(site) + (site.kind == SiteKind::memory ? "enc_adapters." : "adapter.");
            specs.push_back({stem + "layer_norm.weight", {site.out}, Init::ones()});
            specs.push_back({stem + "layer_norm.bias", {site.out}, Init::zeros()});
            AdapterBlock::add_specs(specs, stem, site.out, chosen.bottleneck_dim, chosen.start(site.out), "down_proj", "up_proj");
        }
        require_match(specs, info_.id);
        return specs;
    }

    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        const BottleneckConfig chosen = config(settings);
        std::size_t first = 0;
        for (const int index : sites(layout, chosen)) {
            attachment.outputs.add(index, std::make_unique<BottleneckModule>(values, first, nonlinearity_of(chosen.activation)));
            first += kTensors;
        }
    }

    Json adapterhub_config(const Layout& layout, const Json& settings) const override {
        const BottleneckConfig chosen = config(settings);
        const std::vector<int> places = sites(layout, chosen);
        if (chosen.encoder_output || places.empty()) return nullptr;
        const std::int64_t width = layout.sites[static_cast<std::size_t>(places.front())].out;
        return Json{{"ln_before", true},
                    {"original_ln_before", true},
                    {"original_ln_after", false},
                    {"residual_before_ln", false},
                    {"non_linearity", chosen.activation},
                    {"reduction_factor", reduction_factor(width, chosen.bottleneck_dim)}};
    }

    std::int64_t largest_size(const Layout& layout, const Json&) const override { return widest_output(layout); }

private:
    // "encoder.3.output": after a layer, not after one of its blocks; and "decoder.3.cross_attn.memory".
    static std::vector<int> sites(const Layout& layout, const BottleneckConfig& chosen) {
        std::vector<int> list;
        for (std::size_t i = 0; i < layout.sites.size(); ++i) {
            const Site& site = layout.sites[i];
            const bool layer = site.kind == SiteKind::output && std::count(site.name.begin(), site.name.end(), '.') == 2;
            if ((layer || (chosen.encoder_output && site.kind == SiteKind::memory)) && chosen.holds(site.name, layout))
                list.push_back(static_cast<int>(i));
        }
        return list;
    }
};

}  // namespace

std::unique_ptr<Method> bottleneck_method() { return std::make_unique<Bottleneck>(); }

}  // namespace permille
