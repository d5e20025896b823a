// What LoRA and DoRA share: their settings, and PEFT's file format of both.
#pragma once

#include <vector>

#include "core/peft/targets.h"

namespace permille {

struct LowRank : Targets {
    std::int64_t rank = 8;
    double alpha = 0;
    double dropout = 0;
    bool rank_stabilised = false;
    std::string initialisation = "kaiming";

    // alpha / rank, or alpha / sqrt(rank) (rsLoRA: Kalajdzievski 2023, arXiv 2312.03732).
    double scale() const;
    // Of A [r, in]; B starts at zero.
    Init start(std::int64_t in) const;
};

template <class Config>
Fields<Config> add_low_rank(Fields<Config> fields, const std::string& more_targets = {}) {
    fields.add("rank", static_cast<std::int64_t Config::*>(&LowRank::rank), "rank of the update", {.min = 1, .max = 65536})
        .add("alpha", static_cast<double Config::*>(&LowRank::alpha), "scale of the update is alpha / rank; 0: alpha = rank", {.min = 0})
        .add("dropout", static_cast<double Config::*>(&LowRank::dropout), "dropout on the input of the update", {.min = 0, .max = 0.9});
    return add_targets(std::move(fields), more_targets)
        .add("rank_stabilised", static_cast<bool Config::*>(&LowRank::rank_stabilised), "scale by alpha / sqrt(rank) (rsLoRA)")
        .add("initialisation", static_cast<std::string Config::*>(&LowRank::initialisation),
             "start of A: Kaiming-uniform, or normal with deviation 1 / rank; B starts at zero", {.choices = {"kaiming", "gaussian"}});
}

// Half of the largest rank that an update at one of the sites can have.
std::int64_t largest_rank(const Layout& layout, const std::vector<int>& sites);

// adapter_config.json of PEFT's LORA; dora: with use_dora.
Json lora_peft_config(const Layout& layout, const std::vector<int>& sites, const LowRank& chosen, bool dora);
// The settings, or null when the file is of another type, or of LoRA where DoRA is asked for and the reverse. Throws Error(unsupported).
Json lora_from_peft(const Layout& layout, const Json& config, bool dora);

}  // namespace permille
