// The budget solver: from a share of the base's parameters to a method's size knob, by exact counting on config.json alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/spec.h"

namespace permille {

struct BudgetAnswer {
    std::string method;
    std::optional<double> requested;    // percent of the base; empty: the size was given
    std::optional<double> min_percent, max_percent;  // reachable by this method on this base
    std::optional<Json> solved;         // all knobs, the solved one included; empty when out of reach
    std::int64_t trainable = 0, stored = 0, added = 0;
    double percent_base = 0;            // 100 trainable / P_base
    double percent_total = 0;           // 100 trainable / (P_base + added), as Hugging Face PEFT prints it
    std::int64_t peak_memory_bytes = 0; // estimate for training, on the CPU in float32 with the given settings
    double seconds_per_1000_updates = 0;  // estimate from this machine's own measured matrix rate
    std::string reason;                 // why nothing was solved
    Json to_json() const;
};

// The nearest reachable size to the budget; out of the reachable range nothing is solved and the reason names the range. Without a budget the
// settings are taken as they are. Methods without a size knob ignore the budget when it is not given and otherwise are refused unless it is met.
BudgetAnswer solve_budget(const std::string& model, const std::string& method, const Json& settings, std::optional<double> percent,
                          const TrainingSettings& training = {}, const DeviceSettings& device = {});

}  // namespace permille
