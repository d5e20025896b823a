// The work behind one run: open, attach, train, save, translate, score. Shared by `permille train` and the study runner; sees torch.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "core/data/batches.h"
#include "core/data/clean.h"
#include "core/jobs/session.h"
#include "core/peft/attach.h"
#include "core/train/trainer.h"

namespace permille {

// Rows as token pairs; texts longer than the model reads are cut, its special tokens kept.
std::vector<TokenPair> tokenise(const Tokenizer& tokenizer, const std::vector<Row>& rows, const std::string& source,
                                const std::string& target);

struct TunedMethod {
    Json settings;             // complete, size knob solved
    double learning_rate = 0;  // the method's default unless the training settings say otherwise
};
// Throws Error(config) with the reachable range when the budget is out of reach.
TunedMethod tune_method(const std::string& model, const std::string& method, const Json& settings, std::optional<double> budget_percent,
                        const TrainingSettings& training);

// Validation BLEU (or chrF) of the current values: greedy search on the validation rows.
std::function<std::optional<double>()> validation_bleu(const OpenModel& model, const Attached& attached, const std::vector<Row>& rows,
                                                       const std::string& source, const std::string& target, std::stop_token stop);

// This process's peak of resident memory in bytes; reset_peak_memory() starts it anew where the system allows.
std::int64_t peak_memory();
void reset_peak_memory();

// "0.1.0" and the libraries' versions.
Json program_versions();
std::string describe_device(const OpenModel& model);

}  // namespace permille
