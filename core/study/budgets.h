// The budget solver: from a share of the base's parameters, a count of them or a file size to a method's size knob, by exact counting on
// config.json alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/spec.h"

namespace permille {

struct Layout;

struct BudgetAnswer {
    std::string method;
    std::optional<Budget> budget;  // as it was asked; empty: the size was given
    // The same as percent of the base: of a file size that of the size solved, or out of reach one that is as far out of reach.
    std::optional<double> requested;
    std::optional<double> min_percent, max_percent;  // reachable by this method on this base
    std::optional<Json> solved;                      // all knobs, the solved one included; empty when out of reach
    std::string size_knob;                           // the knob that was solved; "" when the size is fixed
    std::int64_t trainable = 0;
    std::int64_t stored = 0;              // scalars of the adapter file
    std::int64_t file_bytes = 0;          // of adapter_model.safetensors
    std::int64_t train_only = 0;          // of the trainable ones, those that the file does not keep
    std::int64_t added = 0;               // of the trainable ones, those that the base does not have
    std::int64_t pruned = 0;              // weights of the base that training sets to zero, in none of the other numbers
    double percent_base = 0;              // 100 trainable / P_base
    double percent_total = 0;             // 100 trainable / (P_base + added), as Hugging Face PEFT prints it
    double percent_stored = 0;            // 100 stored / P_base
    std::int64_t peak_memory_bytes = 0;   // estimate for training on the CPU with the given settings (core/train/costs.h)
    double seconds_per_1000_updates = 0;  // the same of training proper, on this machine when it does nothing else
    std::string reason;                   // why nothing was solved
    Json to_json() const;
};

// The nearest reachable size to the budget, or with at_most the largest that does not exceed it; out of the reachable range nothing is
// solved and the reason names the range. Without a budget the settings are taken as they are. Methods without a size knob meet a budget
// that is within a tenth of their size.
BudgetAnswer solve_budget(const std::string& model, const std::string& method, const Json& settings, const std::optional<Budget>& budget,
                          const TrainingSettings& training = {}, const DeviceSettings& device = {});
// The same without estimates of memory and time: quick, no tensor work.
BudgetAnswer solve_size(const std::string& model, const std::string& method, const Json& settings, const std::optional<Budget>& budget);
// Of an open base.
BudgetAnswer solve_size(const Layout& layout, const std::string& method, const Json& settings, const std::optional<Budget>& budget);

// The budget as percent of the base, as BudgetAnswer::requested; a percentage needs no model. Without estimates: quick, no tensor work.
double budget_percent(const Budget& budget, const std::string& model, const std::string& method, const Json& settings);

// What one process needs at its peak on the CPU, in bytes: estimates of core/train/costs.h.
struct MemoryNeeds {
    std::string dtype;               // of the matrix work
    std::int64_t weights_bytes = 0;  // of the base; mapped from the file when it holds this type, and then shared between processes
    std::int64_t inference_bytes = 0;
    std::int64_t beam_size = 0, decoding_tokens = 0, training_tokens = 0;  // of a batch, as the settings say
    std::vector<std::pair<std::string, std::int64_t>> training_bytes;      // by method, with its default settings
    Json to_json() const;
};

// Works on a folder that holds only config.json.
MemoryNeeds memory_needs(const std::string& model, const TrainingSettings& training = {}, const DecodingSettings& decoding = {},
                         const DeviceSettings& device = {});

}  // namespace permille
