#include "core/metrics/evaluation.h"

#include <algorithm>

#include "core/metrics/metrics.h"

namespace permille {

namespace {

constexpr const char* kTokenize = "tokenize";

const Field* tokenize_of(const MetricEntry& metric) {
    const auto found = std::find_if(metric.fields.begin(), metric.fields.end(), [](const Field& field) { return field.name == kTokenize; });
    return found == metric.fields.end() ? nullptr : &*found;
}

}  // namespace

const std::vector<Field>& evaluation_fields() {
    static const std::vector<Field> fields = [] {
        std::vector<Field> list = EvaluationSettings::fields().list();
        for (Field& field : list) {
            if (field.name == "metric") {
                field.choices = metric_ids();
            } else if (field.name == kTokenize) {
                field.choices = {"auto"};
                for (const MetricEntry& metric : metric_table())
                    if (const Field* own = tokenize_of(metric))
                        for (const auto& choice : own->choices)
                            if (std::find(field.choices.begin(), field.choices.end(), choice) == field.choices.end())
                                field.choices.push_back(choice);
            }
            if (!field.choices.empty()) field.type = FieldType::choice;
        }
        return list;
    }();
    return fields;
}

std::unique_ptr<Metric> evaluation_metric(const std::string& id, const EvaluationSettings& settings, const std::string& target_language) {
    Json own = Json::object();
    if (tokenize_of(find_metric(id, "evaluation"))) own[kTokenize] = settings.tokenize;
    return make_metric(id, own, target_language, "evaluation");
}

}  // namespace permille
