// Parallel adapters (He et al. 2022, arXiv 2110.04366, section 3.3 and table 4): beside a block, reading what it reads: h + s a(x), a(x) =
// Wu relu(Wd x + bd) + bu. The authors' setting for translation with mBART: at the feed-forward blocks, r = 512, s = 4, Wd Kaiming-uniform
// and the rest zero as in LoRA. Together with a prefix that is their MAM adapter (mam.cpp). A learned scale starts at `scale`; the authors'
// code starts it at 1. In a pre-norm model "norm" reads the block's own input, after the norm; "stream" reads before it, as AdapterHub's
// par_bn does. In a post-norm model the two are the same.
#include <ATen/ATen.h>

#include "core/base/error.h"
#include "core/nn/parts.h"
#include "core/peft/adapter_block.h"
#include "core/peft/adapterhub.h"

namespace permille {

namespace {

struct ParallelConfig : Scope {
    std::int64_t bottleneck_dim = 512;
    std::string places = "ffn";
    double scale = 4;
    bool learned_scale = false;
    std::string input = "norm";
    std::string activation = "relu";
    std::string initialisation = "identity";
    static const Fields<ParallelConfig>& fields() {
        static const auto list = add_scope(
            Fields<ParallelConfig>()
                .add("bottleneck_dim", &ParallelConfig::bottleneck_dim, "width of the adapters' middle layer", {.min = 1, .max = 1 << 20})
                .add("places", &ParallelConfig::places, "beside which blocks", {.choices = {"ffn", "attention", "both"}})
                .add("scale", &ParallelConfig::scale, "what the adapter's output is multiplied by", {.min = 0})
                .add("learned_scale", &ParallelConfig::learned_scale, "train the scale, one number for each adapter")
                .add("input", &ParallelConfig::input,
                     "what the adapters of a pre-norm model read: norm, the block's input after its norm; stream, before it",
                     {.choices = {"norm", "stream"}})
                .add("activation", &ParallelConfig::activation, "non-linearity of the middle layer", {.choices = {"relu", "gelu", "swish"}})
                .add("initialisation", &ParallelConfig::initialisation,
                     "identity: gives zeros at the start, as the authors'; bert: weights N(0, 0.02)", {.choices = {"identity", "bert"}}));
        return list;
    }
    std::vector<int> sites(const Layout& layout) const {
        const bool attention = places != "ffn";
        return block_outputs(layout, *this,
                             {.self_attention = attention, .cross_attention = attention, .feed_forward = places != "attention"});
    }
};

class Parallel : public MethodWith<ParallelConfig> {
public:
    Parallel()
        : MethodWith({.id = "parallel",
                      .name = "Parallel adapters",
                      .paper = "He et al. 2022, arXiv 2110.04366",
                      .summary = "adds a small feed-forward block beside the feed-forward blocks, reading what they read",
                      .sites = {"output"},
                      .knobs = ParallelConfig::fields().list(),
                      .size_knob = "bottleneck_dim",
                      .mergeable = false,
                      .identity_at_start = true,
                      .default_learning_rate = 1e-3,
                      .equation = "h + s (Wu relu(Wd x + bd) + bu) for a block that reads x and gives h, Wd [r, D], Wu [D, r], s = 4",
                      .advice = "The best single method of its authors' comparison on translation at several percent of the model. With a "
                                "prefix beside it (mam) it is their MAM adapter."}) {}

    std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const override {
        const ParallelConfig chosen = config(settings);
        std::vector<TensorSpec> specs;
        for (const int index : chosen.sites(layout)) {
            const Site& site = layout.sites[static_cast<std::size_t>(index)];
            AdapterBlock::add_specs(specs, adapter_stem(site), site.out, chosen.bottleneck_dim,
                                    BlockStart::of(chosen.initialisation, site.out, chosen.bottleneck_dim));
            if (chosen.learned_scale) specs.push_back({adapter_stem(site) + "scaling", {1}, Init::constant(chosen.scale)});
        }
        require_match(specs, info_.id);
        return specs;
    }

    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        const ParallelConfig chosen = config(settings);
        std::size_t first = 0;
        for (const int index : chosen.sites(layout)) {
            const AdapterBlock block(values, first, nonlinearity_of(chosen.activation));
            first += AdapterBlock::kTensors;
            AdapterModule::Block scaled;
            if (chosen.learned_scale)
                scaled = [block, scale = values[first++]](const Forward& forward, const at::Tensor& x) {
                    return block(forward, x) * scale.to(forward.compute);
                };
            else scaled = [block, scale = chosen.scale](const Forward& forward, const at::Tensor& x) { return block(forward, x) * scale; };
            const AdapterReads reads = chosen.input == "stream" ? AdapterReads::stream : AdapterReads::block_input;
            attachment.outputs.add(index, std::make_unique<AdapterModule>(std::move(scaled), reads, is_pre_norm(layout)));
        }
    }

    Json adapterhub_config(const Layout& layout, const Json& settings) const override {
        const ParallelConfig chosen = config(settings);
        if (chosen.input == "norm" && is_pre_norm(layout)) return nullptr;
        const std::int64_t width = layout.sites[static_cast<std::size_t>(chosen.sites(layout).front())].out;
        return Json{{"is_parallel", true},
                    {"mh_adapter", chosen.places != "ffn"},
                    {"cross_adapter", chosen.places != "ffn"},
                    {"output_adapter", chosen.places != "attention"},
                    {"init_weights", "mam_adapter"},
                    {"scaling", chosen.learned_scale ? Json("learned") : Json(chosen.scale)},
                    {"non_linearity", chosen.activation},
                    {"reduction_factor", reduction_factor(width, chosen.bottleneck_dim)}};
    }

    std::int64_t largest_size(const Layout& layout, const Json&) const override { return widest_output(layout); }
};

}  // namespace

std::unique_ptr<Method> parallel_method() { return std::make_unique<Parallel>(); }

}  // namespace permille
