#include "core/data/recipe.h"

#include "core/base/files.h"
#include "tests/support/test.h"

namespace permille {
namespace {

const std::string kRecipe = R"(recipe: tiny
split: {test_sentences: 5}
packages:
  - {package: app, licence: GPL-2+}
  - {package: "help-{language}", origin: help, reader: libreoffice, english: help-en-us, licence: MPL-2.0}
pairs: [it-en, zh_CN-it]
)";

}  // namespace

TEST_CASE("a recipe says which packages its pairs need", "[data]") {
    const test::TemporaryFolder folder;
    write_text(folder / "tiny.yaml", kRecipe);
    const Recipe recipe = find_recipe((folder / "tiny.yaml").string());
    CHECK(recipe.name == "tiny");
    CHECK(recipe.split.test_sentences == 5);
    CHECK(recipe.corpus_name("it-en") == "it-en");
    CHECK(recipe.package_names(recipe.pairs) == std::vector<std::string>{"app", "help-en-us", "help-it", "help-zh-cn"});
    CHECK(recipe.package_names({"it-en"}) == std::vector<std::string>{"app", "help-en-us", "help-it"});
}

TEST_CASE("the shipped recipes are sound", "[data]") {
    const auto shipped = std::filesystem::path(PERMILLE_TESTS_DIR).parent_path() / "resources" / "recipes";
    const Recipe recipe = read_recipe(shipped / "software-texts.yaml");
    std::size_t with_english = 0;
    for (const auto& pair : recipe.pairs) with_english += pair.ends_with("-en") ? 1 : 0;
    CHECK(with_english >= 8);
    CHECK(recipe.packages.size() >= 20);
    CHECK(read_recipe(shipped / "samples.yaml").corpus_name("it-en") == "it-en-sample");
}

TEST_CASE("mistakes in a recipe are reported with their line", "[data]") {
    const test::TemporaryFolder folder;
    const auto fails = [&folder](const std::string& from, const std::string& to, const std::vector<std::string>& words) {
        std::string text = kRecipe;
        text.replace(text.find(from), from.size(), to);
        INFO(text);
        write_text(folder / "tiny.yaml", text);
        test::require_error([&folder] { read_recipe(folder / "tiny.yaml"); }, ErrorKind::config, words);
    };
    fails("pairs: [", "pairs: [it-qqq12, ", {"tiny.yaml:6:", "qqq12"});
    fails("licence: GPL-2+", "license: GPL-2+", {"tiny.yaml:4:", "did you mean 'licence'"});
    fails("reader: libreoffice", "reader: word", {"tiny.yaml:5:", "word", "known are"});
    fails("english: help-en-us, ", "", {"tiny.yaml:5:", "english"});
    fails("test_sentences: 5", "test_sentences: many", {"tiny.yaml:2", "test_sentences"});
    fails("recipe: tiny", "recipe: [", {"tiny.yaml"});
    fails("recipe: tiny\n", "", {"recipe"});
    fails("packages:", "packets:", {"tiny.yaml:3:", "packages"});
    fails("recipe: tiny\n", "recipe: tiny\ncorpus: same\n", {"tiny.yaml:2:", "{pair}"});
    fails("recipe: tiny\n", "recipe: tiny\nrows: -4\n", {"tiny.yaml:2:", "rows"});
    test::require_error([] { find_recipe("no-such-recipe"); }, ErrorKind::config, {"no-such-recipe", "no such recipe"});
    write_text(folder / "tiny.yaml", "just text");
    test::require_error([&folder] { read_recipe(folder / "tiny.yaml"); }, ErrorKind::config, {"tiny.yaml"});
}

}  // namespace permille
