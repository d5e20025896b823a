#include "core/peft/low_rank.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"

namespace permille {

double LowRank::scale() const {
    const double numerator = alpha > 0 ? alpha : static_cast<double>(rank);
    return rank_stabilised ? numerator / std::sqrt(static_cast<double>(rank)) : numerator / static_cast<double>(rank);
}

Init LowRank::start(std::int64_t in) const {
    return initialisation == "gaussian" ? Init::normal(1.0 / static_cast<double>(rank)) : Init::kaiming(in);
}

std::int64_t largest_rank(const Layout& layout, const std::vector<int>& sites) {
    std::int64_t largest = 0;
    for (const int index : sites) {
        const Site& site = layout.sites[static_cast<std::size_t>(index)];
        largest = std::max(largest, std::min(site.in, site.out));
    }
    return std::max<std::int64_t>(1, largest / 2);
}

Json lora_peft_config(const Layout& layout, const std::vector<int>& sites, const LowRank& chosen, bool dora) {
    return Json{{"peft_type", "LORA"},
                {"r", chosen.rank},
                {"lora_alpha", chosen.alpha > 0 ? chosen.alpha : static_cast<double>(chosen.rank)},
                {"lora_dropout", chosen.dropout},
                {"use_rslora", chosen.rank_stabilised},
                {"use_dora", dora},
                {"bias", "none"},
                {"fan_in_fan_out", false},
                {"target_modules", peft_modules(layout, sites)}};
}

Json lora_from_peft(const Layout& layout, const Json& config, bool dora) {
    if (!is_peft_type(config, "LORA") || (config.value("use_dora", Json(false)) == true) != dora) return nullptr;
    refuse_other_fields(config, {"r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "init_lora_weights"});
    const Json start = config.value("init_lora_weights", Json(true));
    // The others change the base's weights, or make the adapter one of changed weights.
    if (!start.is_boolean() && start != "gaussian" && start != "orthogonal" && start != "eva")
        throw Error(ErrorKind::unsupported, "adapter_config.json/init_lora_weights", start.dump() + " goes with a base of its own",
                    "have PEFT convert the adapter to plain LoRA");
    return Json{{"rank", config.value("r", Json(8))},
                {"alpha", config.value("lora_alpha", Json(8))},
                {"dropout", config.value("lora_dropout", Json(0.0))},
                {"rank_stabilised", config.value("use_rslora", Json(false))},
                {"targets", targets_of_peft(layout, config, !dora)}};
}

}  // namespace permille
