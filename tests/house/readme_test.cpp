// What the README promises exists.
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include "core/base/files.h"
#include "tests/support/program.h"
#include "tests/support/test.h"

namespace permille::test {
namespace {

std::string source_file(const std::string& name) { return read_text(std::filesystem::path(PERMILLE_SOURCE_DIR) / name); }

std::set<std::string> matches(const std::string& text, const std::string& pattern) {
    std::set<std::string> found;
    const std::regex regex(pattern);
    for (auto match = std::sregex_iterator(text.begin(), text.end(), regex); match != std::sregex_iterator(); ++match)
        found.insert((*match)[1]);
    return found;
}

// The verbs as --help lists them: two blanks, the name, blanks, the summary.
std::set<std::string> verbs() {
    const std::string help = permille({"--help"}).out;
    return matches(help.substr(help.find("Subcommands:")), R"((?:^|\n)  ([a-z]+) )");
}

}  // namespace

TEST_CASE("every verb of the README is in --help, and the other way round", "[house]") {
    const auto named = matches(source_file("README.md"), R"(`permille ([a-z]+)\b)");
    const auto known = verbs();
    REQUIRE(known.size() >= 17);
    for (const auto& verb : named) {
        INFO("in the README: " << verb);
        CHECK(known.contains(verb));
    }
    for (const auto& verb : known) {
        INFO("in --help: " << verb);
        CHECK(named.contains(verb));
    }
}

TEST_CASE("every verb has a help page that explains each of its options", "[house]") {
    for (const auto& verb : verbs()) {
        INFO(verb);
        const Ran ran = permille({verb, "--help"});
        CHECK(ran.code == 0);
        CHECK(ran.out.find("--json") != std::string::npos);
    }
}

TEST_CASE("the files that the README names exist", "[house]") {
    for (const auto& file : matches(source_file("README.md"), R"(\]\(([^)#:]+)\))")) {
        INFO(file);
        CHECK(std::filesystem::exists(std::filesystem::path(PERMILLE_SOURCE_DIR) / file));
    }
    for (const auto& file :
         matches(source_file("README.md"), R"((?:^|[\s`(])((?:packaging|resources|tests|core)/[A-Za-z0-9_./-]+[A-Za-z0-9_]))")) {
        INFO(file);
        CHECK(std::filesystem::exists(std::filesystem::path(PERMILLE_SOURCE_DIR) / file));
    }
}

}  // namespace permille::test
