// A study: the grid of bases x pairs x methods x budgets x data sizes x seeds, as plain values that the window edits and a YAML file keeps.
//
//     study: first-look
//     bases: [permille-small]           # names, folders or hub names
//     pairs:
//       - it-en                         # a corpus; its languages are those it was imported with
//       - {corpus: news, source: de, target: en}
//     methods:
//       - full
//       - bottleneck: {activation: relu, learning_rate: 1e-3, budgets: [2%], training: {updates: 500}}
//     budgets: [0.5%, 5‰, 300k, at most 2MB]  # see core/base/budget.h; for every method whose size can be chosen
//     data_sizes: [20000, all]          # training sentences
//     seeds: [1, 2]
//     include_untouched: true           # one evaluation of the untouched base per base and pair
//     training: {updates: 1000, tune_lr: 5}   # fields of TrainingSettings; likewise decoding, evaluation, device
//     jobs: 1                           # runs at a time
//     executor: local                   # or slurm: see permille run --help
//
// All functions throw Error(config); from a file its where is "FILE:LINE:COLUMN" of the mistake.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/spec.h"

namespace permille {

struct StudyPair {
    std::string corpus;
    // Both empty: as the corpus was imported, else as its name says ("it-en").
    std::string source_language = {}, target_language = {};
    bool operator==(const StudyPair&) const = default;
};

struct StudyMethod {
    std::string id;
    Json settings = Json::object();    // knobs of the method; with the size knob among them no budget applies
    std::vector<Budget> budgets = {};  // empty: those of the study
    Json training = Json::object();    // fields of TrainingSettings that differ for this method, such as learning_rate
    bool operator==(const StudyMethod&) const = default;
};

struct Study {
    std::string name;
    std::vector<std::string> bases;
    std::vector<StudyPair> pairs;
    std::vector<StudyMethod> methods;
    std::vector<Budget> budgets;
    std::vector<std::int64_t> data_sizes = {0};  // sentences; 0: all
    std::vector<std::int64_t> seeds = {1};
    bool include_untouched = true;
    TrainingSettings training;
    DecodingSettings decoding;
    EvaluationSettings evaluation;
    DeviceSettings device;
    std::int64_t jobs = 1;
    std::string executor = "local";  // where its runs are done: an id of core/run/executors
};

bool operator==(const Study& a, const Study& b);

// `where` names the text in messages (a file name).
Study parse_study(const std::string& yaml, const std::string& where);
Study read_study(const std::filesystem::path& file);

// parse_study(study_to_yaml(s)) == s. Settings that have their default value are left out.
std::string study_to_yaml(const Study& study);
void write_study(const std::filesystem::path& file, const Study& study);

// What parse_study checks, for a study that was put together by hand; where is the field ("methods/2/rank").
void validate_study(const Study& study);

// Source and target language of a named corpus, both empty when it is not known.
using CorpusLanguages = std::function<std::pair<std::string, std::string>(const std::string& corpus)>;

// A budget that is no percentage as percent of the base: core/study/budgets.h's budget_percent().
using BudgetShare = std::function<double(const Budget& budget, const std::string& base, const std::string& method, const Json& settings)>;

// The runs, without duplicates, in the order in which they should be done: per base and pair first the untouched base, then the methods by
// data size, seed and budget, and full fine-tuning, which costs most, last. Methods of fixed size appear once, whatever the budgets. With
// budgets that are counts or file sizes the bases' config.json is read, unless a function is given.
std::vector<RunSpec> expand(const Study& study, const CorpusLanguages& languages = {}, const BudgetShare& share = {});

}  // namespace permille
