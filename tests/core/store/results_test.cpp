#include "core/store/results.h"

#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

std::vector<RunRow> some_runs() {
    RunRow untouched;
    untouched.id = 1;
    untouched.spec.study = "first-look";
    untouched.spec.base = "permille-small";
    untouched.spec.corpus = "it-en";
    untouched.spec.source_language = "it";
    untouched.spec.target_language = "en";
    untouched.spec.method = "none";
    untouched.state = RunState::finished;
    untouched.facts.device = "cpu, 2 threads, float32";
    untouched.score = Score{"bleu", "nrefs:1", 4.125, 3.5, 4.75};
    untouched.started = 1764025500;
    untouched.finished = 1764025510.5;
    untouched.seconds = 10.5;
    untouched.peak_memory_bytes = 300 << 20;

    RunRow tuned = untouched;
    tuned.id = 2;
    tuned.spec.method = "lora";
    tuned.spec.budget_percent = 2;
    tuned.spec.train_sentences = 20000;
    tuned.facts.settings = Json{{"rank", 8}, {"targets", "all"}};
    tuned.facts.trainable = 168000;
    tuned.facts.percent_base = 2.0012;
    tuned.facts.train_sentences = 19876;
    tuned.score = Score{"bleu", "nrefs:1", 20.4375, 19, 22};
    tuned.seconds = 75;

    RunRow waiting;
    waiting.id = 3;
    waiting.spec = tuned.spec;
    waiting.spec.corpus = "tr-en";
    waiting.spec.source_language = "tr";
    waiting.spec.method_settings = Json{{"rank", 4}};
    waiting.spec.budget_percent.reset();
    waiting.state = RunState::running;
    waiting.progress = {"training", 10, 300, 95};
    return {untouched, tuned, waiting};
}

std::vector<std::int64_t> selected(const std::string& condition) {
    std::vector<std::int64_t> ids;
    for (const auto& run : Where(condition).select(some_runs())) ids.push_back(run.id);
    return ids;
}

using Ids = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("results as a table for people", "[store]") {
    REQUIRE(render(results_table(some_runs()), TableFormat::table) ==
            "run  base            pair   method  budget %  trainable  % of base  sentences  seed  status    metric  score   low  high      "
            "time   memory\n"
            "---  --------------  -----  ------  --------  ---------  ---------  ---------  ----  --------  ------  -----  ----  ----  "
            "--------  -------\n"
            "  1  permille-small  it-en  none                      0          0                1  finished  bleu      4.1   3.5   4.8      "
            "11 s  300 MiB\n"
            "  2  permille-small  it-en  lora        2.00     168000       2.00      19876     1  finished  bleu     20.4  19.0  22.0  1 m "
            "15 s  300 MiB\n"
            "  3  permille-small  tr-en  lora                                        20000     1  running\n");
}

TEST_CASE("results as JSON have the fields of the command line's contract", "[store]") {
    const Json runs = Json::parse(render(results_table(some_runs()), TableFormat::json));
    const std::vector<std::string> promised = {
        "run",     "study",  "base",   "pair",      "method", "settings", "budget", "trainable", "percent_base",      "train_sentences",
        "seed",    "status", "metric", "signature", "score",  "low",      "high",   "seconds",   "peak_memory_bytes", "started",
        "finished"};
    std::vector<std::string> names;
    for (const auto& [name, value] : runs[1].items()) names.push_back(name);
    names.resize(promised.size());
    REQUIRE(names == promised);
    REQUIRE(runs[1].dump() ==
            R"({"run":2,"study":"first-look","base":"permille-small","pair":"it-en","method":"lora","settings":{"rank":8,"targets":"all"},)"
            R"("budget":2.0,"trainable":168000,"percent_base":2.0012,"train_sentences":19876,"seed":1,"status":"finished","metric":"bleu",)"
            R"("signature":"nrefs:1","score":20.4375,"low":19.0,"high":22.0,"seconds":75.0,"peak_memory_bytes":314572800,)"
            R"("started":"2025-11-24T23:05:00Z","finished":"2025-11-24T23:05:10Z","corpus":"it-en","reason":null})");
    REQUIRE(runs[2]["score"].is_null());
    REQUIRE(runs[2]["trainable"].is_null());
    REQUIRE(runs[2]["settings"].dump() == R"({"rank":4})");
}

TEST_CASE("status shows what each run does", "[store]") {
    const Json runs = Json::parse(render(status_table(some_runs()), TableFormat::json));
    REQUIRE(runs[2]["status"] == "running");
    REQUIRE(runs[2]["doing"] == "training");
    REQUIRE(runs[2]["done"] == 10);
    REQUIRE(runs[2]["total"] == 300);
    REQUIRE(runs[2]["eta_seconds"] == 95.0);
    REQUIRE(runs[0]["eta_seconds"].is_null());
}

TEST_CASE("conditions select runs", "[store]") {
    REQUIRE(selected("") == Ids{1, 2, 3});
    REQUIRE(selected("pair=it-en") == Ids{1, 2});
    REQUIRE(selected("pair = it-en AND method != none") == Ids{2});
    REQUIRE(selected("pair=it-en,method=lora") == Ids{2});
    REQUIRE(selected("score>=20.4375") == Ids{2});
    REQUIRE(selected("score<20") == Ids{1});
    REQUIRE(selected("budget=2%") == Ids{2});
    REQUIRE(selected("budget=none") == Ids{1, 3});
    REQUIRE(selected("budget!=none") == Ids{2});
    REQUIRE(selected("status~RUN and source==tr") == Ids{3});
    REQUIRE(selected("settings.rank<=8") == Ids{2, 3});
    REQUIRE(selected("settings.rank=8") == Ids{2});
    REQUIRE(selected("study='first-look'") == Ids{1, 2, 3});
    REQUIRE(selected("base=\"a, b\"").empty());
    REQUIRE(selected("run>1 , run<3") == Ids{2});
    REQUIRE(selected("started>=2025-11-24T00:00:00Z,started<2025-11-25") == Ids{1, 2});
    REQUIRE(selected("score=high").empty());
}

TEST_CASE("wrong conditions say what is wrong", "[store]") {
    require_error([] { Where("scroe>2"); }, ErrorKind::usage, {"--where", "'scroe'", "did you mean 'score'"});
    require_error([] { Where("zzzzzzzzzzzz=2"); }, ErrorKind::usage, {"known are", "percent_base"});
    require_error([] { Where("score"); }, ErrorKind::usage, {"expected one of", "character 6"});
    require_error([] { Where("score>"); }, ErrorKind::usage, {"expected a value"});
    require_error([] { Where("score>2 or seed=1"); }, ErrorKind::usage, {"comma or AND", "character 9"});
    require_error([] { Where("score>2,"); }, ErrorKind::usage, {"another comparison"});
    require_error([] { Where("method='lora"); }, ErrorKind::usage, {"quote"});
    require_error([] { Where("; DROP TABLE runs"); }, ErrorKind::usage, {"name of a column"});
}
