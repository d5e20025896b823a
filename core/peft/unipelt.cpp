// UniPELT (Mao et al. 2022, arXiv 2110.07577, section 3): a prefix, Pfeiffer adapters and LoRA side by side, each with a gate of its own in
// every layer, a number between 0 and 1 made from what the module reads: g = sigmoid(w x + b), w [D]. Prefix: K <- [g P_K; K], V <- [g P_V;
// V]; adapter: z + g a(z); LoRA: y = W x + b + g B A x, where the gate stands for the scale alpha / r. Widths are those of AdapterHub's
// "unipelt"; its prefix is made by a network 512 wide (reparametrised), ours is flat unless asked for.
//
// In the authors' code and AdapterHub a gate is averaged over the positions of a sentence, padding among them. Here the average is over the
// words of the source, in the encoder and where cross-attention reads it. In the decoder every token has its own gate: an average would let
// a token see the later ones while training, and in cached decoding, one token at a time, the reference has that token's gate too. Gates
// start near a half (w from N(0, 0.02), b zero).
#include <ATen/ATen.h>

#include "core/nn/matmul.h"
#include "core/nn/parts.h"
#include "core/peft/adapter_block.h"
#include "core/peft/low_rank.h"

namespace permille {

namespace {

struct UnipeltConfig : Targets {
    std::int64_t bottleneck_dim = 64, prefix_length = 10, rank = 8;
    bool reparametrised = false;
    std::int64_t hidden_dim = 512;
    std::string activation = "relu";
    std::string initialisation = "identity";
    double dropout = 0;
    static const Fields<UnipeltConfig>& fields() {
        static const auto list = add_targets(
            Fields<UnipeltConfig>()
                .add("bottleneck_dim", &UnipeltConfig::bottleneck_dim, "width of the adapters' middle layer", {.min = 1, .max = 1 << 20})
                .add("prefix_length", &UnipeltConfig::prefix_length, "keys and values before those of the tokens, at every attention",
                     {.min = 1, .max = 65536})
                .add("rank", &UnipeltConfig::rank, "rank of LoRA's update", {.min = 1, .max = 65536})
                .add("reparametrised", &UnipeltConfig::reparametrised,
                     "train a network that makes the prefix; what is stored is the prefix alone")
                .add("hidden_dim", &UnipeltConfig::hidden_dim, "width of that network's middle layer", {.min = 1, .max = 1 << 20})
                .add("activation", &UnipeltConfig::activation, "non-linearity of the adapters", {.choices = {"relu", "gelu", "swish"}})
                .add("initialisation", &UnipeltConfig::initialisation,
                     "of the adapters; identity: they give zeros at the start; bert: weights N(0, 0.02), AdapterHub's default",
                     {.choices = {"identity", "bert"}})
                .add("dropout", &UnipeltConfig::dropout, "dropout on the input of LoRA's update", {.min = 0, .max = 0.9}));
        return list;
    }
    Json prefix_settings() const {
        return {{"prefix_length", prefix_length},
                {"reparametrised", reparametrised},
                {"hidden_dim", hidden_dim},
                {"stacks", stacks},
                {"layers", layers}};
    }
    std::vector<int> attentions(const Layout& layout) const {
        std::vector<int> list;
        for (std::size_t i = 0; i < layout.sites.size(); ++i)
            if (layout.sites[i].kind == SiteKind::attention && holds(layout.sites[i].name, layout)) list.push_back(static_cast<int>(i));
        return list;
    }
    std::vector<int> adapters(const Layout& layout) const { return block_outputs(layout, *this, {.feed_forward = true}); }
};

const Method& prefix_part() { return find_method_by_id("prefix", "unipelt"); }

// sigmoid(w x + b) of rows x [N, D] -> [N, 1] float32; of the source's rows the average over each sentence.
class Gate {
public:
    static constexpr std::size_t kTensors = 2;
    static void add_specs(std::vector<TensorSpec>& specs, const std::string& stem, std::int64_t width) {
        specs.push_back({stem + "gate.weight", {1, width}, Init::normal(0.02)});
        specs.push_back({stem + "gate.bias", {1}, Init::zeros()});
    }
    Gate(const std::vector<at::Tensor>& values, std::size_t first, const Site& site)
        : weight_(values[first]), bias_(values[first + 1]), of_sentences_(reads_source(site)) {}

    at::Tensor operator()(const Forward& forward, const at::Tensor& x) const {
        const auto typed = [&](const at::Tensor& tensor) { return tensor.to(forward.compute); };
        const at::Tensor gate = at::sigmoid(linear_map(typed(x), typed(weight_), typed(bias_)).to(at::kFloat));
        if (!of_sentences_) return gate;
        const Rows& rows = forward.source_rows;
        const at::Tensor padded = pad(gate, rows);
        const at::Tensor mean = rows.dense() ? padded.mean(1, true) : padded.sum(1, true) / rows.keep.sum(1).view({rows.sentences, 1, 1});
        return pack(mean.expand({rows.sentences, rows.longest, 1}), rows);
    }

private:
    at::Tensor weight_, bias_;
    bool of_sentences_;
};

// A prefix of the method "prefix" with a gate before it.
class GatedPrefix : public AttentionPrefix {
public:
    GatedPrefix(std::shared_ptr<const Attachment> prefixes, int site, Gate gate)
        : prefixes_(std::move(prefixes)), site_(site), gate_(std::move(gate)) {}
    std::int64_t length() const override { return prefix().length(); }
    std::pair<at::Tensor, at::Tensor> keys_values(const Forward& forward) const override { return prefix().keys_values(forward); }
    at::Tensor gate(const Forward& forward, const at::Tensor& x) const override { return gate_(forward, x); }

private:
    const AttentionPrefix& prefix() const { return *prefixes_->prefixes.at(site_).front(); }
    std::shared_ptr<const Attachment> prefixes_;
    int site_;
    Gate gate_;
};

class GatedLora : public LinearDelta {
public:
    GatedLora(at::Tensor a, at::Tensor b, double rate, Gate gate)
        : a_(std::move(a)), b_(std::move(b)), rate_(rate), gate_(std::move(gate)) {}
    at::Tensor apply(const Forward& forward, const at::Tensor& x, const at::Tensor& y) const override {
        const auto type = x.scalar_type();
        const at::Tensor input = dropout(x, at::GradMode::is_enabled() ? rate_ : 0.0, forward.streams);
        const at::Tensor update = linear_map(linear_map(input, a_.to(type)), b_.to(type));
        return y + update * gate_(forward, x).to(type);
    }

private:
    at::Tensor a_, b_;
    double rate_;
    Gate gate_;
};

class Unipelt : public MethodWith<UnipeltConfig> {
public:
    Unipelt()
        : MethodWith(
              {.id = "unipelt",
               .name = "UniPELT",
               .paper = "Mao et al. 2022, arXiv 2110.07577",
               .summary = "adds a prefix, adapters and LoRA, each with a trained gate that reads the sentence (in the decoder the token)",
               .sites = {"attention", "output", "linear"},
               .knobs = UnipeltConfig::fields().list(),
               .size_knob = "bottleneck_dim",
               .mergeable = false,
               .identity_at_start = false,
               .default_learning_rate = 2e-3,
               .equation = "g = sigmoid(w x + b), w [D]; K <- [g P_K; K], V <- [g P_V; V]; z + g a(z); y = W x + b + g B A x; g is the "
                           "average over a source sentence's words, and each token's own in the decoder",
               .advice = "When it is not known which of the three suits the data: the gates weigh them, layer by layer. It translates "
                         "more slowly than any of its parts, and cannot be merged."}) {}

    std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const override {
        const UnipeltConfig chosen = config(settings);
        const std::vector<int> projections = chosen.sites(layout, info_.id);
        std::vector<TensorSpec> specs = prefix_part().tensors(layout, prefix_part().complete(chosen.prefix_settings()));
        for (const int index : chosen.attentions(layout)) {
            const Site& site = site_at(layout, index);
            Gate::add_specs(specs, layer_stem(site) + site.name.substr(site.name.rfind('.') + 1) + ".prefix_", site.out);
        }
        for (const int index : chosen.adapters(layout)) {
            const Site& site = site_at(layout, index);
            AdapterBlock::add_specs(specs, adapter_stem(site), site.out, chosen.bottleneck_dim,
                                    BlockStart::of(chosen.initialisation, site.out, chosen.bottleneck_dim));
            Gate::add_specs(specs, adapter_stem(site), site.out);
        }
        for (const int index : projections) {
            const Site& site = site_at(layout, index);
            const std::string stem = module_of(layout, site) + ".";
            specs.push_back({stem + "lora_A", {chosen.rank, site.in}, Init::kaiming(site.in)});
            specs.push_back({stem + "lora_B", {site.out, chosen.rank}, Init::zeros()});
            Gate::add_specs(specs, stem + "lora_", site.in);
        }
        return specs;
    }

    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        const UnipeltConfig chosen = config(settings);
        std::size_t first = prefix_tensors(layout, chosen);
        const auto prefixes = std::make_shared<Attachment>(layout);
        prefix_part().attach(*prefixes, layout, prefix_part().complete(chosen.prefix_settings()), slice(values, 0, first));
        for (const int index : chosen.attentions(layout)) {
            attachment.prefixes.add(index, std::make_unique<GatedPrefix>(prefixes, index, Gate(values, first, site_at(layout, index))));
            first += Gate::kTensors;
        }
        for (const int index : chosen.adapters(layout)) {
            const AdapterBlock block(values, first, nonlinearity_of(chosen.activation));
            const Gate gate(values, first + AdapterBlock::kTensors, site_at(layout, index));
            first += AdapterBlock::kTensors + Gate::kTensors;
            const auto gated = [block, gate](const Forward& forward, const at::Tensor& x) {
                return block(forward, x) * gate(forward, x).to(forward.compute);
            };
            attachment.outputs.add(index, std::make_unique<AdapterModule>(gated, AdapterReads::sum, is_pre_norm(layout)));
        }
        for (const int index : chosen.sites(layout, info_.id)) {
            attachment.linears.add(index, std::make_unique<GatedLora>(values[first], values[first + 1], chosen.dropout,
                                                                      Gate(values, first + 2, site_at(layout, index))));
            first += 2 + Gate::kTensors;
        }
    }

    std::int64_t largest_size(const Layout& layout, const Json&) const override { return widest_output(layout); }

    Json stored_settings(const Json& settings) const override {
        Json flat = settings;
        flat["reparametrised"] = false;
        return complete(flat);
    }
    std::vector<at::Tensor> stored_values(const Layout& layout, const Json& settings,
                                          const std::vector<at::Tensor>& values) const override {
        const UnipeltConfig chosen = config(settings);
        const std::size_t count = prefix_tensors(layout, chosen);
        std::vector<at::Tensor> kept =
            prefix_part().stored_values(layout, prefix_part().complete(chosen.prefix_settings()), slice(values, 0, count));
        for (std::size_t i = count; i < values.size(); ++i) kept.push_back(values[i]);
        return kept;
    }

private:
    static const Site& site_at(const Layout& layout, int index) { return layout.sites[static_cast<std::size_t>(index)]; }
    static std::size_t prefix_tensors(const Layout& layout, const UnipeltConfig& chosen) {
        return prefix_part().tensors(layout, prefix_part().complete(chosen.prefix_settings())).size();
    }
    static std::vector<at::Tensor> slice(const std::vector<at::Tensor>& values, std::size_t first, std::size_t count) {
        return {values.begin() + static_cast<std::ptrdiff_t>(first), values.begin() + static_cast<std::ptrdiff_t>(first + count)};
    }
};

}  // namespace

std::unique_ptr<Method> unipelt_method() { return std::make_unique<Unipelt>(); }

}  // namespace permille
