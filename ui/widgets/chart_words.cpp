#include "ui/widgets/chart_words.h"

#include <QStringList>

#include "core/metrics/metrics.h"
#include "core/peft/catalog.h"
#include "ui/bridge/text.h"

namespace permille::ui {

using namespace Qt::StringLiterals;

namespace {

QString shown_spread(const Estimate& score) {
    switch (score.spread) {
        case Estimate::Spread::deviation: return u" ± %1 (%2 seeds)"_s.arg(score.deviation, 0, 'f', 1).arg(score.seeds);
        case Estimate::Spread::bootstrap: return u" (%1 to %2)"_s.arg(*score.low, 0, 'f', 1).arg(*score.high, 0, 'f', 1);
        case Estimate::Spread::none: break;
    }
    return {};
}

}  // namespace

QString shown_metric(const std::string& metric) { return text(metric_name(metric)); }
QString shown_method(const std::string& id) { return text(method_name(id, method_catalog())); }
QString shown_pair(const RunSpec& spec) { return text(pair_name(spec)); }

QString axis_title(Against x) {
    switch (x) {
        case Against::trainable_percent: return u"Trainable parameters (% of the base)"_s;
        case Against::trainable: return u"Trainable parameters"_s;
        case Against::train_sentences: return u"Training sentences"_s;
        case Against::seconds: return u"Time of the run (s)"_s;
    }
    return {};
}

QString score_title(const Chart& chart) {
    const QString name = shown_metric(chart.metric);
    return chart.higher_is_better ? name : name + u" (lower is better: the axis points down)"_s;
}

QString told_about(const ChartPoint& point, const Chart& chart) {
    const RunRow& run = point.first;
    QStringList lines{shown_method(run.spec.method) + u" · "_s + shown_pair(run.spec)};
    lines << u"%1 %2%3"_s.arg(shown_metric(chart.metric)).arg(point.score.mean, 0, 'f', 1).arg(shown_spread(point.score));
    if (!run.spec.untouched()) {
        lines << u"%1 trainable (%2)"_s.arg(shown_percent(run.facts.percent_base), shown_count(run.facts.trainable));
        if (const QString settings = shown_settings(run.facts.settings); !settings.isEmpty()) lines << settings;
        lines << u"%1 training sentences"_s.arg(shown_count(sentences_of(run)));
    }
    QStringList ids;
    for (const std::int64_t id : point.runs) ids << u"#%1"_s.arg(id);
    lines << (ids.size() > 1 ? u"runs "_s : u"run "_s) + ids.join(u", "_s);
    return lines.join(u'\n');
}

Chart chart_of(const std::vector<RunRow>& runs, const ChartRequest& request) { return make_chart(runs, method_catalog(), request); }

}  // namespace permille::ui
