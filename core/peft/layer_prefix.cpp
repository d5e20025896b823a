// Prefix tuning as the code of Üstün & Cooper Stickland 2022 (arXiv 2205.11277) has it: l virtual tokens before every sentence whose states
// are overwritten before each layer, P_0 [l, D] with the embeddings and P_i [l, D] before layer i >= 1. Unlike the keys and values of
// `prefix` they pass through the layer's norms and projections, take the first l positions and move the real tokens on by l. With networks,
// P_i = W2 tanh(W1 p_i + b1) + b2 for i >= 1, W1 [k, D], W2 [D, k], one of its own for each layer; only P_i is stored. P_0 lies in the
// embedding table, before its scale. All start from N(0, 1 / D), P_0 from tokens of the vocabulary if so chosen.
//
// In their code the virtual tokens are rows of the vocabulary and can be predicted; here they cannot, which changes the loss by the share
// that the softmax would give them.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/nn/parts.h"
#include "core/peft/virtual_tokens.h"

namespace permille {

namespace {

struct LayerPrefixConfig {
    std::int64_t prefix_length = 20;
    std::string side = "both";
    bool reparametrised = false;
    std::int64_t hidden_dim = 512;
    std::string initialisation = "normal";
    static const Fields<LayerPrefixConfig>& fields() {
        static const auto list =
            Fields<LayerPrefixConfig>()
                .add("prefix_length", &LayerPrefixConfig::prefix_length, "virtual tokens of each side",
                     {.min = 1, .max = 65536, .unit = "tokens"})
                .add("side", &LayerPrefixConfig::side, "which stacks have them", {.choices = {"both", "encoder", "decoder"}})
                .add("reparametrised", &LayerPrefixConfig::reparametrised,
                     "train networks that make the states from layer 1 on; what is stored are the states alone")
                .add("hidden_dim", &LayerPrefixConfig::hidden_dim, "width of the networks' middle layer", {.min = 1, .max = 1 << 20})
                .add("initialisation", &LayerPrefixConfig::initialisation,
                     "of the virtual tokens' embeddings. normal: N(0, 1 / D); vocabulary: rows of frequent tokens",
                     {.choices = {"normal", "vocabulary"}});
        return list;
    }
};

// The states before one layer: trained themselves, or made by a network.
struct LayerStates {
    at::Tensor states, down, down_bias, up, up_bias;
    at::Tensor value() const { return down.defined() ? at::linear(at::tanh(at::linear(states, down, down_bias)), up, up_bias) : states; }
};

class LayerPrompt : public Prompt {
public:
    LayerPrompt(std::vector<LayerStates> layers, double scale) : layers_(std::move(layers)), scale_(scale) {}
    std::int64_t front() const override { return layers_.front().states.size(0); }
    at::Tensor embeddings(const Forward&) const override { return layers_.front().states * scale_; }
    at::Tensor states(const Forward&, std::int64_t layer) const override { return layers_[static_cast<std::size_t>(layer)].value(); }

private:
    std::vector<LayerStates> layers_;
    double scale_;
};

class LayerPrefix : public MethodWith<LayerPrefixConfig> {
public:
    LayerPrefix()
        : MethodWith(
              {.id = "layer_prefix",
               .name = "Layer-state prefix",
               .paper = "the code of Üstün & Cooper Stickland 2022, arXiv 2205.11277; after Li & Liang 2021, arXiv 2101.00190",
               .summary = "adds virtual tokens whose states are trained anew before every layer",
               .sites = {"prompt"},
               .knobs = LayerPrefixConfig::fields().list(),
               .size_knob = "prefix_length",
               .mergeable = false,
               .identity_at_start = false,
               .default_learning_rate = 1e-2,
               .equation = "h_i = [P_i; h_i] before every layer i, P_i [l, D]; reparametrised: P_i = W2 tanh(W1 p_i + b1) + b2, i >= 1",
               .advice = "To repeat the study's prefix experiments; half the parameters of `prefix` at the same length, and longer "
                         "sentences for it."}) {}

    std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const override {
        const LayerPrefixConfig chosen = config(settings);
        std::vector<TensorSpec> specs;
        for (const std::string& stack : stacks(chosen)) {
            const std::int64_t width = width_of(layout, stack, info_.id), middle = chosen.hidden_dim;
            const Init normal = Init::normal(1.0 / std::sqrt(static_cast<double>(width)));
            for (std::int64_t i = 0; i < layers_of(layout, stack); ++i) {
                const std::string stem = stack + ".layers." + std::to_string(i) + ".prefix";
                const bool drawn = i == 0 && chosen.initialisation == "vocabulary";
                specs.push_back(
                    {stem, {chosen.prefix_length, width}, drawn ? rows_of_vocabulary(layout, stack, chosen.prefix_length, false) : normal});
                if (!has_network(chosen, i)) continue;
                specs.push_back({stem + ".transform.0.weight", {middle, width}, Init::kaiming(width)});
                specs.push_back({stem + ".transform.0.bias", {middle}, Init::kaiming(width)});
                specs.push_back({stem + ".transform.2.weight", {width, middle}, Init::kaiming(middle)});
                specs.push_back({stem + ".transform.2.bias", {width}, Init::kaiming(middle)});
            }
        }
        return specs;
    }

    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        const LayerPrefixConfig chosen = config(settings);
        std::size_t first = 0;
        for (const std::string& stack : stacks(chosen)) {
            std::vector<LayerStates> layers;
            for (std::int64_t i = 0; i < layers_of(layout, stack); ++i) layers.push_back(next_layer(chosen, i, values, first));
            attachment.prompts.add(layout.site(stack + ".prompt"),
                                   std::make_unique<LayerPrompt>(std::move(layers), layout.embedding_scale));
        }
    }

    // A quarter of the longest sentence.
    std::int64_t largest_size(const Layout& layout, const Json&) const override { return std::max<std::int64_t>(1, layout.positions / 4); }

    Json stored_settings(const Json& settings) const override {
        Json flat = settings;
        flat["reparametrised"] = false;
        return complete(flat);
    }
    std::vector<at::Tensor> stored_values(const Layout& layout, const Json& settings,
                                          const std::vector<at::Tensor>& values) const override {
        const LayerPrefixConfig chosen = config(settings);
        std::vector<at::Tensor> kept;
        std::size_t first = 0;
        for (const std::string& stack : stacks(chosen))
            for (std::int64_t i = 0; i < layers_of(layout, stack); ++i) kept.push_back(next_layer(chosen, i, values, first).value());
        return kept;
    }

private:
    static std::vector<std::string> stacks(const LayerPrefixConfig& chosen) {
        if (chosen.side == "both") return {"encoder", "decoder"};
        return {chosen.side};
    }
    static std::int64_t layers_of(const Layout& layout, const std::string& stack) {
        return std::count_if(layout.sites.begin(), layout.sites.end(), [&](const Site& site) {
            return site.kind == SiteKind::feed_forward && site.name.starts_with(stack + ".");  // one of each layer
        });
    }
    static bool has_network(const LayerPrefixConfig& chosen, std::int64_t layer) { return chosen.reparametrised && layer > 0; }

    static LayerStates next_layer(const LayerPrefixConfig& chosen, std::int64_t layer, const std::vector<at::Tensor>& values,
                                  std::size_t& first) {
        LayerStates states;
        states.states = values[first++];
        if (has_network(chosen, layer))
            for (at::Tensor* tensor : {&states.down, &states.down_bias, &states.up, &states.up_bias}) *tensor = values[first++];
        return states;
    }
};

}  // namespace

std::unique_ptr<Method> layer_prefix_method() { return std::make_unique<LayerPrefix>(); }

}  // namespace permille
