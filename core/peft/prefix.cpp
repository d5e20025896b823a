// Prefix tuning (Li & Liang 2021, arXiv 2101.00190): every attention reads trained keys and values before the real ones,
// K <- [P_K; K], V <- [P_V; V] with P_K, P_V [l, D] for each attention of each layer. Three kinds of attention can have them: the
// encoder's, the decoder's, and the decoder's over the source. They are not projected, never masked and seen by every query.
//
// flat: the values themselves are trained, from N(0, 1), as in the code of AdapterHub and T-Few. Reparametrised (Li & Liang, section 4.3):
// of each kind of attention P = W2 tanh(W1 E + b1) + b2 with E [l, D] from N(0, 1), W1 [k, D], W2 [L 2 D, k] for its L layers. Only P is
// stored.
//
// peft_form is what Hugging Face PEFT's PREFIX_TUNING (0.21) computes: a prefix of the decoder's self-attention alone, which fills its
// cache, so that the decoder's tokens take later positions. PEFT divides its L pairs of keys and values as if there were two attentions a
// layer and drops the second, so that layer i reads pair 2 i mod L: of an even number of layers half of the pairs are read, by two layers
// each. They are counted and stored all the same, as there.
#include <ATen/ATen.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/nn/parts.h"
#include "core/peft/method.h"

namespace permille {

namespace {

struct PrefixConfig : Scope {
    std::int64_t prefix_length = 30;
    bool encoder_self = true, decoder_self = true, cross = true;
    bool reparametrised = false;
    std::int64_t hidden_dim = 512;
    bool peft_form = false;
    static const Fields<PrefixConfig>& fields() {
        static const auto list =
            add_scope(Fields<PrefixConfig>()
                          .add("prefix_length", &PrefixConfig::prefix_length,
                               "keys and values before those of the tokens, at every attention", {.min = 1, .max = 65536})
                          .add("encoder_self", &PrefixConfig::encoder_self, "at the encoder's self-attention")
                          .add("decoder_self", &PrefixConfig::decoder_self, "at the decoder's self-attention")
                          .add("cross", &PrefixConfig::cross, "at the decoder's attention over the source")
                          .add("reparametrised", &PrefixConfig::reparametrised,
                               "train a network that makes the prefix; what is stored is the prefix alone")
                          .add("hidden_dim", &PrefixConfig::hidden_dim, "width of that network's middle layer", {.min = 1, .max = 1 << 20})
                          .add("peft_form", &PrefixConfig::peft_form,
                               "what Hugging Face PEFT computes, so that it opens the adapter: decoder_self only, later positions of the "
                               "target, shared pairs"));
        return list;
    }
};

// The attentions of one kind, "decoder.cross_attn", of all layers that are trained.
struct Kind {
    std::string name;
    std::vector<int> sites;
    std::int64_t width = 0;
};

// The flat prefix of a kind [l, L 2 D], a layer's keys and then its values, or the network that makes it.
struct Source {
    at::Tensor flat;
    at::Tensor embedding, down, down_bias, up, up_bias;

    // Columns [first, first + count) of the flat prefix.
    at::Tensor columns(std::int64_t first, std::int64_t count) const {
        if (flat.defined()) return flat.narrow(1, first, count);
        const at::Tensor middle = at::tanh(at::linear(embedding, down, down_bias));
        return at::linear(middle, up.narrow(0, first, count), up_bias.narrow(0, first, count));
    }
};

class SitePrefix : public AttentionPrefix {
public:
    SitePrefix(Source source, std::int64_t pair, std::int64_t length, std::int64_t width, bool shifts)
        : source_(std::move(source)), pair_(pair), length_(length), width_(width), shifts_(shifts) {}

    std::int64_t length() const override { return length_; }
    bool shifts_positions() const override { return shifts_; }
    std::pair<at::Tensor, at::Tensor> keys_values(const Forward& forward) const override {
        const at::Tensor both = source_.columns(pair_ * 2 * width_, 2 * width_).to(forward.compute);
        return {both.narrow(1, 0, width_), both.narrow(1, width_, width_)};
    }

private:
    Source source_;
    std::int64_t pair_, length_, width_;
    bool shifts_;
};

class Prefix : public MethodWith<PrefixConfig> {
public:
    Prefix()
        : MethodWith({.id = "prefix",
                      .name = "Prefix tuning",
                      .paper = "Li & Liang 2021, arXiv 2101.00190",
                      .summary = "adds trained keys and values that every attention reads before the real ones",
                      .sites = {"attention"},
                      .knobs = PrefixConfig::fields().list(),
                      .size_knob = "prefix_length",
                      .mergeable = false,
                      .identity_at_start = false,
                      .default_learning_rate = 1e-2,
                      .equation = "K <- [P_K; K], V <- [P_V; V], P_K and P_V [l, D]; reparametrised: P = W2 tanh(W1 E + b1) + b2",
                      .advice = "Between prompts and adapters in size. A long prefix slows every attention down; if training is restless, "
                                "try it reparametrised, or a lower learning rate."}) {}

    std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const override {
        const PrefixConfig chosen = config(settings);
        const bool only_decoder = chosen.decoder_self && !chosen.encoder_self && !chosen.cross;
        if (chosen.peft_form && (!only_decoder || chosen.layers != "all" || chosen.stacks == "encoder"))
            throw Error(ErrorKind::config, "prefix/peft_form",
                        "PEFT has a prefix at the decoder's self-attention of all layers, nowhere else",
                        "set encoder_self=false and cross=false, and leave the layers alone");
        std::vector<TensorSpec> specs;
        for (const Kind& kind : kinds(layout, chosen)) {
            const std::int64_t columns = static_cast<std::int64_t>(kind.sites.size()) * 2 * kind.width, middle = chosen.hidden_dim;
            const std::string stem = kind.name + ".prefix";
            if (!chosen.reparametrised) {
                specs.push_back({chosen.peft_form ? "prompt_embeddings" : stem, {chosen.prefix_length, columns}, Init::normal(1.0)});
                continue;
            }
            specs.push_back({stem + ".embedding.weight", {chosen.prefix_length, kind.width}, Init::normal(1.0)});
            specs.push_back({stem + ".transform.0.weight", {middle, kind.width}, Init::kaiming(kind.width)});
            specs.push_back({stem + ".transform.0.bias", {middle}, Init::kaiming(kind.width)});
            specs.push_back({stem + ".transform.2.weight", {columns, middle}, Init::kaiming(middle)});
            specs.push_back({stem + ".transform.2.bias", {columns}, Init::kaiming(middle)});
        }
        if (specs.empty())
            throw Error(ErrorKind::config, "prefix/stacks", "no attention of this model matches", "choose other attentions or stacks");
        return specs;
    }

    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        const PrefixConfig chosen = config(settings);
        std::size_t first = 0;
        for (const Kind& kind : kinds(layout, chosen)) {
            const Source source = next_source(chosen, values, first);
            const auto layers = static_cast<std::int64_t>(kind.sites.size());
            for (std::int64_t i = 0; i < layers; ++i) {
                const std::int64_t pair = chosen.peft_form ? 2 * i % layers : i;
                attachment.prefixes.add(kind.sites[static_cast<std::size_t>(i)],
                                        std::make_unique<SitePrefix>(source, pair, chosen.prefix_length, kind.width, chosen.peft_form));
            }
        }
    }

    // Longer ones fill attention with more keys than a sentence has.
    std::int64_t largest_size(const Layout& layout, const Json&) const override { return std::max<std::int64_t>(1, layout.positions / 2); }

    Json stored_settings(const Json& settings) const override {
        Json flat = settings;
        flat["reparametrised"] = false;
        return complete(flat);
    }
    std::vector<at::Tensor> stored_values(const Layout& layout, const Json& settings,
                                          const std::vector<at::Tensor>& values) const override {
        const PrefixConfig chosen = config(settings);
        std::vector<at::Tensor> flat;
        std::size_t first = 0;
        for (const Kind& kind : kinds(layout, chosen))
            flat.push_back(next_source(chosen, values, first).columns(0, static_cast<std::int64_t>(kind.sites.size()) * 2 * kind.width));
        return flat;
    }

    Json peft_config(const Layout& layout, const Json& settings) const override {
        const PrefixConfig chosen = config(settings);
        if (!chosen.peft_form || chosen.reparametrised) return nullptr;
        const Kind decoder = kinds(layout, chosen).front();
        return Json{{"peft_type", "PREFIX_TUNING"},
                    {"num_virtual_tokens", chosen.prefix_length},
                    {"token_dim", decoder.width},
                    {"num_transformer_submodules", 2},
                    {"num_attention_heads", layout.sites[static_cast<std::size_t>(decoder.sites.front())].heads},
                    {"num_layers", static_cast<std::int64_t>(decoder.sites.size())},
                    {"encoder_hidden_size", decoder.width},
                    {"prefix_projection", false}};
    }

    Json from_peft(const Layout&, const Json& found) const override {
        if (found.value("peft_type", Json()) != "PREFIX_TUNING") return nullptr;
        if (!found.contains("num_virtual_tokens") || !found["num_virtual_tokens"].is_number_integer())
            throw Error(ErrorKind::unsupported, "num_virtual_tokens", "is not a number", "the adapter_config.json is damaged");
        if (const Json stacks = found.value("num_transformer_submodules", Json(2)); stacks != 2)
            throw Error(ErrorKind::unsupported, "num_transformer_submodules",
                        "is " + stacks.dump() + ", with which PEFT itself cannot run a translation model", "train the prefix again with 2");
        // What the projection made is what PEFT stores, so it does not matter how it was trained.
        return complete({{"prefix_length", found["num_virtual_tokens"]},
                         {"encoder_self", false},
                         {"decoder_self", true},
                         {"cross", false},
                         {"peft_form", true}});
    }

private:
    static std::vector<Kind> kinds(const Layout& layout, const PrefixConfig& chosen) {
        std::vector<Kind> list;
        const auto add = [&](const std::string& stack, const std::string& part) {
            Kind kind{stack + part, {}, 0};
            for (std::size_t i = 0; i < layout.sites.size(); ++i) {
                const Site& site = layout.sites[i];
                if (site.kind != SiteKind::attention || !site.name.starts_with(stack) || !site.name.ends_with(part)) continue;
                if (!chosen.holds(site.name, layout)) continue;
                kind.sites.push_back(static_cast<int>(i));
                kind.width = site.out;
            }
            if (!kind.sites.empty()) list.push_back(std::move(kind));
        };
        if (chosen.encoder_self) add("encoder", ".self_attn");
        if (chosen.decoder_self) add("decoder", ".self_attn");
        if (chosen.cross) add("decoder", ".cross_attn");
        return list;
    }

    static Source next_source(const PrefixConfig& chosen, const std::vector<at::Tensor>& values, std::size_t& first) {
        Source source;
        if (!chosen.reparametrised) {
            source.flat = values[first++];
            return source;
        }
        for (at::Tensor* tensor : {&source.embedding, &source.down, &source.down_bias, &source.up, &source.up_bias})
            *tensor = values[first++];
        return source;
    }
};

}  // namespace

std::unique_ptr<Method> prefix_method() { return std::make_unique<Prefix>(); }

}  // namespace permille
