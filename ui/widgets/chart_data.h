// What the chart of a database shows, as plain values: a pure function from runs to panels, series, points and reference lines. The window
// and `permille plot` draw the same.
#pragma once

#include <QString>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/store/store.h"

namespace permille::ui {

enum class ChartX { trainable_percent, trainable, train_sentences, seconds };
// What distinguishes series from one another, and what gets panels of its own. A property that varies among the runs and is neither of the
// two nor the x axis gets panels too, so that one panel never mixes unlike runs; with ChartSplit::none it becomes part of the series'
// names.
enum class ChartSplit { none, method, pair, base, train_sentences };

// "trainable_percent", ...; throw Error(usage) with the known ones.
ChartX chart_x(const std::string& name, const std::string& where);
ChartSplit chart_split(const std::string& name, const std::string& where);

struct ChartRequest {
    ChartX x = ChartX::trainable_percent;
    std::string metric = {};  // "bleu"; "": the one that most runs have
    ChartSplit group = ChartSplit::method;
    ChartSplit facet = ChartSplit::pair;
};

// One setting; several runs when it was trained with several seeds.
struct ChartPoint {
    double x = 0, y = 0;                        // y: the mean over the seeds
    std::optional<double> low = {}, high = {};  // y -+ the standard deviation over seeds; with one seed the 95 % bootstrap interval
    std::vector<std::int64_t> runs = {};        // their ids, by seed
    QString text = {};                          // what hovering shows, several lines
};

struct ChartSeries {
    QString name;
    int style = 0;                   // colour and shape; the same in every panel
    std::vector<ChartPoint> points;  // by x
};

// A horizontal line: full fine-tuning or the untouched base.
struct ChartReference {
    enum class Kind { full, untouched };
    Kind kind = Kind::full;
    QString name;
    ChartPoint point;
};

struct ChartPanel {
    QString title;
    std::vector<ChartSeries> series;
    std::vector<ChartReference> references;
};

struct ChartData {
    std::vector<ChartPanel> panels;  // empty when nothing is finished yet
    std::string metric;
    QString x_title, y_title;
    QString note;          // what the bars are, and the metric's signature
    std::size_t runs = 0;  // how many the chart holds
};

// Only finished runs with a score of the wanted metric count. Runs that train the whole base are the reference line "full fine-tuning"
// where x is a size; those of the untouched base are always a line.
ChartData chart_data(const std::vector<RunRow>& runs, const ChartRequest& request = {});

// The metrics of the finished runs, the most frequent first.
std::vector<std::string> chart_metrics(const std::vector<RunRow>& runs);

// "BLEU" for bleu.
QString shown_metric(const std::string& metric);
// The method's name for people: from the method table, else the id itself; "untouched base" for "none".
QString shown_method(const std::string& id);
// "it → en"
QString shown_pair(const RunSpec& spec);

}  // namespace permille::ui
