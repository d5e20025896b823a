// A run that is ready to start: everything that its spec names is found, opened and solved. What `permille train`, a study's run and
// pretraining have in common begins here. Sees torch.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "core/base/events.h"
#include "core/base/spec.h"
#include "core/data/clean.h"
#include "core/peft/method.h"
#include "core/run/open_model.h"
#include "core/run/texts.h"
#include "core/store/store.h"

namespace permille {

struct RunPlan {
    OpenModel model;                           // of a pretraining without folder and fingerprint
    std::shared_ptr<const BaseModel> teacher;  // to distil from; null: none
    const Method* method = nullptr;
    Json settings;             // of the method, complete, the size knob solved
    double learning_rate = 0;  // the method's default unless the training settings say otherwise
    std::string source, target;
    std::shared_ptr<const TokenText> train, valid;
    std::vector<Row> valid_rows;
    EpochSampler sampler;  // what an epoch is made of; empty: every training pair once
    TrainingSettings training;
    std::uint64_t seed = 1;

    const Seq2Seq& network() const { return *model.base->network; }
};

// The method's settings and learning rate on this base. Throws Error(config) with the reachable range when the budget is out of reach.
void solve_method(RunPlan& plan, const std::string& method, const Json& settings, const std::optional<Budget>& budget);

// Throws Error(config) when the teacher's tokenizer cuts the validation rows into other ids than the base's, or has another vocabulary.
void check_teacher(const RunPlan& plan, const OpenModel& teacher, const std::stop_token& stop);

// What the database is told of a run that trains at this rate, or (without a method) only translates. The rate search's trials, or null.
RunFacts facts_of(const OpenModel& model, const std::string& corpus_fingerprint, const std::string& folder);
void add_method_facts(RunFacts& facts, const RunPlan& plan, const Json& settings, std::int64_t trainable, double learning_rate,
                      const Json& rate_search);

// "0.1.0" and the libraries' versions.
Json program_versions();
// "cpu, 2 threads, float32"
std::string describe_device(const OpenModel& model);

}  // namespace permille
