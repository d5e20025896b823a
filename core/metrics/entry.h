// One line of the table of metrics. A metric makes its own in its source; metrics.cpp lists them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/fields.h"
#include "core/base/json.h"
#include "core/metrics/metric.h"

namespace permille {

struct MetricEntry {
    std::string id;    // "bleu", "chrf++": as studies, options and the database call it
    std::string name;  // "chrF++": as people read it
    std::string paper;
    bool higher_is_better = true;
    std::vector<Field> fields;  // its settings
    std::function<std::unique_ptr<Metric>(const Json& settings, const std::string& where)> make;
    // Called before make(): settings that depend on the language of the translations, such as a tokeniser called "auto". Empty: none does.
    std::function<Json(Json settings, const std::string& target_language)> for_language = {};
};

// An entry whose settings are a struct with a field list; `fixed` are settings that make this metric what it is (word_order 2 of chrF++).
template <class Settings>
MetricEntry metric_entry(std::string id, std::string name, std::string paper, std::unique_ptr<Metric> (*make)(const Settings&),
                         const Json& fixed = Json::object()) {
    MetricEntry entry{std::move(id), std::move(name), std::move(paper)};
    entry.fields = Settings::fields().list();
    entry.make = [make, fixed](const Json& settings, const std::string& where) {
        Settings values = Settings::fields().parse(fixed, where);
        Settings::fields().apply(values, settings, where);
        return make(values);
    };
    return entry;
}

}  // namespace permille
