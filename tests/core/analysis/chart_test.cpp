#include "core/analysis/chart.h"

#include <cmath>

#include "tests/core/analysis/runs.h"
#include "tests/support/test.h"

namespace permille::test {
namespace {

Chart chart_of(const std::vector<RunRow>& runs, const ChartRequest& request = {}) { return make_chart(runs, three_methods(), request); }

const ChartSeries* series(const ChartPanel& panel, const std::string& start) {
    for (const auto& entry : panel.series)
        if (entry.name.starts_with(start)) return &entry;
    return nullptr;
}

}  // namespace

TEST_CASE("each method is a series, the whole base and the untouched one are lines", "[analysis]") {
    const Chart chart = chart_of({finished_run(1, "none", 0, 5), finished_run(2, "all", 100, 25), finished_run(3, "small", 2, 18),
                                  finished_run(4, "small", 0.5, 12), finished_run(5, "unknown", 0.1, 9)});
    REQUIRE(chart.panels.size() == 1);
    CHECK(chart.runs == 5);
    const ChartPanel& panel = chart.panels[0];
    CHECK(panel.title == "it → en");
    REQUIRE(panel.series.size() == 2);
    REQUIRE(series(panel, "Small"));
    REQUIRE(series(panel, "unknown"));  // a method of a later version is called by its id
    const auto& points = series(panel, "Small")->points;
    REQUIRE(points.size() == 2);
    CHECK(points[0].x == 0.5);  // by x, not by run
    CHECK(points[0].score.mean == 12);
    CHECK(points[0].runs == std::vector<std::int64_t>{4});
    REQUIRE(panel.references.size() == 2);
    CHECK(panel.references[0].kind == ChartReference::Kind::whole_base);
    CHECK(panel.references[0].name == "Everything");
    CHECK(panel.references[0].point.score.mean == 25);
    CHECK(panel.references[1].kind == ChartReference::Kind::untouched);
    CHECK(panel.references[1].point.score.mean == 5);
}

TEST_CASE("the line of the whole base is asked of the method, not read off a percentage", "[analysis]") {
    RunRow part = finished_run(3, "all", 99.8, 24);
    part.spec.method_settings = {{"embeddings", false}};
    const Chart chart = chart_of({finished_run(1, "all", 100, 25), finished_run(2, "copies", 100.2, 22), part});
    const ChartPanel& panel = chart.panels.at(0);
    REQUIRE(panel.references.size() == 1);
    CHECK(panel.references[0].point.runs == std::vector<std::int64_t>{1});
    REQUIRE(panel.series.size() == 2);
    REQUIRE(series(panel, "Copies"));
    CHECK(series(panel, "Copies")->points.at(0).x == 100.2);
    CHECK(series(panel, "Everything")->points.at(0).runs == std::vector<std::int64_t>{3});  // without its embeddings it is no line
}

TEST_CASE("pairs get panels, and methods keep their look in them", "[analysis]") {
    const Chart chart = chart_of({finished_run(1, "copies", 0.1, 9, 1, "it"), finished_run(2, "small", 2, 18, 1, "it"),
                                  finished_run(3, "small", 2, 8, 1, "tr"), finished_run(4, "none", 0, 3, 1, "tr")});
    REQUIRE(chart.panels.size() == 2);
    CHECK(chart.panels[0].title == "it → en");
    CHECK(chart.panels[1].title == "tr → en");
    CHECK(series(chart.panels[0], "Small")->style == series(chart.panels[1], "Small")->style);
    CHECK(series(chart.panels[0], "Small")->style != series(chart.panels[0], "Copies")->style);
    CHECK(chart.panels[0].references.empty());
    CHECK(chart.panels[1].references.size() == 1);
}

TEST_CASE("data sizes are never mixed in one panel", "[analysis]") {
    auto small = finished_run(1, "small", 2, 10), large = finished_run(2, "small", 2, 18), untouched = finished_run(3, "none", 0, 4);
    small.spec.train_sentences = small.facts.train_sentences = 500;
    const Chart chart = chart_of({small, large, untouched});
    REQUIRE(chart.panels.size() == 2);
    for (const auto& panel : chart.panels) {
        CHECK(panel.series.at(0).points.size() == 1);
        CHECK(panel.references.size() == 1);  // the untouched base belongs to both
    }
    ChartRequest together;
    together.facet = Property::none;
    const Chart one = chart_of({small, large}, together);
    REQUIRE(one.panels.size() == 1);
    CHECK(one.panels[0].series.size() == 2);
    CHECK(series(one.panels[0], "Small · it → en · base · 1,000 sentences") == nullptr);  // a base that does not vary is not named
    CHECK(series(one.panels[0], "Small · 1,000 sentences"));
}

TEST_CASE("data sizes can be the axis", "[analysis]") {
    auto small = finished_run(1, "small", 2, 10), large = finished_run(2, "small", 2, 18), all = finished_run(3, "all", 100, 20);
    small.spec.train_sentences = small.facts.train_sentences = 500;
    ChartRequest request;
    request.x = Against::train_sentences;
    const Chart chart = chart_of({small, large, all}, request);
    REQUIRE(chart.panels.size() == 1);
    CHECK(chart.panels[0].series.size() == 2);  // the whole base is a series here
    CHECK(series(chart.panels[0], "Small 2%")->points.size() == 2);
}

TEST_CASE("the note says what the bars are", "[analysis]") {
    const RunRow one = finished_run(1, "small", 2, 18);
    CHECK(note_of(chart_of({one})) == "bars: 95 % bootstrap intervals, one seed (N = 1); sig");
    const RunRow two = finished_run(2, "small", 2, 20, 2);
    CHECK(note_of(chart_of({one, two})) == "bars: ± 1 standard deviation over N = 2 seeds; sig");
    CHECK(note_of(chart_of({one, two, finished_run(3, "small", 1, 9)})) ==
          "bars: ± 1 standard deviation over N = 2 seeds, 95 % bootstrap where N = 1; sig");
}

TEST_CASE("unfinished and unscored runs are left out", "[analysis]") {
    auto failed = finished_run(1, "small", 2, 18), nan = finished_run(2, "small", 0.5, std::nan(""));
    failed.state = RunState::failed;
    CHECK(chart_of({failed, nan}).panels.empty());
    CHECK(chart_of({failed, nan}).without == 1);  // finished, and not drawn
    auto other = finished_run(3, "small", 3, 40), none = finished_run(4, "small", 4, 0);
    other.score->metric = "chrf";
    none.score.reset();
    const Chart chart = chart_of({finished_run(5, "small", 2, 20), other, none});
    CHECK(chart.runs == 1);
    CHECK(chart.without == 2);
    CHECK(to_json(chart).at("without") == 2);
    CHECK(chart_of({}).panels.empty());
}

TEST_CASE("which way is better comes from the table of metrics", "[analysis]") {
    auto run = finished_run(1, "small", 2, 60);
    CHECK(chart_of({run}).higher_is_better);
    run.score->metric = "ter";
    CHECK(chart_of({run}).metric == "ter");
    CHECK_FALSE(chart_of({run}).higher_is_better);
    run.score->metric = "of a later version";
    CHECK(chart_of({run}).higher_is_better);
}

TEST_CASE("wrong names tell the known ones", "[analysis]") {
    require_error([] { against_named("size", "--x"); }, ErrorKind::usage, {"--x", "size", "trainable_percent"});
    require_error([] { property_named("colour", "--group"); }, ErrorKind::usage, {"--group", "colour", "method"});
    for (const auto& name : against_names()) against_named(name, "");
    CHECK(grouped(0) == "0");
    CHECK(grouped(-1234) == "-1,234");
    CHECK(grouped(123456) == "123,456");
    CHECK(grouped(1234567) == "1,234,567");
}

TEST_CASE("a chart as JSON has every point with its spread", "[analysis]") {
    const Json json =
        to_json(chart_of({finished_run(1, "small", 2, 18), finished_run(2, "small", 2, 22, 2), finished_run(3, "all", 100, 25)}));
    const Json& panel = json.at("panels").at(0);
    const Json& point = panel.at("series").at(0).at("points").at(0);
    CHECK(point.at("mean") == 20);
    CHECK(point.at("spread") == "deviation");
    CHECK(point.at("runs") == Json{1, 2});
    CHECK(panel.at("references").at(0).at("name") == "Everything");
    CHECK(panel.at("references").at(0).at("high") == 27);
}

}  // namespace permille::test
