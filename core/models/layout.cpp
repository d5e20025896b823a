#include <cmath>
#include <string>

#include "core/models/architecture.h"

namespace permille {

namespace {

class Builder {
public:
    Builder(Layout& layout, const Architecture& a) : layout_(layout), a_(a) {}

    int add(std::string name, std::vector<std::int64_t> shape, ParameterRole role) {
        layout_.parameters.push_back({std::move(name), std::move(shape), role, {}});
        return static_cast<int>(layout_.parameters.size()) - 1;
    }
    // The embedding tables and the vocabulary projection, with the other names under which checkpoints keep a tied one.
    void tables() {
        const std::string encoder = "model.encoder.embed_tokens.weight", decoder = "model.decoder.embed_tokens.weight";
        if (a_.source_vocab_size) add(encoder, {*a_.source_vocab_size, a_.d_model}, ParameterRole::embedding);
        add(a_.source_vocab_size ? decoder : "model.shared.weight", {a_.vocab_size, a_.d_model}, ParameterRole::embedding);
        auto& aliases = layout_.parameters.back().aliases;
        if (!a_.source_vocab_size) aliases = {encoder, decoder};
        if (a_.tied_projection) aliases.emplace_back("lm_head.weight");
        else add("lm_head.weight", {a_.vocab_size, a_.d_model}, ParameterRole::embedding);
    }
    void norm(const std::string& name, const std::string& site) {
        const int weight = add(name + ".weight", {a_.d_model}, ParameterRole::norm_weight);
        const int bias = add(name + ".bias", {a_.d_model}, ParameterRole::norm_bias);
        layout_.sites.push_back({site, SiteKind::norm, a_.d_model, a_.d_model, weight, bias});
    }
    void linear(const std::string& name, const std::string& site, std::int64_t in, std::int64_t out) {
        const int weight = add(name + ".weight", {out, in}, ParameterRole::matrix);
        const int bias = add(name + ".bias", {out}, ParameterRole::bias);
        layout_.sites.push_back({site, SiteKind::linear, in, out, weight, bias});
    }
    void rows(const std::string& site, SiteKind kind) { layout_.sites.push_back({site, kind, a_.d_model, a_.d_model, -1, -1}); }

    void attention(const std::string& name, const std::string& site, std::int64_t heads) {
        for (const char* part : {"q", "k", "v", "out"}) linear(name + "." + part + "_proj", site + "." + part, a_.d_model, a_.d_model);
        rows(site, SiteKind::attention);
        layout_.sites.back().heads = heads;
        rows(site + ".output", SiteKind::output);
        norm(name + "_layer_norm", site + ".norm");
    }
    void stack(const std::string& side, std::int64_t layers, std::int64_t heads, std::int64_t ffn, bool cross) {
        const std::string stem = "model." + side;
        if (a_.positions == Positions::learned)
            add(stem + ".embed_positions.weight", {a_.max_positions + a_.position_offset, a_.d_model}, ParameterRole::position);
        rows(side + ".prompt", SiteKind::prompt);
        rows(side + ".embedding.tokens", SiteKind::embedding);
        if (a_.embedding_norm) norm(stem + ".layernorm_embedding", side + ".embedding.norm");
        rows(side + ".embedding.output", SiteKind::embedding);
        for (std::int64_t i = 0; i < layers; ++i) {
            const std::string name = stem + ".layers." + std::to_string(i), site = side + "." + std::to_string(i);
            attention(name + ".self_attn", site + ".self_attn", heads);
            if (cross) {
                attention(name + ".encoder_attn", site + ".cross_attn", heads);
                rows(site + ".cross_attn.memory", SiteKind::memory);
            }
            linear(name + ".fc1", site + ".ffn.fc1", a_.d_model, ffn);
            linear(name + ".fc2", site + ".ffn.fc2", ffn, a_.d_model);
            rows(site + ".ffn", SiteKind::feed_forward);
            rows(site + ".ffn.output", SiteKind::output);
            norm(name + ".final_layer_norm", site + ".ffn.norm");
            rows(site + ".output", SiteKind::output);
        }
        if (a_.pre_norm) norm(stem + ".layer_norm", side + ".norm");
    }

private:
    Layout& layout_;
    const Architecture& a_;
};

}  // namespace

Layout make_layout(const Architecture& architecture) {
    Layout layout;
    layout.positions = architecture.max_positions;
    layout.pad_id = architecture.pad_id;
    if (architecture.scale_embedding) layout.embedding_scale = std::sqrt(static_cast<double>(architecture.d_model));
    layout.scale_within_lookup = architecture.positions != Positions::marian;
    Builder builder(layout, architecture);
    builder.tables();
    builder.stack("encoder", architecture.encoder_layers, architecture.encoder_heads, architecture.encoder_ffn, false);
    for (Site& site : layout.sites) site.of_source = true;
    builder.stack("decoder", architecture.decoder_layers, architecture.decoder_heads, architecture.decoder_ffn, true);
    for (Site& site : layout.sites)
        for (const char* memory : {".cross_attn.k", ".cross_attn.v", ".cross_attn.memory"})
            site.of_source = site.of_source || site.name.ends_with(memory);
    return layout;
}

}  // namespace permille
