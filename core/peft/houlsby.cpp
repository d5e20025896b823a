// Houlsby adapters (Houlsby et al. 2019, arXiv 1902.00751, section 2.1): after self-attention and after the feed-forward block, before the
// residual addition and a norm that follows it: h + a(h), h what the block gives, a(x) = Wu phi(Wd x + bd) + bu. As AdapterHub's
// double_seq_bn, whose non-linearity is swish and whose adapters after cross-attention are an option. The paper trains the layer norms too
// (train_layernorm); AdapterHub does not, nor do we unless asked.
#include "core/base/error.h"
#include "core/peft/adapter_block.h"
#include "core/peft/adapterhub.h"

namespace permille {

namespace {

struct HoulsbyConfig : Scope {
    std::int64_t bottleneck_dim = 64;
    std::string activation = "swish";
    std::string initialisation = "identity";
    bool cross_attention = false;
    bool train_layernorm = false;
    static const Fields<HoulsbyConfig>& fields() {
        static const auto list = add_scope(
            Fields<HoulsbyConfig>()
                .add("bottleneck_dim", &HoulsbyConfig::bottleneck_dim, "width of the adapters' middle layer", {.min = 1, .max = 1 << 20})
                .add("activation", &HoulsbyConfig::activation, "non-linearity of the middle layer", {.choices = {"relu", "gelu", "swish"}})
                .add("initialisation", &HoulsbyConfig::initialisation,
                     "identity: gives zeros at the start (AdapterHub's mam_adapter); bert: weights N(0, 0.02), AdapterHub's default; "
                     "houlsby: "
                     "weights N(0, 0.01), cut off at 0.02",
                     {.choices = {"identity", "bert", "houlsby"}})
                .add("cross_attention", &HoulsbyConfig::cross_attention, "adapters after cross-attention too")
                .add("train_layernorm", &HoulsbyConfig::train_layernorm, "train the layer norms too, as the paper does"));
        return list;
    }
    std::vector<int> sites(const Layout& layout) const {
        return block_outputs(layout, *this, {.self_attention = true, .cross_attention = cross_attention, .feed_forward = true});
    }
};

class Houlsby : public MethodWith<HoulsbyConfig> {
public:
    Houlsby()
        : MethodWith({.id = "houlsby",
                      .name = "Houlsby adapters",
                      .paper = "Houlsby et al. 2019, arXiv 1902.00751",
                      .summary = "adds a small feed-forward block after self-attention and after the feed-forward block",
                      .sites = {"output"},
                      .knobs = HoulsbyConfig::fields().list(),
                      .size_knob = "bottleneck_dim",
                      .mergeable = false,
                      .identity_at_start = true,
                      .default_learning_rate = 2e-3,
                      .equation = "h + a(h) after a block that gives h, a(x) = Wu swish(Wd x + bd) + bu, Wd [r, D], Wu [D, r]",
                      .advice = "The first adapters. Two places in each layer, three with cross-attention: more of the model is reached at "
                                "the same size, at the cost of speed."}) {}

    std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const override {
        const HoulsbyConfig chosen = config(settings);
        std::vector<TensorSpec> specs;
        add_blocks(specs, layout, chosen.sites(layout), chosen.bottleneck_dim, chosen.initialisation);
        require_match(specs, info_.id);
        if (chosen.train_layernorm) add_norms(specs, layout, chosen);
        return specs;
    }

    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        const HoulsbyConfig chosen = config(settings);
        std::size_t first = 0;
        for (const int index : chosen.sites(layout)) {
            attachment.outputs.add(index, std::make_unique<AdapterModule>(AdapterBlock(values, first, nonlinearity_of(chosen.activation)),
                                                                          AdapterReads::output, is_pre_norm(layout)));
            first += AdapterBlock::kTensors;
        }
        if (chosen.train_layernorm) attach_norms(attachment, tensors(layout, settings), values);
    }

    Json adapterhub_config(const Layout& layout, const Json& settings) const override {
        const HoulsbyConfig chosen = config(settings);
        if (chosen.train_layernorm) return nullptr;
        const std::int64_t width = layout.sites[static_cast<std::size_t>(chosen.sites(layout).front())].out;
        return Json{{"mh_adapter", true},
                    {"cross_adapter", chosen.cross_attention},
                    {"non_linearity", chosen.activation},
                    {"reduction_factor", reduction_factor(width, chosen.bottleneck_dim)}};
    }

    std::int64_t largest_size(const Layout& layout, const Json& settings) const override {
        return widest_output(layout, config(settings).sites(layout));
    }
};

}  // namespace

std::unique_ptr<Method> houlsby_method() { return std::make_unique<Houlsby>(); }

}  // namespace permille
