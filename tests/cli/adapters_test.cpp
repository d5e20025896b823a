// Several adapters side by side over one base, on the tests' own base.
#include "core/base/files.h"
#include "tests/support/program.h"
#include "tests/support/test.h"
#include "tests/support/toy.h"

namespace permille::test {
namespace {

const std::string kLines = "apri la porta\n\nil file è aperto\n";

class Adapters {
public:
    Adapters() {
        write_text(folder / "text.tsv",
                   "apri la porta\topen the door\nchiudi la finestra\tclose the window\nil file è aperto\tthe file is open\n");
        for (const char* method : {"lora", "prefix"}) {
            const std::string text = (folder / "text.tsv").string();
            const Ran ran = permille(
                {"train", "-m",    kBase,         "--method",        method, "--train",          text, "--valid",   text, "-s",
                 "it",    "-t",    "en",          "--learning-rate", "0.1",  "--warmup-updates", "0",  "--updates", "5",  "--batch-tokens",
                 "500",   "--out", place(method), "--threads",       "1"});
            INFO(ran.err);
            REQUIRE(ran.code == 0);
        }
    }
    std::string place(const std::string& name) const { return (folder / name).string(); }
    static Ran translate(const std::vector<std::string>& more, const std::string& input = kLines) {
        std::vector<std::string> words = {"translate", "-m", kBase,          "-s", "it",        "-t", "en",
                                          "--beam",    "2",  "--max-length", "12", "--threads", "1"};
        words.insert(words.end(), more.begin(), more.end());
        return permille(words, {.input = input});
    }
    Ran score(const std::vector<std::string>& more) const {
        std::vector<std::string> words = {"score", "-m", kBase, "-s", "it", "-t", "en", "--input", place("text.tsv"), "--threads", "1"};
        words.insert(words.end(), more.begin(), more.end());
        return permille(words);
    }
    const TemporaryFolder folder;
};

std::vector<std::string> split(const std::string& text, char end) {
    std::vector<std::string> parts(1);
    for (const char letter : text) {
        if (letter == end) parts.emplace_back();
        else parts.back() += letter;
    }
    return parts;
}

}  // namespace

TEST_CASE("several adapters translate side by side as they do alone", "[cli]") {
    const Adapters adapters;
    const std::string lora = adapters.place("lora"), prefix = adapters.place("prefix");
    std::vector<std::vector<std::string>> alone;
    for (const std::vector<std::string>& options : {std::vector<std::string>{"-a", lora}, {"-a", prefix + "/"}, {}}) {
        const Ran ran = Adapters::translate(options);
        INFO(ran.err);
        REQUIRE(ran.code == 0);
        alone.push_back(split(ran.out, '\n'));
        REQUIRE(alone.back().size() == 4);
    }
    CHECK((alone[0] != alone[1] && alone[0] != alone[2]));
    CHECK(split(Adapters::translate({"-a", "none"}).out, '\n') == alone[2]);

    const Ran ran = Adapters::translate({"-a", lora, "-a", prefix, "-a", "none"});
    INFO(ran.err);
    REQUIRE(ran.code == 0);
    const auto lines = split(ran.out, '\n');
    REQUIRE(lines.size() == 4);
    for (std::size_t i = 0; i < 3; ++i) CHECK(split(lines[i], '\t') == std::vector<std::string>{alone[0][i], alone[1][i], alone[2][i]});

    const Ran json = Adapters::translate({"-a", "law=" + lora, "-a", prefix, "--n-best", "2", "--json"});
    INFO(json.err);
    REQUIRE(json.code == 0);
    REQUIRE(json.json().size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
        const Json line = json.json()[i];
        CHECK(line.at("text") == alone[0][i]);
        REQUIRE(line.at("adapters").size() == 2);
        CHECK(line["adapters"][0].at("adapter") == "law");
        CHECK(line["adapters"][0].at("ids") == line.at("ids"));
        CHECK(line["adapters"][0].at("alternatives") == line.at("alternatives"));
        CHECK(line["adapters"][1].at("adapter") == "prefix");
        CHECK(line["adapters"][1].at("text") == alone[1][i]);
    }

    write_text(adapters.folder / "which", "prefix\nnone\nlora\n");
    const std::string which = adapters.place("which");
    const Ran chosen = Adapters::translate({"-a", lora, "-a", prefix, "--adapter-of", which});
    INFO(chosen.err);
    REQUIRE(chosen.code == 0);
    CHECK(split(chosen.out, '\n') == std::vector<std::string>{alone[1][0], "", alone[0][2], ""});
    const Json named = Adapters::translate({"-a", lora, "-a", prefix, "--adapter-of", which, "--json"}).json();
    CHECK(named[0].at("adapter") == "prefix");
    CHECK(named[1].at("adapter") == "none");
    CHECK(named[2].at("text") == alone[0][2]);
    CHECK_FALSE(named[2].contains("adapters"));
}

TEST_CASE("a line that asks for an adapter that is not there is named", "[cli]") {
    const Adapters adapters;
    const std::string lora = adapters.place("lora");
    write_text(adapters.folder / "which", "lora\nlwa\nlora\n");
    const Ran unknown = Adapters::translate({"-a", lora, "--adapter-of", adapters.place("which")});
    CHECK(unknown.code == 1);
    CHECK(unknown.err.find("which:2") != std::string::npos);
    CHECK(unknown.err.find("lwa") != std::string::npos);
    write_text(adapters.folder / "which", "lora\n");
    const Ran few = Adapters::translate({"-a", lora, "--adapter-of", adapters.place("which")});
    CHECK(few.code == 1);
    CHECK(few.err.find("1 lines for 3") != std::string::npos);
    const Ran twice = Adapters::translate({"-a", lora, "-a", lora});
    CHECK(twice.code == 2);
    CHECK(twice.err.find("NAME=DIR") != std::string::npos);
    CHECK(Adapters::translate({"-a", "none=" + lora}).code == 2);
    CHECK(Adapters::translate({"-a", adapters.place("nowhere")}).code == 1);
}

TEST_CASE("several adapters score side by side as they do alone", "[cli]") {
    const Adapters adapters;
    const std::string lora = adapters.place("lora"), prefix = adapters.place("prefix");
    const Json first = adapters.score({"-a", lora, "--json"}).json(), second = adapters.score({"-a", prefix, "--json"}).json(),
               base = adapters.score({"--json"}).json();
    const Ran ran = adapters.score({"-a", lora, "-a", prefix, "-a", "none", "--json"});
    INFO(ran.err);
    REQUIRE(ran.code == 0);
    const Json all = ran.json();
    REQUIRE(all.size() == 3);
    const auto close = [](const Json& a, const Json& b) {
        return std::abs(a.at("logprob").get<double>() - b.at("logprob").get<double>()) < 1e-4 && a.at("tokens") == b.at("tokens");
    };
    for (std::size_t i = 0; i < 3; ++i) {
        CHECK(close(all[i], first[i]));
        CHECK(close(all[i].at("adapters").at(0), first[i]));
        CHECK(close(all[i].at("adapters").at(1), second[i]));
        CHECK(close(all[i].at("adapters").at(2), base[i]));
        CHECK(std::abs(first[i].at("logprob").get<double>() - base[i].at("logprob").get<double>()) > 0.01);
    }
    const auto columns = split(split(adapters.score({"-a", lora, "-a", "none"}).out, '\n').at(0), '\t');
    REQUIRE(columns.size() == 3);
    CHECK(columns[2] == first[0].at("tokens").dump());
    write_text(adapters.folder / "which", "none\nlora\nprefix\n");
    const Json chosen = adapters.score({"-a", lora, "-a", prefix, "--adapter-of", adapters.place("which"), "--json"}).json();
    CHECK(close(chosen.at(0), base[0]));
    CHECK(close(chosen.at(1), first[1]));
    CHECK(close(chosen.at(2), second[2]));
}

}  // namespace permille::test
