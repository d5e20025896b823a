#include "core/store/table.h"

#include <limits>

#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

Table some_table() {
    Table table;
    table.columns = {{"method", "method", ColumnKind::text},
                     {"percent_base", "% of base", ColumnKind::percent},
                     {"score", "BLEU", ColumnKind::score},
                     {"signature", "signature", ColumnKind::text, false},
                     {"settings", "settings", ColumnKind::other, false}};
    table.rows = {{"lora_r & co", 0.52345678, 20.45, "a|b", Json{{"rank", 8}}},
                  {"日本語, \"quoted\"", 2.0, std::numeric_limits<double>::quiet_NaN(), nullptr, nullptr},
                  {"full", 100, nullptr, "c\td", Json::object()}};
    return table;
}

}  // namespace

TEST_CASE("a table is aligned by display width", "[store]") {
    REQUIRE(render(some_table(), TableFormat::table) ==
            "method            % of base  BLEU\n"
            "----------------  ---------  ----\n"
            "lora_r & co           0.523  20.4\n"
            "日本語, \"quoted\"       2.00   nan\n"
            "full                    100\n");
}

TEST_CASE("CSV and TSV hold every column in full", "[store]") {
    REQUIRE(render(some_table(), TableFormat::csv) ==
            "method,percent_base,score,signature,settings\n"
            "lora_r & co,0.52345678,20.45,a|b,\"{\"\"rank\"\":8}\"\n"
            "\"日本語, \"\"quoted\"\"\",2.0,nan,,\n"
            "full,100,,c\td,{}\n");
    REQUIRE(render(some_table(), TableFormat::tsv) ==
            "method\tpercent_base\tscore\tsignature\tsettings\n"
            "lora_r & co\t0.52345678\t20.45\ta|b\t{\"rank\":8}\n"
            "日本語, \"quoted\"\t2.0\tnan\t\t\n"
            "full\t100\t\tc d\t{}\n");
}

TEST_CASE("JSON is an array of objects in full precision", "[store]") {
    const Json parsed = Json::parse(render(some_table(), TableFormat::json));
    REQUIRE(parsed.size() == 3);
    REQUIRE(parsed[0].dump() ==
            R"({"method":"lora_r & co","percent_base":0.52345678,"score":20.45,"signature":"a|b","settings":{"rank":8}})");
    REQUIRE(parsed[1]["score"].is_null());
    REQUIRE(render(Table{}, TableFormat::json) == "[]\n");
}

TEST_CASE("Markdown and LaTeX are escaped", "[store]") {
    Table table;
    table.columns = {{"a", "a|b", ColumnKind::text}, {"p", "% of base", ColumnKind::percent}};
    table.rows = {{"x_1 & {y} ~ 5% $ # ^ \\ <", 0.05}, {"p|q", 12.345}};
    REQUIRE(render(table, TableFormat::md) ==
            "| a\\|b | % of base |\n"
            "| --- | ---: |\n"
            "| x_1 & {y} ~ 5% $ # ^ \\\\ < | 0.0500 |\n"
            "| p\\|q | 12.3 |\n");
    REQUIRE(render(table, TableFormat::latex) ==
            "% needs \\usepackage{booktabs}\n"
            "\\begin{tabular}{lr}\n"
            "\\toprule\n"
            "a|b & \\% of base \\\\\n"
            "\\midrule\n"
            "x\\_1 \\& \\{y\\} \\textasciitilde{} 5\\% \\$ \\# \\textasciicircum{} \\textbackslash{} \\textless{} & 0.0500 \\\\\n"
            "p|q & 12.3 \\\\\n"
            "\\bottomrule\n"
            "\\end{tabular}\n");
}

TEST_CASE("values are rounded for people", "[store]") {
    const std::vector<std::pair<double, std::string>> percentages = {{0, "0"},         {0.0012345, "0.00123"}, {0.052, "0.0520"},
                                                                     {0.9996, "1.00"}, {2.01, "2.01"},         {9.996, "10.0"},
                                                                     {99.96, "100"},   {100, "100"},           {1234.5, "1234"}};
    for (const auto& [value, text] : percentages) REQUIRE(shown(value, ColumnKind::percent) == text);
    REQUIRE(shown(20.44999, ColumnKind::score) == "20.4");
    REQUIRE(shown(0.04, ColumnKind::score) == "0.0");
    REQUIRE(shown(5.25, ColumnKind::seconds) == "5.2 s");
    REQUIRE(shown(59.4, ColumnKind::seconds) == "59 s");
    REQUIRE(shown(59.6, ColumnKind::seconds) == "1 m 00 s");
    REQUIRE(shown(3905, ColumnKind::seconds) == "1 h 05 m");
    REQUIRE(shown(1 << 30, ColumnKind::bytes) == "1024 MiB");
    REQUIRE(shown(170000, ColumnKind::whole) == "170000");
    REQUIRE(shown(nullptr, ColumnKind::score).empty());
    REQUIRE(shown(std::numeric_limits<double>::quiet_NaN(), ColumnKind::score) == "nan");
}

TEST_CASE("display width counts wide characters twice and marks not at all", "[store]") {
    REQUIRE(display_width("abc") == 3);
    REQUIRE(display_width("日本") == 4);
    REQUIRE(display_width("e\xcc\x81") == 1);
    REQUIRE(display_width("‰é") == 2);
    REQUIRE(display_width("한글") == 4);
}

TEST_CASE("formats are known by name", "[store]") {
    REQUIRE(table_format("latex", "--format") == TableFormat::latex);
    REQUIRE(table_format("table", "--format") == TableFormat::table);
    require_error([] { table_format("xlsx", "--format"); }, ErrorKind::usage, {"--format", "'xlsx'", "csv"});
}
