// Language adapters of MAD-X (Pfeiffer et al. 2020, arXiv 2005.00052, sections 4.1 and 4.3): Pfeiffer adapters of half the model's width,
// and an invertible block on the source embeddings, after positions and norm: y1 = x1 + F(x2), y2 = x2 + G(y1), x1 and x2 the halves of a
// row (NICE, Dinh et al. 2015), F and G = relu networks D/2 -> D/4 -> D/2. As AdapterHub does for encoder-decoders (seq_bn_inv), the
// block's inverse is not used: no output embedding is tied to the encoder's states. The paper trains them on the text of one language and
// stacks a task's adapters on them; "language_adapters+pfeiffer" is that stack, trained together on the pair. Start as for Pfeiffer
// adapters.
#include <ATen/ATen.h>

#include "core/base/error.h"
#include "core/nn/parts.h"
#include "core/peft/adapter_block.h"
#include "core/peft/adapterhub.h"

namespace permille {

namespace {

struct LanguageAdaptersConfig : Scope {
    std::int64_t bottleneck_dim = 512;
    bool invertible = true;
    std::string activation = "relu";
    std::string initialisation = "identity";
    static const Fields<LanguageAdaptersConfig>& fields() {
        static const auto list = add_scope(
            Fields<LanguageAdaptersConfig>()
                .add("bottleneck_dim", &LanguageAdaptersConfig::bottleneck_dim,
                     "width of the adapters' middle layer; the paper's is half of the model's", {.min = 1, .max = 1 << 20})
                .add("invertible", &LanguageAdaptersConfig::invertible, "the invertible block on the source embeddings")
                .add("activation", &LanguageAdaptersConfig::activation, "non-linearity of adapters and block",
                     {.choices = {"relu", "gelu", "swish"}})
                .add("initialisation", &LanguageAdaptersConfig::initialisation,
                     "identity: changes nothing at the start; bert: weights N(0, 0.02), AdapterHub's", {.choices = {"identity", "bert"}}));
        return list;
    }
    std::vector<int> sites(const Layout& layout) const { return block_outputs(layout, *this, {.feed_forward = true}); }
    // The site of the invertible block, or -1.
    int block(const Layout& layout) const {
        const int site = layout.site("encoder.embedding.output");
        return invertible && site >= 0 && holds("encoder.embedding.output", layout) ? site : -1;
    }
};

// phi network from one part of a row to another: b = Wu phi(Wd a + bd) + bu.
void add_network(std::vector<TensorSpec>& specs, const std::string& stem, std::int64_t in, std::int64_t out, bool bert) {
    const std::int64_t middle = in / 2;
    specs.push_back({stem + "0.weight", {middle, in}, bert ? Init::normal(0.02) : Init::kaiming(in)});
    specs.push_back({stem + "0.bias", {middle}, Init::zeros()});
    specs.push_back({stem + "2.weight", {out, middle}, bert ? Init::normal(0.02) : Init::zeros()});
    specs.push_back({stem + "2.bias", {out}, Init::zeros()});
}

class InvertibleBlock : public OutputModule {
public:
    InvertibleBlock(AdapterBlock f, AdapterBlock g) : f_(std::move(f)), g_(std::move(g)) {}

    at::Tensor apply(const Forward& forward, const at::Tensor& rows, const Passage&) const override {
        const std::int64_t half = rows.size(1) / 2;
        const at::Tensor x1 = rows.narrow(1, 0, half), x2 = rows.narrow(1, half, rows.size(1) - half);
        const at::Tensor y1 = x1 + f_(forward, x2);
        return at::cat({y1, x2 + g_(forward, y1)}, 1);
    }

private:
    AdapterBlock f_, g_;
};

class LanguageAdapters : public MethodWith<LanguageAdaptersConfig> {
public:
    LanguageAdapters()
        : MethodWith(
              {.id = "language_adapters",
               .name = "Language adapters",
               .paper = "Pfeiffer et al. 2020, arXiv 2005.00052",
               .summary = "adds wide Pfeiffer adapters and an invertible block on the source embeddings; a pair's adapters stack on them",
               .sites = {"output", "embedding"},
               .knobs = LanguageAdaptersConfig::fields().list(),
               .size_knob = "bottleneck_dim",
               .mergeable = false,
               .identity_at_start = true,
               .default_learning_rate = 1e-3,
               .equation = "Pfeiffer adapters with Wd [D/2, D]; on the source embeddings y1 = x1 + F(x2), y2 = x2 + G(y1)",
               .advice = "For a language that the base does not know well. language_adapters+pfeiffer stacks a small adapter for the "
                         "pair on them."}) {}

    std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const override {
        const LanguageAdaptersConfig chosen = config(settings);
        std::vector<TensorSpec> specs;
        add_blocks(specs, layout, chosen.sites(layout), chosen.bottleneck_dim, chosen.initialisation);
        require_match(specs, info_.id);
        if (const int block = chosen.block(layout); block >= 0) {
            const std::int64_t width = layout.sites[static_cast<std::size_t>(block)].out, first = width / 2, second = width - first;
            const bool bert = chosen.initialisation == "bert";
            add_network(specs, "encoder.invertible_adapters.F.", second, first, bert);
            add_network(specs, "encoder.invertible_adapters.G.", first, second, bert);
        }
        return specs;
    }

    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        const LanguageAdaptersConfig chosen = config(settings);
        const Nonlinearity kind = nonlinearity_of(chosen.activation);
        std::size_t first = 0;
        for (const int index : chosen.sites(layout)) {
            attachment.outputs.add(
                index, std::make_unique<AdapterModule>(AdapterBlock(values, first, kind), AdapterReads::sum, is_pre_norm(layout)));
            first += AdapterBlock::kTensors;
        }
        if (const int block = chosen.block(layout); block >= 0)
            attachment.outputs.add(block, std::make_unique<InvertibleBlock>(AdapterBlock(values, first, kind),
                                                                            AdapterBlock(values, first + AdapterBlock::kTensors, kind)));
    }

    Json adapterhub_config(const Layout& layout, const Json& settings) const override {
        const LanguageAdaptersConfig chosen = config(settings);
        if (chosen.block(layout) < 0) return nullptr;  // Pfeiffer adapters then
        const std::int64_t width = layout.sites[static_cast<std::size_t>(chosen.block(layout))].out;
        return Json{{"original_ln_before", true},
                    {"inv_adapter", "nice"},
                    {"inv_adapter_reduction_factor", 2},
                    {"non_linearity", chosen.activation},
                    {"reduction_factor", reduction_factor(width, chosen.bottleneck_dim)}};
    }

    std::int64_t largest_size(const Layout& layout, const Json&) const override { return widest_output(layout); }
};

}  // namespace

std::unique_ptr<Method> language_adapters_method() { return std::make_unique<LanguageAdapters>(); }

}  // namespace permille
