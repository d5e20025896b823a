#include "core/metrics/metrics.h"

#include "core/base/error.h"
#include "core/metrics/bleu.h"
#include "core/metrics/bleu_tokenizers.h"
#include "core/metrics/chrf.h"
#include "core/metrics/ter.h"

namespace permille {

namespace {

template <class Settings>
MetricEntry entry(std::string id, std::string name, std::string paper, std::unique_ptr<Metric> (*make)(const Settings&),
                  bool higher_is_better = true, const Json& fixed = Json::object()) {
    return {std::move(id),
            std::move(name),
            std::move(paper),
            higher_is_better,
            Settings::fields().list(),
            [make, fixed](const Json& settings, const std::string& where) {
                Settings values = Settings::fields().parse(fixed, where);
                Settings::fields().apply(values, settings, where);
                return make(values);
            }};
}

}  // namespace

const std::vector<MetricEntry>& metric_table() {
    static const std::vector<MetricEntry> table{
        entry("bleu", "BLEU", "Papineni et al. 2002, ACL P02-1040", make_bleu),
        entry("chrf", "chrF", "Popović 2015, W15-3049", make_chrf),
        entry("chrf++", "chrF++", "Popović 2017, W17-4770", make_chrf, true, {{"word_order", 2}}),
        entry("ter", "TER", "Snover et al. 2006, AMTA", make_ter, false),
    };
    return table;
}

const MetricEntry& find_metric(const std::string& id, const std::string& where) {
    std::vector<std::string> ids;
    for (const auto& metric : metric_table()) {
        if (metric.id == id) return metric;
        ids.push_back(metric.id);
    }
    throw Error(ErrorKind::config, where, "unknown metric '" + id + "'", "known are " + list_some(ids));
}

std::unique_ptr<Metric> make_metric(const std::string& id, const Json& settings, const std::string& target_language,
                                    const std::string& where) {
    const MetricEntry& metric = find_metric(id, where);
    Json resolved = settings;
    if (id == "bleu" && settings.is_object() && settings.contains("tokenize") && settings["tokenize"] == "auto")
        resolved["tokenize"] = choose_bleu_tokenizer("auto", target_language).name;
    return metric.make(resolved, where);
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
                      const std::vector<std::vector<std::string>>& references, const Resampling& confidence) {
    const Statistics statistics = count_all(metric, hypotheses, references);
    MetricReport report{metric.name(), metric.signature(references.size(), confidence), corpus_score(metric, statistics), std::nullopt};
    if (confidence.samples > 0) report.confidence = bootstrap_confidence(metric, statistics, confidence);
    return report;
}

}  // namespace permille
