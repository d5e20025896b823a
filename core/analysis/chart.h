// What a chart of runs shows, as plain values: a pure function from runs to panels, series, points and reference lines. The window draws
// it, `permille plot` writes it into a file or prints it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/analysis/estimate.h"
#include "core/analysis/properties.h"

namespace permille {

// A property that varies among the runs and is neither the group nor the facet nor the axis parts panels too, so that one panel never mixes
// unlike runs; without a facet it becomes part of the series' names.
struct ChartRequest {
    Against x = Against::trainable_percent;
    std::string metric = {};            // an id; "": the one that most runs have
    Property group = Property::method;  // what distinguishes series from one another
    Property facet = Property::pair;    // what gets panels of its own
};

// One setting; several runs when it was trained with several seeds.
struct ChartPoint {
    double x = 0;  // the mean over the seeds
    Estimate score;
    std::vector<std::int64_t> runs = {};  // their ids, by seed
    RunRow first = {};                    // that of the smallest seed, for what is told about the point
};

struct ChartSeries {
    std::string name;
    int style = 0;                   // colour and shape; the same in every panel
    std::vector<ChartPoint> points;  // by x
};

// A horizontal line: the whole base trained, or the untouched base.
struct ChartReference {
    enum class Kind { whole_base, untouched };
    Kind kind = Kind::whole_base;
    std::string name;
    ChartPoint point;
};

struct ChartPanel {
    std::string title;
    std::vector<ChartSeries> series;
    std::vector<ChartReference> references;
};

struct Chart {
    std::vector<ChartPanel> panels;  // empty when nothing is finished yet
    std::string metric;              // its id
    bool higher_is_better = true;
    Against x = Against::trainable_percent;
    std::size_t runs = 0;                 // how many the chart holds
    std::size_t without = 0;              // finished runs that have no score of the metric
    std::vector<std::string> signatures;  // of the metric; several when languages ask for different tokenisers
};

// Only finished runs with a score of the wanted metric count. Runs that train the whole base are a reference line where x is a size; those
// of the untouched base are always a line.
Chart make_chart(const std::vector<RunRow>& runs, const std::vector<MethodInfo>& methods, const ChartRequest& request = {});

// The metrics of the finished runs, the most frequent first.
std::vector<std::string> metrics_of(const std::vector<RunRow>& runs);

// What the bars are: "bars: ± 1 standard deviation over N = 3 seeds; nrefs:1|case:mixed|..."; "" when there is nothing to say.
std::string note_of(const Chart& chart);

// {metric, higher_is_better, runs, without, panels: [{title, series: [{name, points: [{x, mean, low, high, spread, seeds, runs}]}],
// references: [...]}]}
Json to_json(const Chart& chart);

}  // namespace permille
