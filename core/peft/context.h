// Context-PEFT (Hadji-Kyriacou & Arandjelovic 2023, arXiv 2312.08900): several small adapters at the same place, one for each kind of
// token, of which a token meets those of the kinds that it is of. There the kinds are modalities; in translation they are ours to choose:
// source text, target text, and domains of token ids, such as language tags and special tokens. Tokens are told apart by their ids alone,
// so that a search that sees one token at a time agrees with training.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>

#include "core/nn/parts.h"
#include "core/peft/targets.h"

namespace permille {

struct Contexts : Targets {
    std::string domains = "tags=0-3";

    struct Domain {
        std::string name;
        std::vector<std::pair<std::int64_t, std::int64_t>> ranges;  // of ids, both ends within
    };
    // Throws Error(config) for what cannot be read.
    std::vector<Domain> parsed(const std::string& method) const;
    // What each group of tokens that reaches a site is called in tensor names: "source" or "target", then the domains.
    std::vector<std::string> groups(const Site& site, const std::string& method) const;
};

template <class Config>
Fields<Config> add_contexts(Fields<Config> fields) {
    fields.add("domains", static_cast<std::string Config::*>(&Contexts::domains),
               "token ids with adapters of their own, not those of their text: 'tags=0-3,128004-128103; names=57'; '' for none");
    return add_targets(std::move(fields));
}

// The groups of the tokens at one projection. Keys and values of cross-attention read the source, all else in the decoder the target.
class Membership {
public:
    Membership(const Site& site, std::vector<Contexts::Domain> domains);
    // [N, G] of zeros and ones in the type given: row n is of the text, then of each domain. Virtual tokens are of none.
    at::Tensor operator()(const Forward& forward, at::ScalarType type) const;

private:
    bool source_;
    std::vector<Contexts::Domain> domains_;
};

}  // namespace permille
