#include "core/base/error.h"

#include "tests/support/test.h"

namespace permille::test {

TEST_CASE("a message says where, what and what to do", "[base]") {
    CHECK(std::string(Error(ErrorKind::config, "a.yaml:3", "'x' is not a number", "write 3").what()) ==
          "a.yaml:3: 'x' is not a number; write 3");
    CHECK(std::string(Error(ErrorKind::file, "", "is missing").what()) == "is missing");
}

TEST_CASE("a mistyped word finds the one that was meant", "[base]") {
    const std::vector<std::string> known = {"methods", "budgets", "pairs", "seeds", "study"};
    CHECK(nearest("methdos", known) == "methods");
    CHECK(nearest("budget", known) == "budgets");
    CHECK(nearest("pair", known) == "pairs");
    CHECK(nearest("Study", known) == "study");
}

TEST_CASE("no word is suggested when none is near", "[base]") {
    CHECK(nearest("temperature", {"methods", "budgets"}).empty());
    CHECK(nearest("it", {"de", "fr"}).empty());
    CHECK(nearest("loss", {"seeds", "pairs"}).empty());
    CHECK(nearest("anything", {}).empty());
}

TEST_CASE("a long list is cut with a count of the rest", "[base]") {
    CHECK(list_some({"a", "b"}) == "a, b");
    CHECK(list_some({"a", "b", "c", "d"}, 2) == "a, b and 2 more");
}

TEST_CASE("a broken promise of our own code names its line", "[base]") {
    require_error([] { PERMILLE_ASSERT(1 + 1 == 3); }, ErrorKind::internal, {"1 + 1 == 3", "error_test.cpp"});
}

}  // namespace permille::test
