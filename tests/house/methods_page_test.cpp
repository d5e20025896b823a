// The page of methods in docs is the one that the program makes.
#include "core/base/files.h"
#include "core/peft/catalog.h"
#include "core/peft/method_data.h"
#include "tests/support/program.h"
#include "tests/support/test.h"

namespace permille::test {

TEST_CASE("docs/methods.md is what 'permille methods --markdown' prints", "[house]") {
    const Ran ran = permille({"methods", "--markdown"});
    INFO(ran.err);
    REQUIRE(ran.code == 0);
    INFO("if the table of methods has changed: permille methods --markdown > docs/methods.md");
    CHECK(ran.out == read_text(std::filesystem::path(PERMILLE_SOURCE_DIR) / "docs/methods.md"));
    // The program without libtorch tells what the table itself says, field for field.
    const Json told = permille({"methods", "--json"}).json();
    Json table = Json::array();
    for (const MethodInfo& method : method_catalog()) {
        table.push_back(to_json(method));
        CHECK(to_json(method_from_json(table.back())) == table.back());
    }
    CHECK(told == table);
    const Json both = permille({"methods", "lora+layernorm", "--json"}).json();
    CHECK(both.at(0) == to_json(find_method("lora+layernorm", "")));
    CHECK(permille({"methods", "lroa"}).err.find("did you mean 'lora'?") != std::string::npos);
    for (const Json& method : told) {
        INFO(method.at("id"));
        CHECK(ran.out.find("\n## " + method.at("name").get<std::string>() + "\n") != std::string::npos);
        CHECK_FALSE(method.at("equation").get<std::string>().empty());
        CHECK_FALSE(method.at("advice").get<std::string>().empty());
        for (const Json& knob : method.at("knobs"))
            CHECK(ran.out.find("| `" + knob.at("name").get<std::string>() + "` |") != std::string::npos);
    }
}

}  // namespace permille::test
