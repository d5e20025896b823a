// Neither window nor command line knows a method: what they want to know of one they ask of its data.
#include <regex>
#include <set>
#include <string>

#include "core/base/files.h"
#include "core/base/spec.h"
#include "tests/support/program.h"
#include "tests/support/test.h"

namespace permille::test {
namespace {

// Words that are something else where they stand.
const std::set<std::pair<std::string, std::string>> kOtherMeanings = {{"app/cli/adapters.cpp", "none"},           // no adapter
                                                                      {"app/cli/commands/moefy.cpp", "experts"},  // the title of a column
                                                                      // How many there are:
                                                                      {"app/cli/commands/info.cpp", "parameters"},
                                                                      {"app/cli/commands/inherit.cpp", "parameters"},
                                                                      {"app/cli/commands/merge.cpp", "parameters"},
                                                                      {"app/cli/commands/pretrain.cpp", "parameters"}};

std::set<std::string> method_ids() {
    std::set<std::string> ids = {RunSpec::kUntouched};
    for (const Json& method : permille({"methods", "--json"}).json()) ids.insert(method.at("id").get<std::string>());
    return ids;
}

std::vector<std::string> ids_in(const std::string& text, const std::set<std::string>& ids) {
    static const std::regex literal(R"re("([a-z0-9_]+)")re");
    std::vector<std::string> found;
    for (auto match = std::sregex_iterator(text.begin(), text.end(), literal); match != std::sregex_iterator(); ++match)
        if (ids.contains((*match)[1])) found.push_back((*match)[1]);
    return found;
}

}  // namespace

TEST_CASE("no method is named in the window or the command line", "[house]") {
    const std::set<std::string> ids = method_ids();
    REQUIRE(ids.size() > 20);
    CHECK(ids_in("if (method == \"full\") return u\"none\"_s;", ids) == std::vector<std::string>{"full", "none"});
    const std::filesystem::path root = PERMILLE_SOURCE_DIR;
    auto unused = kOtherMeanings;
    for (const char* top : {"app", "ui"}) {
        for (const auto& entry : std::filesystem::recursive_directory_iterator(root / top)) {
            if (entry.path().extension() != ".cpp" && entry.path().extension() != ".h") continue;
            const std::string file = entry.path().lexically_relative(root).generic_string();
            for (const auto& id : ids_in(read_text(entry.path()), ids)) {
                unused.erase({file, id});
                if (kOtherMeanings.contains({file, id})) continue;
                FAIL_CHECK(file << " names the method '" << id << "': ask its MethodInfo, or RunSpec::untouched()");
            }
        }
    }
    for (const auto& [file, word] : unused) FAIL_CHECK(file << " no longer says '" << word << "': take it off the list");
}

}  // namespace permille::test
