// Pfeiffer adapters (Pfeiffer et al. 2021, arXiv 2005.00247; MAD-X, arXiv 2005.00052): one adapter a(x) = Wu phi(Wd x + bd) + bu in each
// layer, after the feed-forward block, without a norm of its own. As in AdapterHub (seq_bn): where norms stand before the blocks, with z =
// x + ffn(LN x), the layer gives z + a(z); where they stand after, with z = x + ffn(x), it gives LN(z + a(LN z)), the same frozen norm
// twice. The flag of that name in the code of Üstün & Cooper Stickland (2022) adds the norm's output instead of z and is not followed here.
// AdapterHub starts weights at N(0, 0.02) ("bert"); our default is its "mam_adapter", an exact identity.
#include "core/base/error.h"
#include "core/peft/adapter_block.h"
#include "core/peft/adapterhub.h"

namespace permille {

namespace {

struct PfeifferConfig : Scope {
    std::int64_t bottleneck_dim = 64;
    std::string activation = "relu";
    std::string initialisation = "identity";
    bool cross_attention = false;
    static const Fields<PfeifferConfig>& fields() {
        static const auto list = add_scope(
            Fields<PfeifferConfig>()
                .add("bottleneck_dim", &PfeifferConfig::bottleneck_dim, "width of the adapter's middle layer", {.min = 1, .max = 1 << 20})
                .add("activation", &PfeifferConfig::activation, "non-linearity of the middle layer", {.choices = {"relu", "gelu", "swish"}})
                .add("initialisation", &PfeifferConfig::initialisation,
                     "identity: gives zeros at the start (AdapterHub's mam_adapter); bert: weights N(0, 0.02), AdapterHub's default; "
                     "houlsby: "
                     "weights N(0, 0.01), cut off at 0.02",
                     {.choices = {"identity", "bert", "houlsby"}})
                .add("cross_attention", &PfeifferConfig::cross_attention, "adapters after cross-attention too"));
        return list;
    }
    std::vector<int> sites(const Layout& layout) const {
        return block_outputs(layout, *this, {.cross_attention = cross_attention, .feed_forward = true});
    }
};

class Pfeiffer : public MethodWith<PfeifferConfig> {
public:
    Pfeiffer()
        : MethodWith(
              {.id = "pfeiffer",
               .name = "Pfeiffer adapters",
               .paper = "Pfeiffer et al. 2021, arXiv 2005.00247",
               .summary = "adds a small feed-forward block without a norm to every layer, after its feed-forward block",
               .sites = {"output"},
               .knobs = PfeifferConfig::fields().list(),
               .size_knob = "bottleneck_dim",
               .mergeable = false,
               .identity_at_start = true,
               .default_learning_rate = 2e-3,
               .equation = "z + a(z), or LN(z + a(LN z)) where norms follow, z = x + ffn(x), a(x) = Wu relu(Wd x + bd) + bu, Wd [r, D]",
               .advice = "What most adapters of AdapterHub are. Half the size of Houlsby's at the same width; it differs from the "
                         "bottleneck adapters of the study in that it has no norm of its own."}) {}

    std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const override {
        const PfeifferConfig chosen = config(settings);
        std::vector<TensorSpec> specs;
        add_blocks(specs, layout, chosen.sites(layout), chosen.bottleneck_dim, chosen.initialisation);
        require_match(specs, info_.id);
        return specs;
    }

    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        const PfeifferConfig chosen = config(settings);
        std::size_t first = 0;
        for (const int index : chosen.sites(layout)) {
            attachment.outputs.add(index, std::make_unique<AdapterModule>(AdapterBlock(values, first, nonlinearity_of(chosen.activation)),
                                                                          AdapterReads::sum, is_pre_norm(layout)));
            first += AdapterBlock::kTensors;
        }
    }

    Json adapterhub_config(const Layout& layout, const Json& settings) const override {
        const PfeifferConfig chosen = config(settings);
        const std::int64_t width = layout.sites[static_cast<std::size_t>(chosen.sites(layout).front())].out;
        return Json{{"original_ln_before", true},
                    {"cross_adapter", chosen.cross_attention},
                    {"non_linearity", chosen.activation},
                    {"reduction_factor", reduction_factor(width, chosen.bottleneck_dim)}};
    }

    std::int64_t largest_size(const Layout& layout, const Json&) const override { return widest_output(layout); }
};

}  // namespace

std::unique_ptr<Method> pfeiffer_method() { return std::make_unique<Pfeiffer>(); }

}  // namespace permille
