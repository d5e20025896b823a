#include "ui/widgets/chart_data.h"

#include <QStringList>
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/peft/catalog.h"
#include "ui/bridge/text.h"

namespace permille::ui {

using namespace Qt::StringLiterals;

namespace {

template <class Value>
using Names = std::vector<std::pair<std::string, Value>>;

template <class Value>
Value named(const Names<Value>& names, const std::string& name, const std::string& where) {
    std::vector<std::string> known;
    for (const auto& [key, value] : names) {
        if (key == name) return value;
        known.push_back(key);
    }
    throw Error(ErrorKind::usage, where, "'" + name + "' is not known", "known are " + list_some(known));
}

bool is_untouched(const RunRow& run) { return run.spec.method == "none"; }
// Training all of the base's parameters, by whatever method: there is nothing left to choose on the size axis.
bool trains_everything(const RunRow& run) { return run.facts.percent_base > 99.5 && run.facts.percent_base < 100.5; }

std::int64_t sentences_of(const RunRow& run) {
    return run.facts.train_sentences > 0 ? run.facts.train_sentences : run.spec.train_sentences;
}

double x_of(const RunRow& run, ChartX x) {
    switch (x) {
        case ChartX::trainable_percent: return run.facts.percent_base;
        case ChartX::trainable: return static_cast<double>(run.facts.trainable);
        case ChartX::train_sentences: return static_cast<double>(sentences_of(run));
        case ChartX::seconds: return run.seconds;
    }
    return 0;
}

bool is_size(ChartX x) { return x == ChartX::trainable_percent || x == ChartX::trainable; }

QString x_title(ChartX x) {
    switch (x) {
        case ChartX::trainable_percent: return u"Trainable parameters (% of the base)"_s;
        case ChartX::trainable: return u"Trainable parameters"_s;
        case ChartX::train_sentences: return u"Training sentences"_s;
        case ChartX::seconds: return u"Time of the run (s)"_s;
    }
    return {};
}

QString value_of(const RunRow& run, ChartSplit split) {
    switch (split) {
        case ChartSplit::method: return shown_method(run.spec.method);
        case ChartSplit::pair: return shown_pair(run.spec);
        case ChartSplit::base: return text(run.spec.base);
        case ChartSplit::train_sentences:
            return run.spec.train_sentences > 0 ? shown_count(run.spec.train_sentences) + u" sentences"_s : u"all sentences"_s;
        case ChartSplit::none: break;
    }
    return {};
}

// The experiment without its seed: runs that share this are repetitions of one another.
std::string setting_of(const RunRow& run) {
    RunSpec spec = run.spec;
    spec.seed = 0;
    spec.study.clear();
    return spec.to_json().dump();
}

QString budget_of(const RunRow& run) { return run.spec.budget_percent ? shown_percent(*run.spec.budget_percent) : QString(); }

ChartPoint point_of(const std::vector<const RunRow*>& runs, ChartX x, const QString& metric) {
    const RunRow& first = *runs.front();
    ChartPoint point;
    const auto count = static_cast<double>(runs.size());
    for (const RunRow* run : runs) {
        point.x += x_of(*run, x) / count;
        point.y += run->score->score / count;
        point.runs.push_back(run->id);
    }
    QString spread;
    if (runs.size() > 1) {
        double squares = 0;
        for (const RunRow* run : runs) squares += (run->score->score - point.y) * (run->score->score - point.y);
        const double deviation = std::sqrt(squares / (count - 1));
        point.low = point.y - deviation;
        point.high = point.y + deviation;
        spread = u" ± %1 (%2 seeds)"_s.arg(deviation, 0, 'f', 1).arg(runs.size());
    } else if (first.score->low && first.score->high) {
        point.low = first.score->low;
        point.high = first.score->high;
        spread = u" (%1 to %2)"_s.arg(*point.low, 0, 'f', 1).arg(*point.high, 0, 'f', 1);
    }
    QStringList lines{value_of(first, ChartSplit::method) + u" · "_s + shown_pair(first.spec)};
    lines << u"%1 %2%3"_s.arg(metric).arg(point.y, 0, 'f', 1).arg(spread);
    if (!is_untouched(first)) {
        lines << u"%1 trainable (%2)"_s.arg(shown_percent(first.facts.percent_base), shown_count(first.facts.trainable));
        if (const QString settings = shown_settings(first.facts.settings); !settings.isEmpty()) lines << settings;
        lines << u"%1 training sentences"_s.arg(shown_count(sentences_of(first)));
    }
    QStringList ids;
    for (const RunRow* run : runs) ids << u"#%1"_s.arg(run->id);
    lines << (ids.size() > 1 ? u"runs "_s : u"run "_s) + ids.join(u", "_s);
    point.text = lines.join(u'\n');
    return point;
}

// Repetitions with other seeds become one point each; points by x.
std::vector<ChartPoint> points_of(const std::vector<const RunRow*>& runs, ChartX x, const QString& metric) {
    // The same experiment may stand in several studies: its latest run counts, once.
    std::map<std::string, std::map<std::int64_t, const RunRow*>> settings;
    for (const RunRow* run : runs) settings[setting_of(*run)][run->spec.seed] = run;
    std::vector<ChartPoint> points;
    for (const auto& [setting, by_seed] : settings) {
        std::vector<const RunRow*> repetitions;
        for (const auto& [seed, run] : by_seed) repetitions.push_back(run);
        points.push_back(point_of(repetitions, x, metric));
    }
    std::stable_sort(points.begin(), points.end(), [](const ChartPoint& a, const ChartPoint& b) { return a.x < b.x; });
    return points;
}

// Which properties vary, and whether they part panels or series.
struct Plan {
    std::vector<ChartSplit> panels, series;
    bool budgets_in_series = false;  // where x is no size, runs of different budgets are different series
};

Plan plan_of(const std::vector<const RunRow*>& tuned, const ChartRequest& request) {
    Plan plan;
    const auto varies = [&](ChartSplit split) {
        return std::any_of(tuned.begin(), tuned.end(),
                           [&](const RunRow* run) { return value_of(*run, split) != value_of(*tuned.front(), split); });
    };
    for (const ChartSplit split : {ChartSplit::pair, ChartSplit::base, ChartSplit::train_sentences, ChartSplit::method}) {
        if (split == ChartSplit::train_sentences && request.x == ChartX::train_sentences) continue;
        if (split == request.group) continue;
        if (split != request.facet && !varies(split)) continue;
        (request.facet == ChartSplit::none ? plan.series : plan.panels).push_back(split);
    }
    if (request.group != ChartSplit::none) plan.series.insert(plan.series.begin(), request.group);
    plan.budgets_in_series = request.x == ChartX::train_sentences;
    return plan;
}

QString label_of(const RunRow& run, const std::vector<ChartSplit>& splits) {
    QStringList parts;
    for (const ChartSplit split : splits) parts << value_of(run, split);
    return parts.join(u" · "_s);
}

// Lines for runs of one kind; they are told apart only by what also tells series apart.
void add_references(ChartPanel& panel, ChartReference::Kind kind, const std::vector<const RunRow*>& runs, const Plan& plan,
                    const ChartRequest& request, const QString& metric) {
    std::map<QString, std::vector<const RunRow*>> lines;
    for (const RunRow* run : runs) {
        QStringList parts{kind == ChartReference::Kind::full ? shown_method(run->spec.method) : u"Untouched base"_s};
        for (const ChartSplit split : plan.series) {
            if (split == ChartSplit::method) continue;
            if (kind == ChartReference::Kind::untouched && split == ChartSplit::train_sentences) continue;
            parts << value_of(*run, split);
        }
        lines[parts.join(u" · "_s)].push_back(run);
    }
    for (const auto& [name, of_line] : lines) {
        const auto points = points_of(of_line, request.x, metric);
        for (std::size_t i = 0; i < points.size(); ++i) panel.references.push_back({kind, name, points[i]});
    }
}

QString note_of(const std::vector<const RunRow*>& runs, const std::vector<ChartPanel>& panels) {
    std::set<std::size_t> seeds;
    bool intervals = false;
    for (const auto& panel : panels)
        for (const auto& series : panel.series)
            for (const auto& point : series.points) {
                if (point.runs.size() > 1) seeds.insert(point.runs.size());
                else if (point.low) intervals = true;
            }
    QStringList parts;
    if (!seeds.empty()) {
        const QString count =
            *seeds.begin() == *seeds.rbegin() ? QString::number(*seeds.begin()) : u"%1 to %2"_s.arg(*seeds.begin()).arg(*seeds.rbegin());
        parts << u"bars: ± 1 standard deviation over N = %1 seeds"_s.arg(count) +
                     (intervals ? u", 95 % bootstrap where N = 1"_s : QString());
    } else if (intervals) {
        parts << u"bars: 95 % bootstrap intervals, one seed (N = 1)"_s;
    }
    std::set<std::string> signatures;
    for (const RunRow* run : runs) signatures.insert(run->score->signature);
    if (signatures.size() == 1 && !signatures.begin()->empty()) parts << text(*signatures.begin());
    else if (signatures.size() > 1) parts << u"signatures differ between languages"_s;
    return parts.join(u"; "_s);
}

}  // namespace

ChartX chart_x(const std::string& name, const std::string& where) {
    static const Names<ChartX> names = {{"trainable_percent", ChartX::trainable_percent},
                                        {"trainable", ChartX::trainable},
                                        {"train_sentences", ChartX::train_sentences},
                                        {"seconds", ChartX::seconds}};
    return named(names, name, where);
}

ChartSplit chart_split(const std::string& name, const std::string& where) {
    static const Names<ChartSplit> names = {{"none", ChartSplit::none},
                                            {"method", ChartSplit::method},
                                            {"pair", ChartSplit::pair},
                                            {"base", ChartSplit::base},
                                            {"train_sentences", ChartSplit::train_sentences}};
    return named(names, name, where);
}

QString shown_metric(const std::string& metric) {
    if (metric == "bleu") return u"BLEU"_s;
    if (metric == "ter") return u"TER"_s;
    return text(metric).replace(u"chrf"_s, u"chrF"_s);
}

QString shown_method(const std::string& id) {
    if (id == "none") return u"Untouched base"_s;
    const auto& methods = method_catalog();
    const auto found = std::find_if(methods.begin(), methods.end(), [&](const MethodInfo& method) { return method.id == id; });
    return found == methods.end() ? text(id) : text(found->name);
}

QString shown_pair(const RunSpec& spec) { return text(spec.source_language) + u" → "_s + text(spec.target_language); }

std::vector<std::string> chart_metrics(const std::vector<RunRow>& runs) {
    std::map<std::string, int> counts;
    for (const auto& run : runs)
        if (run.state == RunState::finished && run.score) ++counts[run.score->metric];
    std::vector<std::string> metrics;
    for (const auto& [metric, count] : counts) metrics.push_back(metric);
    std::stable_sort(metrics.begin(), metrics.end(), [&](const std::string& a, const std::string& b) { return counts[a] > counts[b]; });
    return metrics;
}

ChartData chart_data(const std::vector<RunRow>& runs, const ChartRequest& request) {
    ChartData chart;
    const auto metrics = chart_metrics(runs);
    chart.metric = request.metric.empty() ? (metrics.empty() ? "bleu" : metrics.front()) : request.metric;
    const QString metric = shown_metric(chart.metric);
    chart.x_title = x_title(request.x);
    chart.y_title = metric;

    std::vector<const RunRow*> all, tuned, untouched;
    for (const auto& run : runs) {
        if (run.state != RunState::finished || !run.score || run.score->metric != chart.metric || std::isnan(run.score->score)) continue;
        all.push_back(&run);
        (is_untouched(run) ? untouched : tuned).push_back(&run);
    }
    chart.runs = all.size();
    if (all.empty()) return chart;

    const Plan plan = plan_of(tuned.empty() ? untouched : tuned, request);
    std::map<QString, std::vector<const RunRow*>> panels;
    std::map<QString, int> styles;  // by name, so that a method looks the same in every panel
    const auto series_of = [&](const RunRow& run) {
        QString name = label_of(run, plan.series);
        if (plan.budgets_in_series && run.spec.budget_percent) name += u' ' + budget_of(run);
        return name;
    };
    for (const RunRow* run : tuned) panels[label_of(*run, plan.panels)].push_back(run);
    if (tuned.empty())
        for (const RunRow* run : untouched) panels[label_of(*run, plan.panels)];
    for (const RunRow* run : tuned)
        if (!(is_size(request.x) && trains_everything(*run))) styles.emplace(series_of(*run), 0);
    int next = 0;
    for (auto& [name, style] : styles) style = next++;

    for (const auto& [title, members] : panels) {
        ChartPanel panel;
        panel.title = title;
        std::map<QString, std::vector<const RunRow*>> series;
        std::vector<const RunRow*> full, base;
        for (const RunRow* run : members) {
            if (is_size(request.x) && trains_everything(*run)) full.push_back(run);
            else series[series_of(*run)].push_back(run);
        }
        for (const RunRow* run : untouched) {
            // The untouched base has seen no training sentences: it stands in the panels of every data size and method.
            std::vector<ChartSplit> shared;
            for (const ChartSplit split : plan.panels)
                if (split == ChartSplit::pair || split == ChartSplit::base) shared.push_back(split);
            const bool belongs =
                members.empty() ? label_of(*run, plan.panels) == title : label_of(*run, shared) == label_of(*members.front(), shared);
            if (belongs) base.push_back(run);
        }
        for (const auto& [name, of_series] : series)
            panel.series.push_back({name, styles.at(name), points_of(of_series, request.x, metric)});
        add_references(panel, ChartReference::Kind::full, full, plan, request, metric);
        add_references(panel, ChartReference::Kind::untouched, base, plan, request, metric);
        chart.panels.push_back(std::move(panel));
    }
    chart.note = note_of(all, chart.panels);
    return chart;
}

}  // namespace permille::ui
