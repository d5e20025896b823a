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
#include "core/data/split.h"
#include "core/peft/attach.h"
#include "core/run/open_model.h"
#include "core/train/trainer.h"

namespace permille {

// Rows as token pairs; texts longer than the model reads are cut, its special tokens kept.
std::vector<TokenPair> tokenise(const Tokenizer& tokenizer, const std::vector<Row>& rows, const std::string& source,
                                const std::string& target);

// The first `limit` rows (0: all) of a corpus folder's split, or of a TSV file. Throws Error(file) naming a line without a tab or a side.
std::vector<Row> read_rows(const std::filesystem::path& texts, Split split, const std::string& source, const std::string& target,
                           std::int64_t limit);

struct TunedMethod {
    Json settings;             // complete, size knob solved
    double learning_rate = 0;  // the method's default unless the training settings say otherwise
    Json rate_search;          // the trials when the rate was searched (core/train/rate_search.h), else null
};
// Throws Error(config) with the reachable range when the budget is out of reach.
TunedMethod tune_method(const std::string& model, const std::string& method, const Json& settings, const std::optional<Budget>& budget,
                        const TrainingSettings& training);

// Searches the learning rate around the tuned one when the training settings say so; returns false when stopped. The trials are kept in
// `folder`/rate_search.json, so that a run that is continued does not try again what it has tried.
bool search_learning_rate(TunedMethod& tuned, const Seq2Seq& base, const std::string& method, const std::vector<TokenPair>& train,
                          const std::vector<TokenPair>& valid, const TrainingSettings& training, std::uint64_t seed,
                          const std::filesystem::path& folder, const TrainerHooks& hooks, const std::stop_token& stop);

// The model to distil from, when the training settings name one; else null. Throws Error(config) when its tokenizer cuts these rows into
// other ids than the base's.
std::shared_ptr<const BaseModel> open_teacher(const TrainingSettings& training, const OpenModel& base, const std::vector<Row>& rows,
                                              const std::string& source, const std::string& target, const EventSink& sink,
                                              const std::stop_token& stop);

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
