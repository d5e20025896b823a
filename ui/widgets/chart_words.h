// How runs, metrics and the parts of a chart (core/analysis/chart.h) are called in the window.
#pragma once

#include <QString>
#include <string>

#include "core/analysis/chart.h"

namespace permille::ui {

// "BLEU" for bleu.
QString shown_metric(const std::string& metric);
// The method's name for people: from the method table, else the id itself; "Untouched base" where there is none.
QString shown_method(const std::string& id);
// "it → en"
QString shown_pair(const RunSpec& spec);

// "Training sentences"
QString axis_title(Against x);
// "BLEU"; "TER (lower is better: the axis points down)".
QString score_title(const Chart& chart);
// What hovering over a point shows, several lines.
QString told_about(const ChartPoint& point, const Chart& chart);

// The chart of these runs with the program's own methods.
Chart chart_of(const std::vector<RunRow>& runs, const ChartRequest& request = {});

}  // namespace permille::ui
