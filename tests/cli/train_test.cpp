// What training options leave behind, on the tests' own base.
#include "core/base/files.h"
#include "tests/support/program.h"
#include "tests/support/test.h"
#include "tests/support/toy.h"

namespace permille::test {
namespace {

Ran train(const TemporaryFolder& folder, const std::string& out, const std::vector<std::string>& more) {
    const std::string text = (folder / "text.tsv").string();
    write_text(text, "apri la porta\topen the door\nchiudi la finestra\tclose the window\nil file è aperto\tthe file is open\n");
    std::vector<std::string> words = {"train",
                                      "-m",
                                      kBase,
                                      "--train",
                                      text,
                                      "--valid",
                                      text,
                                      "-s",
                                      "it",
                                      "-t",
                                      "en",
                                      "--out",
                                      (folder / out).string(),
                                      "--warmup-updates",
                                      "0",
                                      "--updates",
                                      "4",
                                      "--threads",
                                      "1",
                                      "--json"};
    words.insert(words.end(), more.begin(), more.end());
    const Ran ran = permille(words);
    INFO(ran.err);
    REQUIRE(ran.code == 0);
    return ran;
}

}  // namespace

TEST_CASE("a pruned base is reported beside what is trained", "[cli]") {
    const TemporaryFolder folder;
    const Ran plain = train(folder, "plain", {"--method", "dsee", "--set", "entries=8"}),
              pruned = train(folder, "pruned", {"--method", "dsee", "--set", "entries=8", "--set", "prune=0.5"});
    CHECK_FALSE(plain.json().contains("pruned_weights"));
    const std::int64_t weights = pruned.json().at("pruned_weights").get<std::int64_t>();
    CHECK(weights > 1000);
    CHECK(pruned.json().at("trainable") == plain.json().at("trainable"));
    CHECK(pruned.json().at("best_step").get<int>() >= 2);  // not before half of the updates
    const Json shown = permille({"adapter", "show", (folder / "pruned").string(), "--json"}).json();
    CHECK(shown.at("sparsity").at("pruned_weights") == weights);
    CHECK(permille({"adapter", "show", (folder / "pruned").string()}).out.find("pruned_weights") != std::string::npos);
    CHECK_FALSE(permille({"adapter", "show", (folder / "plain").string(), "--json"}).json().contains("sparsity"));
    const Ran budget = permille({"budget", "-m", kBase, "--method", "dsee", "--set", "prune=0.5", "--json"});
    INFO(budget.err);
    CHECK(budget.json().at(0).at("pruned_weights") == weights);
    const Ran merged =
        permille({"merge", "-m", kBase, "-a", (folder / "pruned").string(), "--out", (folder / "merged").string(), "--json"});
    INFO(merged.err);
    CHECK(merged.code == 0);
}

TEST_CASE("wrong translations to train against are found once", "[cli]") {
    const TemporaryFolder folder;
    const Ran first = train(folder, "first", {"--method", "lora", "--contrast", "2"});
    CHECK(std::filesystem::exists(folder / "first/negatives.safetensors"));
    const Json shown = permille({"adapter", "show", (folder / "first").string(), "--json"}).json();
    CHECK(shown.at("training").at("training").at("contrast") == 2);
    const Ran other = train(folder, "other", {"--method", "lora"});
    CHECK(other.json().at("best_valid_loss") != first.json().at("best_valid_loss"));
}

}  // namespace permille::test
