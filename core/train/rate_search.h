// The same small search of the learning rate for every method, so that none loses a comparison by a badly chosen one.
#pragma once

#include <filesystem>
#include <stop_token>
#include <vector>

#include "core/train/trainer.h"

namespace permille {

struct RateTrial {
    double learning_rate = 0;
    std::optional<double> valid_loss;  // nats per target token; empty: it diverged
};

struct RateSearch {
    double learning_rate = 0;  // of the best trial; 0: stopped before the end
    std::vector<RateTrial> trials;
    Json to_json() const;  // an array of {learning_rate, valid_loss}
};

// `count` rates half a decade (a factor of sqrt 10) apart, `middle` among them, the others rounded to two digits.
std::vector<double> rates_around(double middle, std::int64_t count);

// Trains settings.tune_lr_updates updates at each of settings.tune_lr rates around `middle`, each time from the same start with the same
// seed, batches and dropout masks and the run's schedule in proportion, and takes the rate of the lowest validation loss. `start` attaches
// the method anew. Every trial is written to `record` (JSON) when it is done; those found there for the same question are not done again.
// Throws Error(config) without validation text, Error(not_a_number) when every rate diverges.
RateSearch search_rate(const Seq2Seq& base, const std::function<Attached()>& start, const std::vector<TokenPair>& train,
                       const std::vector<TokenPair>& valid, const TrainingSettings& settings, double middle, std::uint64_t seed,
                       const std::filesystem::path& record, const TrainerHooks& hooks, const std::stop_token& stop);

}  // namespace permille
