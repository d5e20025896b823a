// Which projections a method goes to, in words: presets (qv, attention, ffn, all), or the ends of site names.
#pragma once

#include <string>
#include <vector>

#include "core/peft/method.h"

namespace permille {

// A word names a projection (q, k, v, out, fc1, fc2) or a block (self_attn, cross_attn, ffn), with as much of the path before it as is
// needed: "cross_attn", "self_attn.q", "decoder.2.ffn.fc1"; '*' is any one part: "encoder.*.self_attn.v". Several are joined by commas. A
// method's settings derive from it and list its fields with add_targets.
struct Targets : Scope {
    std::string targets = "qv";
    // Sites of projections in the layout's order; the word "embeddings", where the method serves it, adds those of token embeddings.
    // Throws Error(config) naming a word that matches nothing, or when nothing is left of the stacks and layers.
    std::vector<int> sites(const Layout& layout, const std::string& method, bool with_embeddings = false) const;
};

template <class Config>
Fields<Config> add_targets(Fields<Config> fields, const std::string& more = {}) {
    fields.add(
        "targets", static_cast<std::string Config::*>(&Targets::targets),
        "which projections: qv, attention, ffn, all" + more + ", or names joined by commas: q, self_attn.k, cross_attn, encoder.*.ffn.fc1");
    return add_scope(std::move(fields));
}

// Whether the rows at a site are the source's tokens: in the encoder, and at the keys and values of cross-attention.
bool reads_source(const Site& site);

// Hugging Face's path of what is at a site, "model.encoder.layers.3.fc1" or "model.encoder.embed_tokens".
std::string peft_module(const Layout& layout, const Site& site);
// The tensors of PEFT's files begin with it: "base_model.model.model.encoder.layers.3.fc1.".
std::string peft_stem(const Layout& layout, const Site& site);
Json peft_modules(const Layout& layout, const std::vector<int>& sites);

// Which of the paths the modules of adapter_config.json match: a list of paths and their ends, a regular expression, or "all-linear" (all).
// Throws Error(unsupported) naming what matches none.
std::vector<std::size_t> peft_matches(const Json& modules, const std::vector<std::string>& paths);
// The words for what PEFT's target_modules match. Throws Error(unsupported) naming what is no projection here (or token embedding, where
// the method serves it).
std::string targets_of_peft(const Layout& layout, const Json& config, bool with_embeddings = false);

bool is_peft_type(const Json& config, const std::string& type);
// Fields outside of those that the method reads, and of those that change nothing, must be empty: throws Error(unsupported) naming the
// first that is not.
void refuse_other_fields(const Json& config, const std::vector<std::string>& served);

}  // namespace permille
