#include "core/analysis/chart.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/metrics/metrics.h"

namespace permille {

namespace {

using Runs = std::vector<const RunRow*>;

constexpr const char* kBetween = " · ";

ChartPoint point_of(const Runs& runs, Against x) {
    ChartPoint point;
    for (const RunRow* run : runs) {
        point.x += value_of(*run, x) / static_cast<double>(runs.size());
        point.runs.push_back(run->id);
    }
    point.score = estimate_of(runs);
    point.first = *runs.front();
    return point;
}

// Repetitions with other seeds become one point each; points by x.
std::vector<ChartPoint> points_of(const Runs& runs, Against x) {
    std::vector<ChartPoint> points;
    for (const Runs& group : repetitions(runs)) points.push_back(point_of(group, x));
    std::stable_sort(points.begin(), points.end(), [](const ChartPoint& a, const ChartPoint& b) { return a.x < b.x; });
    return points;
}

std::string joined(const std::vector<std::string>& parts, const char* between) {
    std::string text;
    for (const auto& part : parts) text += (text.empty() ? "" : between) + part;
    return text;
}

// Makes a chart; holds what all steps need.
class Charting {
public:
    Charting(const std::vector<MethodInfo>& methods, const ChartRequest& request) : methods_(methods), request_(request) {}

    void fill(Chart& chart, const Runs& tuned, const Runs& untouched) {
        plan(tuned.empty() ? untouched : tuned);
        std::map<std::string, Runs> panels;
        for (const RunRow* run : tuned) panels[label(*run, panels_)].push_back(run);
        if (tuned.empty())
            for (const RunRow* run : untouched) panels[label(*run, panels_)];
        // By name, so that a method looks the same in every panel.
        std::map<std::string, int> styles;
        for (const RunRow* run : tuned)
            if (!is_line(*run)) styles.emplace(series_name(*run), 0);
        int next = 0;
        for (auto& [name, style] : styles) style = next++;
        for (const auto& [title, members] : panels) chart.panels.push_back(panel(title, members, untouched, styles));
    }

private:
    // Which properties vary, and whether they part panels or series.
    void plan(const Runs& runs) {
        const auto varies = [&](Property property) {
            return std::any_of(runs.begin(), runs.end(),
                               [&](const RunRow* run) { return name(*run, property) != name(*runs.front(), property); });
        };
        for (const Property property : {Property::pair, Property::base, Property::train_sentences, Property::method}) {
            if (property == Property::train_sentences && request_.x == Against::train_sentences) continue;
            if (property == request_.group) continue;
            if (property != request_.facet && !varies(property)) continue;
            (request_.facet == Property::none ? series_ : panels_).push_back(property);
        }
        if (request_.group != Property::none) series_.insert(series_.begin(), request_.group);
    }

    std::string name(const RunRow& run, Property property) const { return name_of(run, property, methods_); }

    std::string label(const RunRow& run, const std::vector<Property>& properties) const {
        std::vector<std::string> parts;
        for (const Property property : properties) parts.push_back(name(run, property));
        return joined(parts, kBetween);
    }

    std::string series_name(const RunRow& run) const {
        std::string text = label(run, series_);
        // Where x is no size, runs of different budgets are different series.
        if (request_.x == Against::train_sentences && run.spec.budget()) text += " " + format_budget(*run.spec.budget());
        return text;
    }

    bool is_line(const RunRow& run) const { return is_size(request_.x) && trains_whole_base(run, methods_); }

    ChartPanel panel(const std::string& title, const Runs& members, const Runs& untouched, const std::map<std::string, int>& styles) const {
        ChartPanel panel;
        panel.title = title;
        std::map<std::string, Runs> series;
        Runs lines, base;
        for (const RunRow* run : members) {
            if (is_line(*run)) lines.push_back(run);
            else series[series_name(*run)].push_back(run);
        }
        // The untouched base has seen no training sentences: it stands in the panels of every data size and method.
        std::vector<Property> shared;
        for (const Property property : panels_)
            if (property == Property::pair || property == Property::base) shared.push_back(property);
        for (const RunRow* run : untouched) {
            const bool belongs = members.empty() ? label(*run, panels_) == title : label(*run, shared) == label(*members.front(), shared);
            if (belongs) base.push_back(run);
        }
        for (const auto& [series_title, of_series] : series)
            panel.series.push_back({series_title, styles.at(series_title), points_of(of_series, request_.x)});
        add_references(panel, ChartReference::Kind::whole_base, lines);
        add_references(panel, ChartReference::Kind::untouched, base);
        return panel;
    }

    // Lines for runs of one kind; they are told apart only by what also tells series apart.
    void add_references(ChartPanel& panel, ChartReference::Kind kind, const Runs& runs) const {
        std::map<std::string, Runs> lines;
        for (const RunRow* run : runs) {
            std::vector<std::string> parts{method_name(run->spec.method, methods_)};
            for (const Property property : series_) {
                if (property == Property::method) continue;
                if (kind == ChartReference::Kind::untouched && property == Property::train_sentences) continue;
                parts.push_back(name(*run, property));
            }
            lines[joined(parts, kBetween)].push_back(run);
        }
        for (const auto& [line, of_line] : lines)
            for (auto& point : points_of(of_line, request_.x)) panel.references.push_back({kind, line, std::move(point)});
    }

    const std::vector<MethodInfo>& methods_;
    const ChartRequest& request_;
    std::vector<Property> panels_, series_;
};

Json point_json(const ChartPoint& point) {
    const auto or_null = [](const std::optional<double>& value) { return value ? Json(*value) : Json(); };
    const char* spread = point.score.spread == Estimate::Spread::deviation   ? "deviation"
                         : point.score.spread == Estimate::Spread::bootstrap ? "bootstrap"
                                                                             : "none";
    return {{"x", point.x},
            {"mean", point.score.mean},
            {"low", or_null(point.score.low)},
            {"high", or_null(point.score.high)},
            {"spread", spread},
            {"seeds", point.score.seeds},
            {"runs", point.runs}};
}

}  // namespace

std::vector<std::string> metrics_of(const std::vector<RunRow>& runs) {
    std::map<std::string, int> counts;
    for (const auto& run : runs)
        if (run.state == RunState::finished && run.score) ++counts[run.score->metric];
    std::vector<std::string> metrics;
    for (const auto& [metric, count] : counts) metrics.push_back(metric);
    std::stable_sort(metrics.begin(), metrics.end(), [&](const std::string& a, const std::string& b) { return counts[a] > counts[b]; });
    return metrics;
}

Chart make_chart(const std::vector<RunRow>& runs, const std::vector<MethodInfo>& methods, const ChartRequest& request) {
    Chart chart;
    chart.x = request.x;
    chart.metric = request.metric;
    if (const auto metrics = metrics_of(runs); chart.metric.empty())
        chart.metric = metrics.empty() ? EvaluationSettings().metric : metrics.front();
    chart.higher_is_better = higher_is_better(chart.metric);

    Runs tuned, untouched;
    std::set<std::string> signatures;
    for (const auto& run : runs) {
        if (run.state != RunState::finished) continue;
        if (!run.score || run.score->metric != chart.metric || std::isnan(run.score->score)) {
            ++chart.without;
            continue;
        }
        (run.spec.untouched() ? untouched : tuned).push_back(&run);
        if (!run.score->signature.empty()) signatures.insert(run.score->signature);
    }
    chart.runs = tuned.size() + untouched.size();
    chart.signatures.assign(signatures.begin(), signatures.end());
    if (chart.runs > 0) Charting(methods, request).fill(chart, tuned, untouched);
    return chart;
}

std::string note_of(const Chart& chart) {
    std::set<std::size_t> seeds;
    bool intervals = false;
    for (const auto& panel : chart.panels)
        for (const auto& series : panel.series)
            for (const auto& point : series.points) {
                if (point.score.spread == Estimate::Spread::deviation) seeds.insert(point.score.seeds);
                else if (point.score.spread == Estimate::Spread::bootstrap) intervals = true;
            }
    std::vector<std::string> parts;
    if (!seeds.empty()) {
        std::string count = std::to_string(*seeds.begin());
        if (seeds.size() > 1) count += " to " + std::to_string(*seeds.rbegin());
        parts.push_back("bars: ± 1 standard deviation over N = " + count + " seeds" + (intervals ? ", 95 % bootstrap where N = 1" : ""));
    } else if (intervals) {
        parts.emplace_back("bars: 95 % bootstrap intervals, one seed (N = 1)");
    }
    if (chart.signatures.size() == 1) parts.push_back(chart.signatures.front());
    else if (chart.signatures.size() > 1) parts.emplace_back("signatures differ between languages");
    return joined(parts, "; ");
}

Json to_json(const Chart& chart) {
    Json json = {{"metric", chart.metric},
                 {"higher_is_better", chart.higher_is_better},
                 {"runs", chart.runs},
                 {"without", chart.without},
                 {"panels", Json::array()}};
    for (const auto& panel : chart.panels) {
        Json one = {{"title", panel.title}, {"series", Json::array()}, {"references", Json::array()}};
        for (const auto& series : panel.series) {
            Json points = Json::array();
            for (const auto& point : series.points) points.push_back(point_json(point));
            one["series"].push_back({{"name", series.name}, {"points", points}});
        }
        for (const auto& reference : panel.references) {
            Json line = point_json(reference.point);
            line["name"] = reference.name;
            one["references"].push_back(line);
        }
        json["panels"].push_back(one);
    }
    return json;
}

}  // namespace permille
