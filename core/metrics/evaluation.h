// The settings of a run's evaluation as the table of metrics completes them: what can be chosen, and the metric that they ask for.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/base/spec.h"
#include "core/metrics/metric.h"

namespace permille {

// The fields of EvaluationSettings with their choices: `metric` is one of the table, `tokenize` one of what a metric offers, or auto. For
// the check of a study and the window's form.
const std::vector<Field>& evaluation_fields();

// The metric of this id, which need not be settings.metric, with those of the settings that it knows. Throws Error(config).
std::unique_ptr<Metric> evaluation_metric(const std::string& id, const EvaluationSettings& settings, const std::string& target_language);

}  // namespace permille
