// The table of metrics, and a score with everything that is reported about it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/metrics/entry.h"
#include "core/metrics/significance.h"

namespace permille {

// In alphabetical order of their ids.
const std::vector<MetricEntry>& metric_table();
std::vector<std::string> metric_ids();
// Throws Error(config) that names the known ones.
const MetricEntry& find_metric(const std::string& id, const std::string& where);
// The metric's name for people; the id itself when the table does not know it, as in a database of a later version.
std::string metric_name(const std::string& id);
// Whether a larger score is the better one; so for a metric that the table does not know.
bool higher_is_better(const std::string& id);
// With the settings of its field list; those that are not given keep their defaults. BLEU's tokenize "auto" needs the target language.
std::unique_ptr<Metric> make_metric(const std::string& id, const Json& settings = Json::object(), const std::string& target_language = "",
                                    const std::string& where = "metric");

struct MetricReport {
    std::string name;  // "BLEU"
    std::string signature;
    MetricScore score;
    std::optional<Confidence> confidence;
    // {score, signature, the score's parts, and with confidence mean, low, high}
    Json to_json() const;
    // sacreBLEU's line: "BLEU|nrefs:1|... = 26.0 60.1/31.4/... (BP = ...)", with confidence "26.0 (μ = 26.0 ± 1.2) ...".
    std::string to_line(int decimals = 1) const;
};

// References: one list of segments per reference translation. Errors as count_all. The second form is for whoever keeps what was counted.
MetricReport evaluate(const Metric& metric, const std::vector<std::string>& hypotheses,
                      const std::vector<std::vector<std::string>>& references, const Resampling& confidence = {},
                      const std::stop_token& stop = {});
MetricReport evaluate_counts(const Metric& metric, const Statistics& statistics, const Resampling& confidence = {},
                             const std::stop_token& stop = {});

}  // namespace permille
