// A whole study by command line, on the tests' own base and a corpus of some hundred lines: recorded, interrupted, continued, shown.
#include <signal.h>

#include <stdexcept>

#include "core/base/files.h"
#include "tests/support/program.h"
#include "tests/support/test.h"
#include "tests/support/toy.h"

namespace permille::test {
namespace {

// A data folder with one corpus, "toy", and studies beside it.
class Workplace {
public:
    Workplace() {
        write_text(folder_ / "toy.tsv", toy_text());
        const Ran made = run({"data", "import", (folder_ / "toy.tsv").string(), "-s", "it", "-t", "en", "-n", "toy", "--test-sentences",
                              "6", "--valid-sentences", "6", "--held-out-percent", "20"});
        if (made.code != 0) throw std::runtime_error(made.err);
    }

    Ran run(std::vector<std::string> arguments, RunOptions options = {}) const {
        options.environment.push_back("PERMILLE_HOME=" + (folder_ / "home").string());
        return permille(arguments, options);
    }

    std::string study(const std::string& text) const {
        write_text(folder_ / "study.yaml", text);
        return (folder_ / "study.yaml").string();
    }
    std::filesystem::path operator/(const std::string& name) const { return folder_ / name; }

private:
    TemporaryFolder folder_;
};

std::string small_study(const std::string& methods, int updates) {
    return "study: toy\nbases: [" + kBase + "]\npairs: [{corpus: toy, source: it, target: en}]\nmethods: " + methods +
           "\nbudgets: [3%]\ntraining: {updates: " + std::to_string(updates) +
           ", warmup_updates: 2, batch_tokens: 200, validate_every: 0, valid_sentences: 4, checkpoint_every: 0}\n"
           "decoding: {beam_size: 1, max_length: 20}\nevaluation: {test_sentences: 4}\n";
}

}  // namespace

TEST_CASE("a study is recorded, shown and not done twice", "[cli]") {
    const Workplace place;
    const std::string file = place.study(small_study("[bitfit, lora]", 4));
    const Ran first = place.run({"run", file, "--threads", "1", "--json"});
    INFO(first.err);
    REQUIRE(first.code == 0);
    CHECK(first.json().at("runs") == 3);  // the untouched base, too
    CHECK(first.json().at("counts").at("finished") == 3);

    const Ran second = place.run({"run", file, "--json"});
    CHECK(second.code == 0);
    CHECK(second.json().at("seconds").get<double>() < first.json().at("seconds").get<double>());

    const Json results = place.run({"results", "--json"}).json();
    REQUIRE(results.size() == 3);
    for (const Json& run : results) {
        for (const char* field : {"run",
                                  "study",
                                  "base",
                                  "pair",
                                  "method",
                                  "settings",
                                  "budget",
                                  "trainable",
                                  "percent_base",
                                  "train_sentences",
                                  "seed",
                                  "status",
                                  "metric",
                                  "signature",
                                  "score",
                                  "low",
                                  "high",
                                  "seconds",
                                  "peak_memory_bytes",
                                  "started",
                                  "finished"}) {
            INFO(field);
            CHECK(run.contains(field));
        }
        CHECK(run.at("status") == "finished");
        CHECK(run.at("score").is_number());
    }
    CHECK(place.run({"results", "--where", "method=lora", "--json"}).json().size() == 1);
    CHECK(place.run({"results", "--where", "methdo=lora"}).code == 2);
    CHECK(place.run({"results", "--study", "tyo"}).err.find("'toy'") != std::string::npos);
    for (const char* format : {"table", "csv", "tsv", "json", "md", "latex"}) {
        INFO(format);
        CHECK(place.run({"results", "--format", format}).out.find("lora") != std::string::npos);
    }
    CHECK(place.run({"results", "--format", "xls"}).code == 2);
    CHECK(place.run({"status"}).out.find("toy") != std::string::npos);
    CHECK(place.run({"status", "--json"}).json().at("studies")[0].at("finished") == 3);

    for (const char* kind : {"svg", "pdf", "png"}) {
        INFO(kind);
        const auto chart = place / (std::string("chart.") + kind);
        const Ran plot =
            place.run({"plot", "--x", "trainable_percent", "--y", "bleu", "--group", "method", "--facet", "pair", "-o", chart.string()});
        INFO(plot.err);
        CHECK(plot.code == 0);
        CHECK(std::filesystem::file_size(chart) > 500);
    }
    // Every run is scored by BLEU, its main metric, and by chrF; TER was not asked for.
    const auto chart = (place / "other.svg").string();
    const Ran chrf = place.run({"plot", "--y", "chrf", "-o", chart, "--json"});
    CHECK(chrf.json().at("metric") == "chrf");
    CHECK(chrf.json().at("runs") == 3);
    CHECK(chrf.json().at("without") == 0);
    CHECK(place.run({"plot", "--y", "ter", "-o", chart}).err.find("no finished run has a score in TER") != std::string::npos);
    for (const std::vector<std::string>& verb : {std::vector<std::string>{"results"}, {"plot", "-o", chart}}) {
        auto words = verb;
        words.insert(words.end(), {"--study", "nosuch"});
        const Ran none = place.run(words);
        CHECK(none.code == 1);
        CHECK(none.err.find("studies there: ") != std::string::npos);
    }
}

TEST_CASE("Ctrl-C keeps what is done and the same command continues", "[cli]") {
    const Workplace place;
    const std::string file = place.study(small_study("[bitfit]", 3000));
    const Ran stopped = place.run({"run", file, "--threads", "1"}, {.signal = SIGINT, .signal_when = "training"});
    INFO(stopped.err);
    CHECK(stopped.code == 130);
    const Json runs = place.run({"results", "--json"}).json();
    REQUIRE(runs.size() == 2);
    CHECK(runs[1].at("status") == "interrupted");
    CHECK(runs[0].at("status") == "finished");
    // The second time from where it was: the updates before are not done again, and the untouched base is not evaluated again.
    const Ran again = place.run({"run", file, "--threads", "1"}, {.signal = SIGTERM, .signal_when = "training"});
    CHECK(again.code == 130);
    CHECK(again.err.find("continues from its checkpoint") != std::string::npos);
    CHECK(again.err.find("untouched") == std::string::npos);
}

TEST_CASE("on a cluster the tasks of an array take the runs of the study", "[cli]") {
    const Workplace place;
    const std::string file = place.study(small_study("[bitfit, layernorm]", 2));
    const auto with_path = [](const std::filesystem::path& folder) {
        return RunOptions{.environment = {"PATH=" + folder.string() + ":/usr/bin:/bin"}};
    };

    make_folder(place / "empty");
    const Ran none = place.run({"run", file, "--executor", "slurm"}, {.environment = {"PATH=" + (place / "empty").string()}});
    CHECK(none.code == 1);
    CHECK(none.err.find("sbatch is not on this machine") != std::string::npos);

    // A cluster of one machine: sbatch does each task of the array at once and answers with the number of the job.
    const auto sbatch = [&](const std::string& body) {
        write_text(place / "bin/sbatch", "#!/bin/bash\n" + body);
        std::filesystem::permissions(place / "bin/sbatch", std::filesystem::perms::owner_all);
    };
    make_folder(place / "bin");
    sbatch("echo 'Requested partition is not available' >&2; exit 1\n");
    const Ran refused = place.run({"run", file, "--executor", "slurm"}, with_path(place / "bin"));
    CHECK(refused.code == 1);
    CHECK(refused.err.find("Requested partition is not available") != std::string::npos);
    CHECK(refused.err.find("SBATCH_PARTITION") != std::string::npos);

    sbatch(
        "grep -q '^#SBATCH --array=1-2$' \"$2\" || exit 1\nfor task in 1 2; do bash \"$2\" >\"$2.$task\" 2>&1 & done\nwait\necho "
        "'42;here'\n");
    const Ran submitted =
        place.run({"run", file, "--executor", "slurm", "--jobs", "2", "--threads", "1", "--json"}, with_path(place / "bin"));
    INFO(submitted.err);
    REQUIRE(submitted.code == 0);
    CHECK(submitted.json().at("slurm_job") == "42");
    CHECK(submitted.json().at("tasks") == 2);
    const Json runs = place.run({"results", "--json"}).json();
    REQUIRE(runs.size() == 3);
    for (const Json& run : runs) CHECK(run.at("status") == "finished");
}

TEST_CASE("mistakes in a study are named with their line", "[cli]") {
    const TemporaryFolder folder;
    const RunOptions here = {.environment = {"PERMILLE_HOME=" + (folder / "home").string()}};
    write_text(folder / "s.yaml", "study: s\nbases: [b]\npairs: [it-en]\nmethdos: [lora]\n");
    const Ran key = permille({"run", (folder / "s.yaml").string(), "--json"}, here);
    CHECK(key.code == 1);
    CHECK(key.error().at("where").get<std::string>().find("s.yaml:4") != std::string::npos);
    CHECK(key.error().dump().find("methods") != std::string::npos);
    const Ran missing = permille({"run", (folder / "none.yaml").string()}, here);
    CHECK(missing.code == 1);
    CHECK(missing.err.find("none.yaml") != std::string::npos);
    CHECK(permille({"run", (folder / "s.yaml").string(), "--executor", "cloud"}, here).code == 2);
    write_text(folder / "e.yaml", "study: s\nbases: [b]\npairs: [it-en]\nmethods: [lora]\nexecutor: cloud\n");
    const Ran executor = permille({"run", (folder / "e.yaml").string()}, here);
    CHECK(executor.code == 1);  // what is wrong is in the file, not in the command
    CHECK(executor.err.find("known are local,") != std::string::npos);
}

TEST_CASE("a database that is missing, damaged or newer is not touched", "[cli]") {
    const TemporaryFolder folder;
    const Ran missing = permille({"results", "--db", (folder / "none.db").string(), "--json"});
    CHECK(missing.code == 1);
    CHECK(missing.error().at("kind") == "database");
    CHECK_FALSE(std::filesystem::exists(folder / "none.db"));
    write_text(folder / "text.db", "this is not a database, however long it may be\n");
    for (const char* verb : {"results", "status"}) CHECK(permille({verb, "--db", (folder / "text.db").string()}).code == 1);
    CHECK(read_text(folder / "text.db") == "this is not a database, however long it may be\n");
}

TEST_CASE("one training by command line makes an adapter that translate and adapter show take", "[cli]") {
    const Workplace place;
    const std::string out = (place / "adapter").string();
    const Ran trained = place.run({"train", "-m",        kBase, "--method",         "lora", "--set",          "rank=2", "--train",
                                   "toy",   "--updates", "3",   "--warmup-updates", "1",    "--batch-tokens", "200",    "--valid-sentences",
                                   "4",     "--out",     out,   "--threads",        "1",    "--json"});
    INFO(trained.err);
    REQUIRE(trained.code == 0);
    CHECK(trained.json().at("trainable").get<int>() > 0);
    const Ran shown = place.run({"adapter", "show", out, "--json"});
    INFO(shown.err);
    CHECK(shown.code == 0);
    CHECK(shown.json().is_object());
    CHECK(
        place.run({"translate", "-m", kBase, "-a", out, "-s", "it", "-t", "en", "--max-length", "10"}, {.input = "apri la porta\n"}).code ==
        0);

    // The learning rates that were tried are told, and kept with the adapter.
    const std::string tuned = (place / "tuned").string();
    const Ran searched = place.run({"train",
                                    "-m",
                                    kBase,
                                    "--method",
                                    "lora",
                                    "--budget",
                                    "2k",
                                    "--at-most",
                                    "--train",
                                    "toy",
                                    "--updates",
                                    "3",
                                    "--tune-lr",
                                    "3",
                                    "--tune-lr-updates",
                                    "2",
                                    "--batch-tokens",
                                    "200",
                                    "--warmup-updates",
                                    "1",
                                    "--valid-sentences",
                                    "4",
                                    "--optimiser",
                                    "adafactor",
                                    "--out",
                                    tuned,
                                    "--threads",
                                    "1",
                                    "--json"});
    INFO(searched.err);
    REQUIRE(searched.code == 0);
    REQUIRE(searched.json().at("rate_search").size() == 3);
    CHECK(searched.json().at("trainable").get<int>() <= 2000);
    const Json notes = place.run({"adapter", "show", tuned, "--json"}).json().at("training");
    CHECK(notes.at("rate_search") == searched.json().at("rate_search"));
    CHECK(notes.at("learning_rate") == searched.json().at("learning_rate"));
    CHECK(notes.at("training").at("optimiser") == "adafactor");
    CHECK(read_json(std::filesystem::path(tuned) / "rate_search.json").at("trials").size() == 3);

    // Distilled from the base itself, with every layer computed twice; a teacher with another vocabulary is refused.
    const auto distilled = [&](const std::string& teacher, const std::string& folder) {
        return place.run({"train",
                          "-m",
                          kBase,
                          "--method",
                          "bitfit",
                          "--train",
                          "toy",
                          "--updates",
                          "2",
                          "--batch-tokens",
                          "200",
                          "--valid-sentences",
                          "4",
                          "--teacher",
                          teacher,
                          "--gradient-checkpointing",
                          "true",
                          "--out",
                          (place / folder).string(),
                          "--threads",
                          "1"});
    };
    const Ran taught = distilled(kBase, "distilled");
    INFO(taught.err);
    CHECK(taught.code == 0);
    const Ran refused = distilled(PERMILLE_SOURCE_RESOURCES "/bases/permille-small", "refused");
    CHECK(refused.code == 1);
    CHECK(refused.err.find("another vocabulary") != std::string::npos);

    CHECK(place.run({"adapter", "show", "/nowhere"}).code == 1);
    CHECK(place.run({"train", "-m", kBase, "--method", "loar", "--train", "toy", "--out", out}).code == 1);
    const Ran unknown = place.run({"train", "-m", kBase, "--method", "lora", "--train", "tyo", "--out", out});
    CHECK(unknown.code == 1);
    CHECK(unknown.err.find("'toy'") != std::string::npos);
}

}  // namespace permille::test
