// One run from its spec to an adapter and an evaluation; and a single training outside a study. Torch-free face.
#pragma once

#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "core/base/events.h"
#include "core/base/spec.h"

namespace permille {

// `permille train`: texts may be named corpora of the database or files.
struct TrainRequest {
    std::string base;
    std::string method;
    Json method_settings = Json::object();
    std::optional<Budget> budget;
    std::filesystem::path train_texts, valid_texts;  // TSV files (source, target) or corpus folders
    std::string source_language, target_language;
    std::int64_t train_sentences = 0;
    std::int64_t seed = 1;
    TrainingSettings training;
    DeviceSettings device;
    std::filesystem::path output;  // the adapter folder; a resumable checkpoint lies beside it until the end
    bool resume = false;
};

struct TrainReport {
    Json settings;  // solved knobs
    std::int64_t trainable = 0;
    double percent_base = 0;
    std::int64_t pruned = 0;  // weights of the base that were set to zero
    std::int64_t updates = 0, best_step = 0;
    double best_valid_loss = 0;
    std::optional<double> best_valid_bleu;
    double seconds = 0, tokens_per_second = 0;
    std::int64_t peak_memory_bytes = 0;
    bool stopped = false;  // by request; the checkpoint is kept and `resume` continues
    Json rate_search;      // what the search of the learning rate found, with its trials; null without one
    double learning_rate = 0;
    std::string adapter;
    Json to_json() const;
};

TrainReport train_adapter(const TrainRequest& request, const EventSink& sink, std::stop_token stop);

}  // namespace permille
