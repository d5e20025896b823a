#include "core/base/files.h"
#include "tests/support/program.h"
#include "tests/support/test.h"

namespace permille::test {
namespace {

// Different enough that the split sees different skeletons.
std::string sentence(int number, const std::vector<std::string>& words) {
    std::string text;
    unsigned state = static_cast<unsigned>(number) * 2654435761u + 12345u;
    for (int i = 0; i < 8; ++i) {
        state = state * 1664525u + 1013904223u;
        text += (i ? " " : "") + words[(state >> 16) % words.size()];
    }
    text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
    return text + ".";
}

std::string pairs(int count) {
    const std::vector<std::string> italian = {"casa",    "gatto", "mare",  "sole",   "apre", "chiude",
                                              "vecchio", "nuovo", "porta", "albero", "pane", "strada"};
    const std::vector<std::string> english = {"house", "cat", "sea",  "sun",  "opens", "closes",
                                              "old",   "new", "door", "tree", "bread", "street"};
    std::string text;
    for (int i = 0; i < count; ++i) text += sentence(i, italian) + "\t" + sentence(i, english) + "\n";
    return text;
}

}  // namespace

TEST_CASE("text is imported into a named corpus that stats knows", "[cli]") {
    const TemporaryFolder folder;
    const RunOptions here = {.environment = {"PERMILLE_HOME=" + (folder / "home").string()}};
    write_text(folder / "text.tsv", pairs(600));
    const Ran made = permille({"data", "import", (folder / "text.tsv").string(), "--src-lang", "it", "--tgt-lang", "en", "--name", "small",
                               "--licence", "CC0", "--test-sentences", "10", "--valid-sentences", "10", "--json"},
                              here);
    INFO(made.err);
    REQUIRE(made.code == 0);
    REQUIRE(made.json().is_object());
    CHECK(std::filesystem::exists(folder / "home/corpora/small/train.tsv"));
    CHECK(std::filesystem::exists(folder / "home/permille.db"));

    const Ran all = permille({"data", "stats"}, here);
    CHECK(all.code == 0);
    CHECK(all.out.find("small") != std::string::npos);
    CHECK(permille({"data", "stats", "small", "--json"}, here).json().size() == 1);

    SECTION("a second import under the same name needs --replace") {
        const std::vector<std::string> again = {"data", "import", (folder / "text.tsv").string(), "-s", "it", "-t", "en", "-n", "small"};
        CHECK(permille(again, here).code != 0);
        auto replacing = again;
        replacing.push_back("--replace");
        CHECK(permille(replacing, here).code == 0);
    }
    SECTION("an unknown name is answered with the nearest") {
        const Ran wrong = permille({"data", "stats", "smal"}, here);
        CHECK(wrong.code == 1);
        CHECK(wrong.err.find("'small'") != std::string::npos);
    }
}

TEST_CASE("wrong text fails with file and line", "[cli]") {
    const TemporaryFolder folder;
    const RunOptions here = {.environment = {"PERMILLE_HOME=" + (folder / "home").string()}};
    write_text(folder / "a.it", "uno\ndue\ntre\n");
    write_text(folder / "a.en", "one\ntwo\n");
    const Ran misaligned = permille(
        {"data", "import", (folder / "a.it").string(), (folder / "a.en").string(), "-s", "it", "-t", "en", "-n", "x", "--json"}, here);
    CHECK(misaligned.code == 1);
    CHECK(misaligned.error().at("kind") == "file");
    CHECK(misaligned.error().at("where").get<std::string>().find("a.") != std::string::npos);
    CHECK_FALSE(std::filesystem::exists(folder / "home/corpora/x"));

    const Ran missing =
        permille({"data", "clean", (folder / "no.tsv").string(), "-s", "it", "-t", "en", "-o", (folder / "o.tsv").string()}, here);
    CHECK(missing.code == 1);
    CHECK(missing.err.find("no.tsv") != std::string::npos);

    write_text(folder / "empty.tsv", "");
    CHECK(permille({"data", "import", (folder / "empty.tsv").string(), "-s", "it", "-t", "en", "-n", "x"}, here).code == 1);
}

TEST_CASE("cleaning counts its reasons and splitting leaks nothing", "[cli]") {
    const TemporaryFolder folder;
    write_text(folder / "text.tsv", pairs(300) + "uno\tone\n");
    const std::string text = (folder / "text.tsv").string();
    const Ran cleaned = permille({"data", "clean", text, "-s", "it", "-t", "en", "-o", (folder / "clean.tsv").string(), "--json"});
    REQUIRE(cleaned.code == 0);
    CHECK(cleaned.json().at("read") == 301);
    CHECK(cleaned.json().dump().find("too_short") != std::string::npos);
    const Ran split =
        permille({"data", "split", (folder / "clean.tsv").string(), "-s", "it", "-t", "en", "-o", (folder / "parts").string()});
    INFO(split.err);
    CHECK(split.code == 0);
    CHECK(std::filesystem::exists(folder / "parts/test.tsv"));
}

TEST_CASE("a recipe names its packages", "[cli]") {
    const Ran ran = permille({"data", "recipe", "software-texts", "--pairs", "it-en", "--list-packages"});
    CHECK(ran.code == 0);
    CHECK(ran.out.find("libreoffice-help-it\n") != std::string::npos);
    CHECK(permille({"data", "recipe", "software-text"}).code == 1);
    CHECK(permille({"data"}).code == 2);
}

}  // namespace permille::test
