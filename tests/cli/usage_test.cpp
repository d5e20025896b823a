#include "core/base/files.h"
#include "tests/support/program.h"
#include "tests/support/test.h"

namespace permille::test {

TEST_CASE("without a verb or with a wrong one the exit code is 2", "[cli]") {
    CHECK(permille({}).code == 2);
    const Ran ran = permille({"trian"});
    CHECK(ran.code == 2);
    CHECK(ran.out.empty());
    CHECK(ran.err.find("did you mean 'train'?") != std::string::npos);
}

TEST_CASE("help goes to standard output with exit code 0", "[cli]") {
    const Ran ran = permille({"--help"});
    CHECK(ran.code == 0);
    CHECK(ran.err.empty());
    for (const char* verb : {"info", "tokenize", "detokenize", "score", "translate", "bleu", "methods", "budget", "data", "pretrain",
                             "train", "run", "status", "results", "plot", "merge", "adapter", "doctor"}) {
        INFO(verb);
        CHECK(ran.out.find("\n  " + std::string(verb) + " ") != std::string::npos);
    }
}

TEST_CASE("a missing option is wrong usage, as text and as JSON", "[cli]") {
    const Ran text = permille({"translate", "--model", "x"});
    CHECK(text.code == 2);
    CHECK(text.err.find("--src-lang") != std::string::npos);
    const Ran json = permille({"translate", "--model", "x", "--json"});
    CHECK(json.code == 2);
    CHECK(json.out.empty());
    CHECK(json.error().at("kind") == "usage");
    CHECK(json.error().contains("where"));
    CHECK(json.error().contains("what"));
    CHECK(json.error().contains("fix"));
}

TEST_CASE("settings outside their range are wrong usage that names the flag and the range", "[cli]") {
    const Ran ran = permille({"train", "--model", "m", "--method", "lora", "--train", "a", "--out", "b", "--label-smoothing", "2"});
    CHECK(ran.code == 2);
    CHECK(ran.err.find("--label-smoothing") != std::string::npos);
    CHECK(ran.err.find("0.9") != std::string::npos);
    const Ran choice = permille({"train", "--model", "m", "--method", "lora", "--train", "a", "--out", "b", "--schedule", "steep"});
    CHECK(choice.code == 2);
    CHECK(choice.err.find("inverse_sqrt") != std::string::npos);
}

TEST_CASE("methods lists every method with its knobs", "[cli]") {
    const Json methods = permille({"methods", "--json"}).json();
    REQUIRE(methods.is_array());
    REQUIRE(methods.size() >= 5);
    for (const Json& method : methods) {
        INFO(method.dump());
        for (const char* field : {"id", "name", "paper", "sites", "knobs", "size_knob", "mergeable", "identity_at_start"})
            CHECK(method.contains(field));
        for (const Json& knob : method.at("knobs")) {
            for (const char* field : {"name", "type", "default", "min", "max", "help"}) CHECK(knob.contains(field));
        }
        const Ran one = permille({"methods", method.at("id").get<std::string>()});
        CHECK(one.code == 0);
        CHECK(one.out.find(method.at("paper").get<std::string>()) != std::string::npos);
    }
    const Ran wrong = permille({"methods", "loar"});
    CHECK(wrong.code == 1);
    CHECK(wrong.err.find("lora") != std::string::npos);
}

}  // namespace permille::test
