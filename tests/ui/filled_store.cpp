#include "tests/ui/filled_store.h"

#include <cmath>

namespace permille::test {

namespace {

constexpr double kBaseParameters = 8'405'504;

const Hypothesis kSentences[] = {{"Il file non può essere aperto.", "The file cannot be opened.", "The file can not be opened.", -3.2},
                                 {"Fare clic sull'icona per chiudere la finestra.", "Click the icon to close the window.",
                                  "Click on the icon to close the window.", -4.1},
                                 {"Seleziona il colore di sfondo.", "Select the background colour.", "Select the background color.", -2.7}};

// More parameters help, with less and less effect; the third decimal place of the seed makes repetitions differ.
double made_up_score(const RunSpec& spec, double percent) {
    const bool near = spec.corpus == "it-en";
    const double untouched = near ? 6.4 : 2.3, full = near ? 24.8 : 13.9;
    if (spec.method == "none") return untouched;
    const double reach = percent > 99 ? 1.0 : 0.35 + 0.17 * std::log10(percent / 0.05) + (spec.method == "lora" ? 0.04 : 0.0);
    return untouched + (full - untouched) * std::min(1.0, reach) + 0.5 * std::sin(static_cast<double>(spec.seed) * 2.1 + percent);
}

double made_up_percent(const RunSpec& spec) {
    if (spec.budget_percent) return *spec.budget_percent * 0.994;
    if (spec.method == "full") return 100;
    return spec.method == "bitfit" ? 0.372 : 0.11;
}

}  // namespace

Study sample_study(const FillOptions& options) {
    Study study;
    study.name = options.study;
    study.bases = {"permille-small"};
    study.pairs = {{"it-en"}, {"tr-en"}};
    for (const char* id : {"bitfit", "bottleneck", "full", "lora"}) study.methods.push_back({id});
    study.budgets = {0.5, 2, 8};
    study.data_sizes = {20000};
    study.seeds = options.seeds;
    study.training.updates = 300;
    return study;
}

std::int64_t add_finished_run(Store& store, const RunSpec& spec, double percent, double score) {
    const auto id = store.add_run(spec);
    const Claim claim = store.claim(id).value();
    RunFacts facts;
    facts.percent_base = spec.method == "none" ? 0 : percent;
    facts.trainable = static_cast<std::int64_t>(kBaseParameters * facts.percent_base / 100);
    facts.train_sentences = spec.method == "none" ? 0 : spec.train_sentences;
    facts.device = "cpu, 2 threads, float32";
    if (spec.method == "lora") facts.settings = {{"rank", 8}, {"alpha", 16}};
    store.describe_run(claim, facts);
    std::vector<StepMetric> metrics;
    if (spec.method != "none") {
        for (std::int64_t step = 5; step <= spec.training.updates; step += 5) {
            const double fall = std::exp(-static_cast<double>(step) / 90);
            metrics.push_back({step, StepFigure::train_loss, 2.9 + 1.9 * fall + 0.06 * std::sin(static_cast<double>(step) * 1.7)});
            if (step % 50 != 0) continue;
            metrics.push_back({step, StepFigure::valid_loss, 2.95 + 1.7 * fall});
            metrics.push_back({step, StepFigure::valid_bleu, score * (1 - 0.6 * fall)});
        }
        store.add_step_metrics(claim, metrics);
    }
    Evaluation evaluation;
    evaluation.seconds = 4.2;
    evaluation.scores = {{"bleu", "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0", score, score - 1.1, score + 1.2}};
    store.add_evaluation(claim, evaluation, {std::begin(kSentences), std::end(kSentences)});
    RunOutcome outcome;
    outcome.updates_done = spec.method == "none" ? 0 : spec.training.updates;
    outcome.best_step = outcome.updates_done;
    outcome.seconds = spec.method == "none" ? 5 : 38 + percent;
    outcome.peak_memory_bytes = 612'000'000;
    store.end_run(claim, outcome);
    return id;
}

void fill_store(const std::filesystem::path& file, const FillOptions& options) {
    Store store(file);
    const auto corpus = [&](const char* name, const char* source, std::int64_t sentences) {
        CorpusRow row;
        row.name = name;
        row.source_language = source;
        row.target_language = "en";
        row.path = std::string("/nowhere/") + name;
        row.fingerprint = std::string("fingerprint of ") + name;
        row.train_sentences = sentences;
        row.valid_sentences = 1000;
        row.test_sentences = 1000;
        store.put_corpus(row);
    };
    corpus("it-en", "it", 84213);
    corpus("tr-en", "tr", 61877);
    corpus("de-en", "de", 120400);

    const Study study = sample_study(options);
    store.find_or_add_study(study.name, study_to_yaml(study));
    auto specs = expand(study, [](const std::string& name) { return std::pair(name.substr(0, 2), std::string("en")); });
    const std::size_t open = options.unfinished ? 6 : 0;
    for (std::size_t i = 0; i + open < specs.size(); ++i) {
        const double percent = made_up_percent(specs[i]);
        add_finished_run(store, specs[i], percent, made_up_score(specs[i], percent));
    }
    for (std::size_t left = std::min(open, specs.size()); left > 0; --left) {
        const RunSpec& spec = specs[specs.size() - left];
        const auto id = store.add_run(spec);
        RunOutcome outcome;
        outcome.updates_done = 120;
        outcome.seconds = 15;
        if (left == 6) {
            const Claim claim = store.claim(id).value();
            outcome.state = RunState::failed;
            outcome.reason = "the loss is not a number at update 120; lower the learning rate";
            store.end_run(claim, outcome);
        } else if (left == 5) {
            const Claim claim = store.claim(id).value();
            outcome.state = RunState::interrupted;
            store.end_run(claim, outcome);
        } else if (left == 4) {
            const Claim claim = store.claim(id).value();
            RunFacts facts;
            facts.percent_base = made_up_percent(spec);
            facts.trainable = static_cast<std::int64_t>(kBaseParameters * facts.percent_base / 100);
            facts.train_sentences = 20000;
            store.describe_run(claim, facts);
            store.add_step_metrics(
                claim, {{5, StepFigure::train_loss, 4.7}, {10, StepFigure::train_loss, 4.4}, {15, StepFigure::train_loss, 4.1}});
            store.heartbeat(claim, {"training", 120, 300, 24}, 120);
        }
    }
}

}  // namespace permille::test
