#include "core/base/budget.h"

#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

using Unit = Budget::Unit;

TEST_CASE("budgets are read with their unit", "[base]") {
    const std::pair<const char*, Budget> cases[] = {
        {"2%", 2},
        {" 0.5 % ", 0.5},
        {"5‰", 0.5},
        {"1e-3%", 0.001},
        {"300k", {300000, Unit::parameters}},
        {"300 K", {300000, Unit::parameters}},
        {"1.2M", {1200000, Unit::parameters}},
        {"0.0035G", {3500000, Unit::parameters}},
        {"250000", {250000, Unit::parameters}},
        {"101", {101, Unit::parameters}},
        {"2MB", {2000000, Unit::bytes}},
        {"500kB", {500000, Unit::bytes}},
        {"1.5MiB", {1572864, Unit::bytes}},
        {"4096B", {4096, Unit::bytes}},
        {"at most 2%", {2, Unit::percent, true}},
        {"at most  2MB", {2000000, Unit::bytes, true}},
    };
    for (const auto& [text, want] : cases) {
        INFO(text);
        const Budget got = parse_budget(text, "here");
        CHECK(got == want);
        CHECK(parse_budget(format_budget(got), "again") == got);
    }
    CHECK(parse_budget("0.7‰", "here") == parse_budget("0.07%", "here"));
}

TEST_CASE("budgets are written as people would", "[base]") {
    CHECK(format_budget(2) == "2%");
    CHECK(format_budget(0.07) == "0.07%");
    CHECK(format_budget({300000, Unit::parameters}) == "300k");
    CHECK(format_budget({1234567, Unit::parameters}) == "1234567");
    CHECK(format_budget({1234000, Unit::parameters}) == "1.234M");
    CHECK(format_budget({7, Unit::parameters}) == "0.007k");
    CHECK(format_budget({2500000, Unit::bytes, true}) == "at most 2.5MB");
    for (const double count : {1.0, 99.0, 100.0, 101.0, 999.0, 1000.0, 1001.0, 123456789.0, 4e9})
        for (const Unit unit : {Unit::parameters, Unit::bytes}) {
            const Budget budget(count, unit);
            INFO(format_budget(budget));
            CHECK(parse_budget(format_budget(budget), "here") == budget);
        }
}

TEST_CASE("what is no budget is refused, a bare small number too", "[base]") {
    for (const char* wrong : {"",     "%", "2",   "0.02", "100", "2 percent", "-1%",  "nan%",  "inf%",      "1e9%",    "0%",         "101%",
                              "1,5%", "k", "-3k", "0.5B", "1.5", "150.5",     "infM", "1e20M", "2 MB free", "at most", "at least 2%"}) {
        INFO(wrong);
        require_error([&] { parse_budget(wrong, "here"); }, ErrorKind::config, {"here", "'" + std::string(wrong) + "'"});
    }
    require_error([] { parse_budget("2", "--budget"); }, ErrorKind::config, {"2%", "300k", "2MB"});
}
