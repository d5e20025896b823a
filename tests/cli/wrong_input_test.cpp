// What is refused says what is wrong, where, and what to do, and leaves nothing behind.
#include <algorithm>
#include <filesystem>

#include "core/base/files.h"
#include "tests/support/program.h"
#include "tests/support/test.h"
#include "tests/support/toy.h"

namespace permille::test {
namespace {

namespace fs = std::filesystem;

class Place {
public:
    Place() { write_text(folder_ / "text.tsv", "apri la porta\topen the door\nchiudi la finestra\tclose the window\n"); }
    std::string path(const std::string& name) const { return (folder_ / name).string(); }

    // `permille train` with these words beside what a run needs; nothing may be left of it.
    Ran train(const std::vector<std::string>& more, const std::string& method = "lora", const std::string& base = kBase) const {
        std::vector<std::string> words = {"train",          "-m", base, "--method", method, "--train", path("text.tsv"), "--valid",
                                          path("text.tsv"), "-s", "it", "-t",       "en",   "-q",      "--updates",      "1",
                                          "--threads",      "1",  "-o", path("out")};
        words.insert(words.end(), more.begin(), more.end());
        const Ran ran = permille(words);
        INFO(ran.err);
        CHECK_FALSE(fs::exists(path("out")));
        return ran;
    }

private:
    TemporaryFolder folder_;
};

void refused(const Ran& ran, int code, const std::vector<std::string>& words) {
    INFO(ran.err);
    CHECK(ran.code == code);
    CHECK(ran.out.empty());
    CHECK(std::count(ran.err.begin(), ran.err.end(), '\n') == 1);
    for (const std::string& word : words) {
        INFO(word);
        CHECK(ran.err.find(word) != std::string::npos);
    }
}

}  // namespace

TEST_CASE("a run that is refused leaves no folder", "[cli]") {
    const Place place;
    refused(place.train({"--set", "rank=0"}), 1, {"lora/rank", "0 is below the minimum 1", "1 or more"});
    refused(place.train({"--set", "targets=foo"}), 1, {"lora/targets", "'foo'", "qv"});
    refused(place.train({"--budget", "1GB"}), 1, {"the file of LoRA reaches", "another method"});
    refused(place.train({}, "lora", "nowhere"), 1, {"nowhere", "OWNER/NAME"});
    refused(place.train({"--device", "gpu"}), 1, {"--device", "'gpu'", "cuda:N"});
    refused(place.train({"--teacher", PERMILLE_TESTS_DIR "/golden/marian"}), 1, {"teacher", "golden/marian", "the same tokenizer"});
    refused(place.train({"--set", "prompt_length=9999"}, "prompt"), 1, {"prompt", "9999", "256 positions", "shorter prompt"});
    refused(place.train({}, "prompt+dept"), 1, {"encoder.prompt", "different places"});
    // A folder that was there stays as it was.
    fs::create_directory(place.path("mine"));
    const Ran ran = permille({"train", "-m", "nowhere", "--method", "lora", "--train", place.path("text.tsv"), "--valid",
                              place.path("text.tsv"), "-s", "it", "-t", "en", "-o", place.path("mine")});
    CHECK(ran.code == 1);
    CHECK(fs::is_empty(place.path("mine")));
}

TEST_CASE("an output that cannot be made is named with what to do", "[cli]") {
    const Place place;
    for (const std::string& out : {place.path("text.tsv"), place.path("text.tsv") + "/below"})
        refused(permille({"train", "-m", kBase, "--method", "lora", "--train", place.path("text.tsv"), "--valid", place.path("text.tsv"),
                          "-s", "it", "-t", "en", "-q", "-o", out}),
                1, {out, "cannot create the folder", "choose another"});
}

TEST_CASE("options that contradict each other or say nothing are wrong usage", "[cli]") {
    const Place place;
    refused(place.train({"--set", "rank=3", "--set", "rank=4"}), 2, {"--set", "'rank' is given twice", "once"});
    refused(place.train({"--set", "rank=3", "--budget", "2%"}), 2, {"--set", "'rank'", "budget", "not both"});
    refused(place.train({"--set", "lora.rank=3", "--budget", "5%"}, "lora+bitfit"), 2, {"'lora.rank' of lora+bitfit", "not both"});
    refused(place.train({"--at-most"}), 2, {"--at-most", "--budget"});
    refused(place.train({"--budget", ","}), 2, {"--budget", "names no budget", "1%"});
    refused(permille({"run", "study.yaml", "--jobs", "0"}), 2, {"--jobs", "above 0"});
    refused(place.train({"--train-sentences", "-5"}), 2, {"--train-sentences", "-5", "from 0 on", "train --help"});
    refused(place.train({"--average-decay", "1"}), 2, {"--average-decay", "0.9999999"});
    const auto budget = [](const std::vector<std::string>& more) {
        std::vector<std::string> words = {"budget", "-m", kBase};
        words.insert(words.end(), more.begin(), more.end());
        return permille(words);
    };
    refused(budget({"--updates", "x"}), 2, {"--updates: \"x\" is not a number", "(updates)"});
    refused(budget({"--at-most", "--method", "lora"}), 2, {"--at-most", "--budget"});
    refused(budget({"--method", ","}), 2, {"--method", "names no method"});
    refused(budget({"--budget", " , "}), 2, {"--budget", "names no budget"});
    refused(budget({"--method", "lora", "--set", "rank=3", "--budget", "5%"}), 2, {"'rank' of lora", "not both"});
    CHECK(budget({"--method", "lora", "--set", "rank=3"}).code == 0);
    refused(budget({"--method", "lora", "--teacher", "nowhere"}), 1, {"nowhere"});
}

TEST_CASE("an option with nothing in it is wrong usage", "[cli]") {
    const Place place;
    for (const std::vector<std::string>& words :
         std::vector<std::vector<std::string>>{{"budget", "-m", ""},
                                               {"budget", "-m", kBase, "--method", ""},
                                               {"methods", ""},
                                               {"merge", "-m", kBase, "-a", "", "-o", place.path("out")},
                                               {"merge", "-m", kBase, "-a", "x", "-o", ""},
                                               {"adapter", "show", ""},
                                               {"adapter", "export", "x", "-m", kBase, "-o", place.path("out"), "--name", ""},
                                               {"train", "-m", kBase, "--method", "lora", "--train", place.path("text.tsv"), "-o", ""}})
        refused(permille(words), 2, {"is empty", "leave it out"});
}

TEST_CASE("a verb of a verb is named when it is mistaken", "[cli]") {
    refused(permille({"adapter", "shw"}), 2, {"'shw' is not a verb of adapter", "'show'", "permille adapter --help"});
    refused(permille({"adapter"}), 2, {"no verb is given", "permille adapter --help"});
    refused(permille({"adapter", "export", "x"}), 2, {"--model", "permille adapter export --help"});
}

}  // namespace permille::test
