#include "core/store/store.h"

#include <cmath>
#include <limits>
#include <thread>

#include "tests/support/runs.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

TEST_CASE("bases and corpora are kept under their names", "[store]") {
    TemporaryFolder folder;
    Store store(folder / "p.db");
    store.put_base({"small", "/models/small", "m2m_100", "abc", 8400000, {"en", "it"}});
    store.put_base({"small", "/models/small2", "m2m_100", "abd", 8400001, {"en"}});
    REQUIRE(store.bases().size() == 1);
    const auto base = store.base("small");
    REQUIRE(base);
    REQUIRE(base->path == "/models/small2");
    REQUIRE(base->parameters == 8400001);
    REQUIRE(base->languages == std::vector<std::string>{"en"});
    REQUIRE(base->added > 1.6e9);
    REQUIRE_FALSE(store.base("large"));

    CorpusRow corpus{"it-en", "it", "en", "/corpora/it-en", "f00", 20000, 1000, 1000, "CC-BY"};
    corpus.details = Json{{"dropped", {{"too long", 12}}}};
    store.put_corpus(corpus);
    const auto kept = store.corpus("it-en");
    REQUIRE(kept);
    REQUIRE(kept->train_sentences == 20000);
    REQUIRE(kept->details == corpus.details);
    REQUIRE(kept->licence == "CC-BY");
    REQUIRE(store.corpora().size() == 1);
}

TEST_CASE("a study is remembered once, its text replaced by a newer one", "[store]") {
    TemporaryFolder folder;
    Store store(folder / "p.db");
    const auto id = store.find_or_add_study("s", "study: s\n");
    REQUIRE(store.find_or_add_study("s") == id);
    REQUIRE(store.studies().front().yaml == "study: s\n");
    REQUIRE(store.find_or_add_study("s", "study: s # again\n") == id);
    REQUIRE(store.studies().front().yaml == "study: s # again\n");
    REQUIRE(store.find_or_add_study("other") != id);
    REQUIRE(store.studies().size() == 2);
}

TEST_CASE("step metrics come back by step, not-a-number and infinity among them", "[store]") {
    TemporaryFolder folder;
    Store store(folder / "p.db");
    const Claim run = claimed(store, some_run());
    const double nan = std::numeric_limits<double>::quiet_NaN(), infinite = std::numeric_limits<double>::infinity();
    store.add_step_metrics(run, {{10, StepFigure::train_loss, 5.25},
                                 {20, StepFigure::train_loss, nan},
                                 {30, StepFigure::train_loss, infinite},
                                 {20, StepFigure::valid_loss, 4.5}});
    store.add_step_metrics(run, {{10, StepFigure::train_loss, 5.5}});
    auto all = store.step_metrics(run.run);
    REQUIRE(all.size() == 4);
    REQUIRE(all[0].value == 5.5);
    REQUIRE(std::isnan(all[1].value));
    REQUIRE(all[2].figure == StepFigure::valid_loss);
    REQUIRE(all[3].value == infinite);
    REQUIRE(store.step_metrics(run.run, StepFigure::train_loss, 10).size() == 2);
    store.drop_step_metrics(run, 10);
    REQUIRE(store.step_metrics(run.run).size() == 1);
}

TEST_CASE("step metrics of a run that does not exist are refused", "[store]") {
    TemporaryFolder folder;
    Store store(folder / "p.db");
    REQUIRE_THROWS_AS(store.add_step_metrics({77, 1}, {{1, StepFigure::train_loss, 1}}), ClaimLost);
}

TEST_CASE("an evaluation keeps every hypothesis, and its test set once", "[store]") {
    TemporaryFolder folder;
    Store store(folder / "p.db");
    const Claim first_claim = claimed(store, some_run()), second_claim = claimed(store, some_run("bitfit"));
    const std::int64_t first = first_claim.run, second = second_claim.run;
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const std::vector<Hypothesis> translations = {{"Ciao.", "Hello.", "Hello.", -1.5}, {"È \"così\".", "It is so.", "これは\tテスト", nan}};
    Evaluation evaluation;
    evaluation.seconds = 2.5;
    evaluation.scores = {{"bleu", "nrefs:1|case:mixed", 20.4375, 18.5, 22.25, {{1, 2, 3}, {4, 5, 6}}}, {"chrf", "nrefs:1", nan}};
    const auto id = store.add_evaluation(first_claim, evaluation, translations);

    const auto kept = store.evaluations(first);
    REQUIRE(kept.size() == 1);
    REQUIRE(kept[0].id == id);
    REQUIRE(kept[0].split == "test");
    REQUIRE(kept[0].sentences == 2);
    REQUIRE(kept[0].seconds == 2.5);
    REQUIRE(kept[0].scores.size() == 2);
    REQUIRE(kept[0].scores[0].score == 20.4375);
    REQUIRE(kept[0].scores[0].low == 18.5);
    REQUIRE(kept[0].scores[0].high == 22.25);
    REQUIRE(std::isnan(kept[0].scores[1].score));
    REQUIRE_FALSE(kept[0].scores[1].low);
    REQUIRE(store.sentence_statistics(id, "bleu") == std::vector<std::vector<double>>{{1, 2, 3}, {4, 5, 6}});
    REQUIRE(store.sentence_statistics(id, "ter").empty());

    const auto texts = store.hypotheses(id);
    REQUIRE(texts.size() == 2);
    REQUIRE(texts[1].source == "È \"così\".");
    REQUIRE(texts[1].reference == "It is so.");
    REQUIRE(texts[1].text == "これは\tテスト");
    REQUIRE(texts[0].log_probability == -1.5);
    REQUIRE(std::isnan(texts[1].log_probability));

    SECTION("the run has its main score") {
        const auto run = store.run(first);
        REQUIRE(run.score);
        REQUIRE(run.score->metric == "bleu");
        REQUIRE(run.score->score == 20.4375);
        REQUIRE(run.score->high == 22.25);
        REQUIRE_FALSE(store.run(second).score);
    }
    SECTION("another run on the same test set can be compared") {
        store.add_evaluation(second_claim, {}, translations);
        REQUIRE(store.evaluations(second)[0].test_set == kept[0].test_set);
        auto shorter = translations;
        shorter.pop_back();
        Evaluation valid;
        valid.split = "valid";
        store.add_evaluation(second_claim, valid, shorter);
        REQUIRE(store.evaluations(second)[1].test_set != kept[0].test_set);
        REQUIRE(store.hypotheses(store.evaluations(second)[1].id).size() == 1);
    }
    SECTION("a metric computed later is added, the main one stays") {
        store.put_score(id, {"ter", "nrefs:1", 55.5});
        store.put_score(id, {"chrf", "nrefs:1", 40.25});
        const auto scores = store.evaluations(first)[0].scores;
        REQUIRE(scores.size() == 3);
        REQUIRE(scores[1].score == 40.25);
        REQUIRE(scores[2].metric == "ter");
        REQUIRE(store.run(first).score->metric == "bleu");
        const auto runs_by = [&](const std::string& metric) {
            RunFilter filter;
            filter.metric = metric;
            return store.runs(filter);
        };
        const auto main = runs_by(""), by_ter = runs_by("ter"), by_none = runs_by("chrf++");
        REQUIRE(main.size() == 2);
        REQUIRE(main[0].score->metric == "bleu");
        REQUIRE(by_ter.size() == 2);  // the runs without it too
        REQUIRE(by_ter[0].score->metric == "ter");
        REQUIRE(by_ter[0].score->score == 55.5);
        REQUIRE_FALSE(by_ter[1].score);
        REQUIRE(by_none.size() == 2);
        REQUIRE_FALSE(by_none[0].score);
    }
    SECTION("evaluated again, the earlier one is replaced") {
        evaluation.scores = {{"bleu", "nrefs:1", 21}};
        const auto again = store.add_evaluation(first_claim, evaluation, translations);
        REQUIRE(store.evaluations(first).size() == 1);
        REQUIRE(store.run(first).score->score == 21);
        REQUIRE(store.hypotheses(again).size() == 2);
    }
    SECTION("of a run that does not exist: nothing is kept") {
        REQUIRE_THROWS_AS(store.add_evaluation({99, 1}, evaluation, {{"a", "b", "c", 0}}), ClaimLost);
        REQUIRE(store.evaluations(99).empty());
    }
}

TEST_CASE("artifacts are kept per run", "[store]") {
    TemporaryFolder folder;
    Store store(folder / "p.db");
    const Claim run = claimed(store, some_run());
    store.put_artifact(run, {"adapter", "/runs/1/adapter", "aa", 10});
    store.put_artifact(run, {"adapter", "/runs/1/adapter", "bb", 11});
    store.put_artifact(run, {"log", "/runs/1/log.txt"});
    const auto kept = store.artifacts(run.run);
    REQUIRE(kept.size() == 2);
    REQUIRE(kept[0].sha256 == "bb");
    REQUIRE(kept[0].bytes == 11);
}

TEST_CASE("two connections see each other's changes, and data_version tells of them", "[store]") {
    TemporaryFolder folder;
    Store one(folder / "p.db"), two(folder / "p.db");
    const auto before = one.data_version();
    REQUIRE(one.data_version() == before);
    const auto run = two.add_run(some_run());
    REQUIRE(one.data_version() != before);
    REQUIRE(one.run(run).spec.method == "lora");
}

TEST_CASE("threads that make and fill the same new database do not disturb each other", "[store]") {
    TemporaryFolder folder;
    const auto file = folder / "p.db";
    std::vector<std::string> failures(4);
    {
        std::vector<std::jthread> threads;
        for (std::size_t t = 0; t < failures.size(); ++t)
            threads.emplace_back([&, t] {
                try {
                    Store store(file);
                    RunSpec spec = some_run();
                    spec.seed = static_cast<std::int64_t>(t);
                    const Claim run = claimed(store, spec);
                    for (int step = 0; step < 20; ++step)
                        store.add_step_metrics(run, {{step, StepFigure::train_loss, 1.0 * step}, {step, StepFigure::learning_rate, 1e-3}});
                } catch (const std::exception& error) {
                    failures[t] = error.what();
                }
            });
    }
    REQUIRE(failures == std::vector<std::string>(4));
    Store store(file);
    REQUIRE(store.runs().size() == 4);
    for (const auto& run : store.runs()) REQUIRE(store.step_metrics(run.id).size() == 40);
}
