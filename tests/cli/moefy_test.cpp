// Models converted to experts by the program, on the tests' own base.
#include "core/base/files.h"
#include "tests/support/program.h"
#include "tests/support/test.h"
#include "tests/support/toy.h"

namespace permille::test {
namespace {

class Workplace {
public:
    Workplace() {
        std::string text;
        const std::vector<std::string> verbs = {"apri\topen", "chiudi\tclose", "salva\tsave"},
                                       things = {"la porta\tthe door", "il file\tthe file"};
        for (int i = 0; i < 40; ++i) {
            const std::string &verb = verbs[static_cast<std::size_t>(i % 3)], &thing = things[static_cast<std::size_t>(i % 2)];
            const auto half = [](const std::string& pair, bool second) {
                const auto tab = pair.find('\t');
                return second ? pair.substr(tab + 1) : pair.substr(0, tab);
            };
            text += half(verb, false) + " " + half(thing, false) + "\t" + half(verb, true) + " " + half(thing, true) + "\n";
        }
        write_text(folder / "text.tsv", text);
        write_text(folder / "test.tsv", "apri la porta\topen the door\nchiudi il file\tclose the file\nsalva\tsave\n");
    }
    std::vector<std::string> words(const std::vector<std::string>& more, const std::string& base = kBase) const {
        std::vector<std::string> all = {"moefy",
                                        "-m",
                                        base,
                                        "--data",
                                        (folder / "text.tsv").string(),
                                        "--test",
                                        (folder / "test.tsv").string(),
                                        "-s",
                                        "it",
                                        "-t",
                                        "en",
                                        "--tokens",
                                        "200",
                                        "--epochs",
                                        "2",
                                        "--rounds",
                                        "1",
                                        "--beam",
                                        "2",
                                        "--max-length",
                                        "12",
                                        "--threads",
                                        "1"};
        all.insert(all.end(), more.begin(), more.end());
        return all;
    }
    Ran run(const std::vector<std::string>& more) const { return permille(words(more)); }
    std::string place(const std::string& name) const { return (folder / name).string(); }
    std::vector<double> scores(const std::string& adapter) const {
        std::vector<std::string> all = {"score", "-m", kBase, "-s", "it", "-t", "en", "--input", (folder / "test.tsv").string(), "--json"};
        if (!adapter.empty()) all.insert(all.end(), {"-a", adapter});
        const Ran ran = permille(all);
        INFO(ran.err);
        REQUIRE(ran.code == 0);
        std::vector<double> list;
        for (const Json& pair : ran.json()) list.push_back(pair.at("logprob").get<double>());
        return list;
    }
    std::string trained(const std::string& method) const {
        const std::string text = (folder / "text.tsv").string();
        const Ran ran = permille(
            {"train", "-m",    kBase,         "--method",        method, "--train",          text, "--valid",   text, "-s",
             "it",    "-t",    "en",          "--learning-rate", "0.05", "--warmup-updates", "0",  "--updates", "3",  "--batch-tokens",
             "500",   "--out", place(method), "--threads",       "1"});
        INFO(ran.err);
        REQUIRE(ran.code == 0);
        return place(method);
    }
    const TemporaryFolder folder;
};

}  // namespace

TEST_CASE("a model is converted, compared, and used with --adapter", "[cli]") {
    const Workplace work;
    for (const char* split : {"clusters", "coactivation", "random"}) {
        INFO(split);
        const std::string out = work.place(split);
        const Ran ran = work.run({"--experts", "8", "--active", "4,8", "--split", split, "--out", out, "--json"});
        INFO(ran.err);
        REQUIRE(ran.code == 0);
        const Json report = ran.json();
        CHECK(report.at("blocks") == 4);
        CHECK(report.at("router_parameters") == 4 * (8 * 32 + 8 * 8));
        REQUIRE(report.at("models").size() == 3);
        const Json &dense = report.at("models")[0], &half = report.at("models")[1], &all = report.at("models")[2];
        CHECK(dense.at("model") == "dense");
        CHECK(dense.at("ffn_flops") == 1.0);
        CHECK(half.at("active") == 4);
        CHECK_THAT(half.at("ffn_flops").get<double>(), Catch::Matchers::WithinAbs(0.5 + (32 * 8 + 8 * 8) / (2.0 * 32 * 64), 1e-9));
        CHECK(half.at("captured").get<double>() > 0.3);
        CHECK(half.at("captured").get<double>() < 1.0);
        CHECK_THAT(all.at("captured").get<double>(), Catch::Matchers::WithinAbs(1.0, 1e-9));
        CHECK(all.at("bleu") == dense.at("bleu"));
        for (const Json& row : report.at("models")) CHECK(row.at("seconds_per_sentence").get<double>() > 0);
        CHECK(report.at("signature").get<std::string>().find("version") != std::string::npos);

        const Json shown = permille({"adapter", "show", out, "--json"}).json();
        CHECK(shown.at("method") == "moefication");
        CHECK(shown.at("settings").at("active") == 4);
        CHECK(shown.at("settings").at("split") == split);
        CHECK(permille({"translate", "-m", kBase, "-a", out, "-s", "it", "-t", "en", "--max-length", "10"}, {.input = "apri la porta\n"})
                  .code == 0);
        CHECK(work.scores(out) != work.scores(""));
        CHECK(permille({"merge", "-m", kBase, "-a", out, "-o", work.place("merged")}).code == 1);
    }
    const Ran table =
        work.run({"--experts", "8", "--active", "2", "--router", "similarity", "--stacks", "decoder", "--out", work.place("table")});
    INFO(table.err);
    REQUIRE(table.code == 0);
    for (const char* word : {"FFN work", "2 of 8", "dense", "BLEU"}) CHECK(table.out.find(word) != std::string::npos);
}

TEST_CASE("an adapter is merged before the conversion", "[cli]") {
    const Workplace work;
    const std::string adapter = work.trained("lora"), out = work.place("out");
    const Ran ran = work.run({"-a", adapter, "--experts", "4", "--active", "4", "--router", "truth", "--out", out, "--json"});
    INFO(ran.err);
    REQUIRE(ran.code == 0);
    const auto apart = work.scores(adapter), together = work.scores(out), base = work.scores("");
    for (std::size_t i = 0; i < base.size(); ++i) {
        CHECK(std::abs(together[i] - apart[i]) < 1e-3);
        CHECK(std::abs(together[i] - base[i]) > 0.01);
    }
}

TEST_CASE("what cannot be converted is refused and leaves nothing behind", "[cli]") {
    const Workplace work;
    const std::string out = work.place("out");
    const auto refused = [&](std::vector<std::string> all, int code, const std::string& word) {
        all.insert(all.end(), {"--out", out, "--json"});
        const Ran ran = permille(all);
        INFO(ran.err);
        REQUIRE(ran.code == code);
        CHECK(ran.err.find(word) != std::string::npos);
        CHECK_FALSE(std::filesystem::exists(out));
        CHECK_FALSE(std::filesystem::exists(out + ".part"));
    };
    refused(work.words({"--experts", "7", "--active", "2"}), 1, "7 does not divide the 64 neurons");
    refused(work.words({"--experts", "4", "--active", "5"}), 1, "5 is not between 1 and the experts, 4");
    refused(work.words({"--experts", "4", "--active", "two"}), 2, "--active");
    refused(work.words({"--experts", "4", "--active", "2", "--split", "other"}), 2, "--split");
    refused(work.words({"--experts", "4", "--active", "2", "-a", work.trained("prefix")}), 1, "cannot be merged");
    refused({"moefy", "-m", kBase, "--data", work.place("text.tsv"), "-s", "it", "-t", "en", "--active", "2"}, 2, "--test");
    refused({"moefy", "-m", kBase, "--data", work.place("none.tsv"), "-s", "it", "-t", "en", "--active", "2"}, 1, "none.tsv");

    const std::string smooth = work.place("smooth");
    std::filesystem::copy(kBase, smooth);
    Json config = read_json(smooth + "/config.json");
    config["activation_function"] = "gelu";
    write_json(smooth + "/config.json", config);
    refused(work.words({"--experts", "4", "--active", "2"}, smooth), 1, "GELU");

    write_text(work.folder / "out2" / "kept", "kept");
    const Ran there = work.run({"--experts", "4", "--active", "2", "--out", work.place("out2")});
    CHECK(there.code == 1);
    CHECK(there.err.find("exists already") != std::string::npos);
    CHECK(read_text(work.folder / "out2" / "kept") == "kept");
}

}  // namespace permille::test
