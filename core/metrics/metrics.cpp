// The table of metrics, in alphabetical order: a new metric is its own file and one declaration and one line here.
#include "core/metrics/metrics.h"

#include <algorithm>

#include "core/base/error.h"

namespace permille {

MetricEntry bleu_entry();
MetricEntry chrf_entry();
MetricEntry chrf_plus_plus_entry();
MetricEntry ter_entry();

const std::vector<MetricEntry>& metric_table() {
    static const std::vector<MetricEntry> table{bleu_entry(), chrf_entry(), chrf_plus_plus_entry(), ter_entry()};
    return table;
}

namespace {

const MetricEntry* known_metric(const std::string& id) {
    const auto& table = metric_table();
    const auto found = std::find_if(table.begin(), table.end(), [&](const MetricEntry& metric) { return metric.id == id; });
    return found == table.end() ? nullptr : &*found;
}

}  // namespace

std::vector<std::string> metric_ids() {
    std::vector<std::string> ids;
    for (const auto& metric : metric_table()) ids.push_back(metric.id);
    return ids;
}

const MetricEntry& find_metric(const std::string& id, const std::string& where) {
    if (const MetricEntry* metric = known_metric(id)) return *metric;
    throw Error(ErrorKind::config, where, "unknown metric '" + id + "'", "known are " + list_some(metric_ids()));
}

std::string metric_name(const std::string& id) {
    const MetricEntry* metric = known_metric(id);
    return metric ? metric->name : id;
}

bool higher_is_better(const std::string& id) {
    const MetricEntry* metric = known_metric(id);
    return !metric || metric->higher_is_better;
}

std::unique_ptr<Metric> make_metric(const std::string& id, const Json& settings, const std::string& target_language,
                                    const std::string& where) {
    const MetricEntry& metric = find_metric(id, where);
    return metric.make(metric.for_language ? metric.for_language(settings, target_language) : settings, where);
}

Json MetricReport::to_json() const {
    Json json = {{"score", score.value}, {"signature", signature}};
    for (const auto& [key, value] : score.parts.items()) json[key] = value;
    if (confidence) {
        json["mean"] = confidence->mean;
        json["low"] = confidence->low;
        json["high"] = confidence->high;
    }
    return json;
}

std::string MetricReport::to_line(int decimals) const {
    std::string line = name + "|" + signature + " = " + printed(score.value, decimals);
    // sacreBLEU leaves the mean out when it is zero.
    if (confidence && confidence->mean > 0)
        line += " (μ = " + printed(confidence->mean, decimals) + " ± " + printed(confidence->half_width, decimals) + ")";
    return score.verbose.empty() ? line : line + " " + score.verbose;
}

MetricReport evaluate(const Metric& metric, const std::vector<std::string>& hypotheses,
                      const std::vector<std::vector<std::string>>& references, const Resampling& confidence, const std::stop_token& stop) {
    return evaluate_counts(metric, count_all(metric, hypotheses, references, stop), confidence, stop);
}

MetricReport evaluate_counts(const Metric& metric, const Statistics& statistics, const Resampling& confidence,
                             const std::stop_token& stop) {
    MetricReport report{metric.name(), metric.signature(statistics.references, confidence), corpus_score(metric, statistics), std::nullopt};
    if (confidence.samples > 0) report.confidence = bootstrap_confidence(metric, statistics, confidence, stop);
    return report;
}

}  // namespace permille
