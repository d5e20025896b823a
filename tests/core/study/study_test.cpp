#include "core/study/study.h"

#include <set>

#include "core/base/files.h"
#include "tests/support/runs.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

constexpr const char* kStudy = R"(# A small grid
study: first-look
bases: [permille-small]
pairs:
  - it-en
  - {corpus: news, source: tr, target: en}
methods:
  - full
  - bottleneck: {activation: gelu, learning_rate: 2e-3, budgets: [2%], training: {updates: 500}}
  - bitfit
  - lora:
      alpha: 16
budgets: [0.5%, 2%, 7‰]
data_sizes: [20000, all]
seeds: [1, 2]
include_untouched: yes
training:
  updates: 1000
  schedule: cosine
decoding: {beam_size: 4}
evaluation: {metric: chrf, test_sentences: 300}
device: {device: cpu, threads: 2}
jobs: 2
executor: slurm
)";

// The study with one line (from 1) replaced.
std::string with_line(int line, const std::string& replacement) {
    std::string text = kStudy, result;
    int current = 1;
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = text.find('\n', begin);
        result += current++ == line ? replacement : text.substr(begin, end - begin);
        result += '\n';
        begin = end + 1;
    }
    return result;
}

void require_mistake(const std::string& yaml, const std::string& place, const std::vector<std::string>& words) {
    try {
        parse_study(yaml, "study.yaml");
    } catch (const Error& error) {
        INFO("message: " << error.what());
        REQUIRE(to_string(error.kind()) == "config");
        REQUIRE(error.where() == place);
        for (const auto& word : words) {
            INFO("expected word: " << word);
            REQUIRE(std::string(error.what()).find(word) != std::string::npos);
        }
        return;
    }
    FAIL("accepted:\n" << yaml);
}

std::vector<std::string> described(const std::vector<RunSpec>& runs) {
    std::vector<std::string> lines;
    for (const auto& run : runs)
        lines.push_back(run.pair() + " " + run.method + (run.budget() ? " " + format_budget(*run.budget()) : "") + " n" +
                        std::to_string(run.train_sentences) + " s" + std::to_string(run.seed));
    return lines;
}

Study small_study() {
    Study study;
    study.name = "s";
    study.bases = {"b"};
    study.pairs = {{"it-en"}};
    study.methods = {{"full"}, {"bitfit"}, {"lora"}};
    study.budgets = {0.5, 2};
    return study;
}

}  // namespace

TEST_CASE("a study is read from YAML", "[study]") {
    const Study study = parse_study(kStudy, "study.yaml");
    REQUIRE(study.name == "first-look");
    REQUIRE(study.bases == std::vector<std::string>{"permille-small"});
    REQUIRE(study.pairs.size() == 2);
    REQUIRE(study.pairs[0] == StudyPair{"it-en"});
    REQUIRE(study.pairs[1] == StudyPair{"news", "tr", "en"});
    REQUIRE(study.methods.size() == 4);
    REQUIRE(study.methods[0] == StudyMethod{"full"});
    REQUIRE(study.methods[1].settings.dump() == R"({"activation":"gelu"})");
    REQUIRE(study.methods[1].budgets == std::vector<Budget>{2});
    REQUIRE(study.methods[3].settings.dump() == R"({"alpha":16.0})");
    REQUIRE(study.budgets == std::vector<Budget>{0.5, 2, 0.7});
    REQUIRE(study.data_sizes == std::vector<std::int64_t>{20000, 0});
    REQUIRE(study.seeds == std::vector<std::int64_t>{1, 2});
    REQUIRE(study.include_untouched);
    REQUIRE(study.training.updates == 1000);
    REQUIRE(study.training.schedule == "cosine");
    REQUIRE(study.training.warmup_updates == TrainingSettings{}.warmup_updates);
    REQUIRE(study.decoding.beam_size == 4);
    REQUIRE(study.evaluation.test_sentences == 300);
    REQUIRE(study.device.threads == 2);
    REQUIRE(study.jobs == 2);
    REQUIRE(study.executor == "slurm");
    REQUIRE(parse_study(study_to_yaml(study), "again") == study);
}

TEST_CASE("a study that is written reads the same", "[study]") {
    Study study = parse_study(kStudy, "study.yaml");
    REQUIRE(parse_study(study_to_yaml(study), "again") == study);
    study.name = "a: strange #name \"quoted\" ‰ ~";
    study.bases = {"/models/with space", "null", "123", "facebook/m2m100_418M"};
    study.seeds = {0};
    study.data_sizes = {0};
    study.budgets.clear();
    study.include_untouched = false;
    study.training.learning_rate = 0.1 + 0.2;
    study.training.epsilon = 1e-9;
    study.methods[1].training["label_smoothing"] = 0.0;
    const std::string yaml = study_to_yaml(study);
    INFO(yaml);
    const Study again = parse_study(yaml, "again");
    REQUIRE(again.training.learning_rate == 0.1 + 0.2);
    REQUIRE(again.bases == study.bases);
    // The second text is the first: the form is stable.
    REQUIRE(study_to_yaml(again) == yaml);
    TemporaryFolder folder;
    write_study(folder / "study.yaml", again);
    REQUIRE(read_study(folder / "study.yaml") == again);
}

TEST_CASE("a study expands to runs: untouched first, fixed sizes once, full tuning last", "[study]") {
    Study study = small_study();
    REQUIRE(described(expand(study)) == std::vector<std::string>{"it-en none n0 s1", "it-en bitfit n0 s1", "it-en lora 0.5% n0 s1",
                                                                 "it-en lora 2% n0 s1", "it-en full n0 s1"});
    study.include_untouched = false;
    study.methods = {{"lora", Json{{"rank", 4}}}, {"lora", Json::object(), {1}, Json{{"learning_rate", 0.01}}}};
    study.data_sizes = {100, 0};
    study.seeds = {1, 2};
    REQUIRE(described(expand(study)) == std::vector<std::string>{"it-en lora n100 s1", "it-en lora n100 s2", "it-en lora n0 s1",
                                                                 "it-en lora n0 s2", "it-en lora 1% n100 s1", "it-en lora 1% n100 s2",
                                                                 "it-en lora 1% n0 s1", "it-en lora 1% n0 s2"});
    const auto runs = expand(study);
    REQUIRE(runs[0].method_settings.dump() == R"({"rank":4})");
    REQUIRE(runs[0].training.learning_rate == 0);
    REQUIRE(runs[4].training.learning_rate == 0.01);
    REQUIRE(runs[4].study == "s");
    REQUIRE(runs[4].corpus == "it-en");
}

TEST_CASE("the whole grid has as many runs as it should, each once", "[study]") {
    Study study = parse_study(kStudy, "study.yaml");
    // Per pair: untouched, and for 2 sizes x 2 seeds full, bottleneck at its own budget, bitfit, lora at three budgets.
    REQUIRE(expand(study).size() == 2 * (1 + 4 * (1 + 1 + 1 + 3)));
    study.methods.push_back({"bitfit"});
    study.seeds.push_back(1);
    study.pairs.push_back({"it-en", "it", "en"});
    REQUIRE(expand(study).size() == 2 * (1 + 4 * (1 + 1 + 1 + 3)));
}

TEST_CASE("a corpus has the languages of the database, else those of its name", "[study]") {
    Study study = small_study();
    study.pairs = {{"it-en-games"}, {"news"}, {"tatoeba", "fr", "en"}};
    const CorpusLanguages known = [](const std::string& corpus) {
        return corpus == "news" ? std::pair<std::string, std::string>{"de_DE", "en_XX"} : std::pair<std::string, std::string>{};
    };
    std::vector<std::string> pairs;
    for (const auto& run : expand(study, known))
        if (run.method == "none") pairs.push_back(run.pair());
    REQUIRE(pairs == std::vector<std::string>{"it-en", "de_DE-en_XX", "fr-en"});
    require_error([&] { expand(study); }, ErrorKind::config, {"pairs/1", "'news'", "data import", "corpus: news"});
}

TEST_CASE("mistakes in a study are told with line, column and the nearest name", "[study]") {
    require_mistake(with_line(3, "basis: [permille-small]"), "study.yaml:3:1", {"'basis'", "did you mean 'bases'"});
    require_mistake(with_line(8, "  - fulll"), "study.yaml:8:5", {"fulll", "did you mean 'full'"});
    require_mistake(with_line(12, "      alpa: 16"), "study.yaml:12:7", {"'alpa'", "lora", "did you mean 'alpha'"});
    require_mistake(with_line(12, "      alpha: much"), "study.yaml:12:7", {"alpha", "\"much\" is not a number"});
    require_mistake(with_line(12, "      rank: 0"), "study.yaml:12:7", {"rank", "0 is below the minimum 1"});
    require_mistake(with_line(12, "      rank: [4, 8]"), "study.yaml:12:13", {"rank", "single value", "a list"});
    require_mistake(with_line(9, "  - bottleneck: {activation: tanh}"), "study.yaml:9:18", {"activation", "'tanh'", "relu"});
    require_mistake(with_line(9, "  - bottleneck: {bottleneck_dim: 8, budgets: [2%]}"), "study.yaml:9:37",
                    {"bottleneck_dim", "remove one"});
    require_mistake(with_line(9, "  - bottleneck: {training: {updates: 0}}"), "study.yaml:9:29", {"updates", "below the minimum"});
    require_mistake(with_line(9, "  - bottleneck: {learning_rate: 1, training: {learning_rate: 2}}"), "study.yaml:9:47", {"given twice"});
    require_mistake(with_line(10, "  - bitfit: {budgets: [1%]}"), "study.yaml:10:14", {"fixed", "bitfit"});
    require_mistake(with_line(10, "  - none"), "study.yaml:10:5", {"include_untouched"});
    require_mistake(with_line(10, "  - {bitfit: , lora: }"), "study.yaml:10:5", {"2 names"});
    require_mistake(with_line(13, "budgets: [0.5%, 2]"), "study.yaml:13:17", {"'2' is not a budget", "2%"});
    require_mistake(with_line(13, "budgets: [0.5%, two%]"), "study.yaml:13:17", {"'two%'"});
    require_mistake(with_line(13, "budgets: [0%]"), "study.yaml:13:11", {"'0%' is out of range"});
    require_mistake(with_line(13, "budgets: [101%]"), "study.yaml:13:11", {"at most 100 %"});
    require_mistake(with_line(13, "budgets: []"), "study.yaml:13:10", {"budgets", "empty"});
    require_mistake(with_line(13, "budgets:"), "study.yaml:13:1", {"budgets", "empty"});
    require_mistake(with_line(14, "data_sizes: [some]"), "study.yaml:14:14", {"'some' is not a whole number"});
    require_mistake(with_line(14, "data_sizes: [-5]"), "study.yaml:14:14", {"negative"});
    require_mistake(with_line(15, "seeds: {a: 1}"), "study.yaml:15:8", {"expected a list"});
    require_mistake(with_line(15, "seeds: [1.5]"), "study.yaml:15:9", {"'1.5' is not a whole number"});
    require_mistake(with_line(16, "include_untouched: perhaps"), "study.yaml:16:20", {"neither true nor false"});
    require_mistake(with_line(18, "  updatess: 5"), "study.yaml:18:3", {"updatess", "did you mean 'updates'"});
    require_mistake(with_line(18, "  updates: -5"), "study.yaml:18:12", {"updates", "-5 is below the minimum 1"});
    require_mistake(with_line(18, "  updates:"), "study.yaml:18:3", {"updates", "no value"});
    require_mistake(with_line(19, "  schedule: sinus"), "study.yaml:19:13", {"'sinus' is not a choice", "cosine"});
    require_mistake(with_line(20, "decoding: fast"), "study.yaml:20:11", {"decoding", "'fast'"});
    require_mistake(with_line(6, "  - {corpus: news, source: tr}"), "study.yaml:6:5", {"languages is missing"});
    require_mistake(with_line(6, "  - {corpus: news, from: tr}"), "study.yaml:6:20", {"'from'", "source"});
    require_mistake(with_line(6, "  - {source: tr, target: en}"), "study.yaml:6:5", {"without its corpus"});
    require_mistake(with_line(23, "jobs:"), "study.yaml:23:1", {"jobs"});
    require_mistake(with_line(23, "jobs: 0"), "study.yaml:23:1", {"0 runs at a time"});
    require_mistake(with_line(23, "seeds: [3]"), "study.yaml:23:1", {"'seeds' is given twice", "line 15"});
    require_mistake(with_line(19, "  updates: 7"), "study.yaml:19:3", {"'updates' is given twice", "line 18"});
    require_mistake(with_line(2, "study: \"\""), "study.yaml:2:1", {"name of the study is empty"});
    require_mistake(with_line(2, ""), "study.yaml", {"'study' is missing"});
    require_mistake(with_line(3, ""), "study.yaml", {"'bases' is missing"});
    require_mistake(with_line(18, "\tupdates: 5"), "study.yaml:18:1", {"tab"});
    require_mistake(with_line(3, "bases: [permille-small"), "study.yaml:4:6", {"not YAML", "one before"});
}

TEST_CASE("the shipped studies are in order", "[study]") {
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(PERMILLE_SOURCE_RESOURCES) / "studies")) {
        INFO(entry.path());
        const Study study = read_study(entry.path());
        REQUIRE(study.name == entry.path().stem());
        REQUIRE(expand(study).size() > 1);
        ++count;
    }
    REQUIRE(count > 0);
}

TEST_CASE("what is no study at all is refused", "[study]") {
    require_mistake("", "study.yaml", {"empty", "study: NAME"});
    require_mistake("# only a comment\n", "study.yaml", {"empty"});
    require_mistake("just words\n", "study.yaml:1:1", {"not a study"});
    require_mistake("- a\n- b\n", "study.yaml:1:1", {"a list"});
    require_mistake(std::string(kStudy) + "---\nstudy: second\n", "study.yaml:26:1", {"second document"});
    require_mistake("a: &x [*x, *y]\n", "study.yaml:1:12", {"not YAML"});
    require_error([] { parse_study(std::string("\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16), "picture.png"); }, ErrorKind::config, {"picture.png"});
    require_error([] { parse_study(std::string(100000, '['), "deep.yaml"); }, ErrorKind::config, {"deep.yaml"});
    TemporaryFolder folder;
    require_error([&] { read_study(folder / "missing.yaml"); }, ErrorKind::file, {"missing.yaml"});
}

TEST_CASE("a study put together by hand is checked the same way", "[study]") {
    Study study = small_study();
    validate_study(study);
    study.methods[2].settings = Json{{"ranks", 4}};
    require_error([&] { validate_study(study); }, ErrorKind::config, {"methods/2/ranks", "did you mean 'rank'"});
    study.methods[2].settings = Json{{"rank", "4"}};
    REQUIRE(expand(study)[2].method_settings.dump() == R"({"rank":4})");
    study.training.updates = 0;
    require_error([&] { validate_study(study); }, ErrorKind::config, {"training/updates", "below the minimum"});
    study = small_study();
    study.bases.clear();
    require_error([&] { expand(study); }, ErrorKind::config, {"bases", "empty"});
    study = small_study();
    study.budgets = {-1};
    require_error([&] { expand(study); }, ErrorKind::config, {"budgets/0"});
    study = small_study();
    study.methods.clear();
    REQUIRE(expand(study).size() == 1);  // the untouched base alone
    study.include_untouched = false;
    require_error([&] { expand(study); }, ErrorKind::config, {"methods", "empty"});
}

TEST_CASE("a run's key is stable and depends on the experiment alone", "[study]") {
    RunSpec spec = some_run();
    spec.study = "a";
    spec.method_settings = Json{{"rank", 8}, {"alpha", 16.0}};
    const std::string key = spec.key();
    // Written down on purpose: when this changes, every study would be run again.
    REQUIRE(key == "7e3ddaa1f4b908e99f21daedda569a27");
    REQUIRE(RunSpec::from_json(spec.to_json(), "here").key() == key);

    RunSpec same = spec;
    same.study = "b";
    same.method_settings = Json{{"alpha", 16.0}, {"rank", 8}};
    same.decoding.batch_tokens = 1;
    same.training.checkpoint_every = 1;
    same.training.gradient_checkpointing = true;
    REQUIRE(same.key() == key);

    RunSpec other = spec;
    SECTION("seed") { other.seed = 2; }
    SECTION("budget") { other.budget_percent = 2; }
    SECTION("learning rate") { other.training.learning_rate = 1e-3; }
    SECTION("never more than the budget") { other.budget_at_most = true; }
    SECTION("beam") { other.decoding.beam_size = 1; }
    SECTION("knob") { other.method_settings["rank"] = 9; }
    SECTION("direction") { std::swap(other.source_language, other.target_language); }
    REQUIRE(other.key() != key);

    spec.method = "none";
    other = spec;
    other.training.updates = 5;
    other.seed = 9;
    REQUIRE(other.key() == spec.key());
}

TEST_CASE("every setting of training that changes the result changes the key", "[study]") {
    RunSpec spec;
    spec.method = "lora";
    std::set<std::string> keys = {spec.key()};
    for (const Field& field : TrainingSettings::fields().list()) {
        RunSpec other = spec;
        const Json value = field.type == FieldType::boolean  ? Json(true)
                           : field.type == FieldType::choice ? Json(field.choices.back())
                           : field.type == FieldType::text   ? Json("some-model")
                           : field.max == 10.0               ? Json(2)
                           : field.max && *field.max <= 1.0  ? Json(0.25)
                                                             : Json(3);
        TrainingSettings::fields().apply(other.training, Json{{field.name, value}}, "test");
        INFO(field.name);
        if (field.name == "checkpoint_every" || field.name == "gradient_checkpointing") CHECK(other.key() == spec.key());
        else CHECK(keys.insert(other.key()).second);
        CHECK(RunSpec::from_json(other.to_json(), "database").key() == other.key());
    }
}

TEST_CASE("a spec that is not one is refused", "[study]") {
    require_error([] { RunSpec::from_json(Json::array(), "run 3"); }, ErrorKind::config, {"run 3"});
    require_error([] { RunSpec::from_json(Json{{"bass", "x"}}, "run 3"); }, ErrorKind::config, {"run 3/bass", "base"});
    require_error([] { RunSpec::from_json(Json{{"training", {{"updates", 0}}}}, "run 3"); }, ErrorKind::config, {"run 3/training/updates"});
    require_error([] { RunSpec::from_json(Json{{"budget_percent", "x"}}, "run 3"); }, ErrorKind::config, {"budget_percent"});
}

TEST_CASE("a study may be scored by any metric of the table, and by no other", "[study]") {
    CHECK(parse_study(with_line(21, "evaluation: {metric: ter}"), "study.yaml").evaluation.metric == "ter");
    require_mistake(with_line(21, "evaluation: {metric: blue}"), "study.yaml:21:22", {"metric", "'blue' is not a choice", "ter"});
    require_mistake(with_line(21, "evaluation: {tokenize: 14a}"), "study.yaml:21:24", {"tokenize", "13a", "auto"});
}
