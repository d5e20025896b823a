#include "core/analysis/properties.h"

#include <algorithm>
#include <utility>

#include "core/base/error.h"

namespace permille {

namespace {

template <class Value>
using Names = std::vector<std::pair<std::string, Value>>;

const Names<Against> kAgainst = {{"trainable_percent", Against::trainable_percent},
                                 {"trainable", Against::trainable},
                                 {"train_sentences", Against::train_sentences},
                                 {"seconds", Against::seconds}};
const Names<Property> kProperties = {{"none", Property::none},
                                     {"method", Property::method},
                                     {"pair", Property::pair},
                                     {"base", Property::base},
                                     {"train_sentences", Property::train_sentences}};

template <class Value>
std::vector<std::string> names_of(const Names<Value>& names) {
    std::vector<std::string> list;
    for (const auto& [name, value] : names) list.push_back(name);
    return list;
}

template <class Value>
Value named(const Names<Value>& names, const std::string& name, const std::string& where) {
    for (const auto& [key, value] : names)
        if (key == name) return value;
    throw Error(ErrorKind::usage, where, "'" + name + "' is not known", "known are " + list_some(names_of(names)));
}

const MethodInfo* find(const std::string& id, const std::vector<MethodInfo>& methods) {
    const auto found = std::find_if(methods.begin(), methods.end(), [&](const MethodInfo& method) { return method.id == id; });
    return found == methods.end() ? nullptr : &*found;
}

}  // namespace

Against against_named(const std::string& name, const std::string& where) { return named(kAgainst, name, where); }
Property property_named(const std::string& name, const std::string& where) { return named(kProperties, name, where); }
std::vector<std::string> against_names() { return names_of(kAgainst); }
std::vector<std::string> property_names() { return names_of(kProperties); }

bool is_size(Against x) { return x == Against::trainable_percent || x == Against::trainable; }

std::int64_t sentences_of(const RunRow& run) {
    return run.facts.train_sentences > 0 ? run.facts.train_sentences : run.spec.train_sentences;
}

double value_of(const RunRow& run, Against x) {
    switch (x) {
        case Against::trainable_percent: return run.facts.percent_base;
        case Against::trainable: return static_cast<double>(run.facts.trainable);
        case Against::train_sentences: return static_cast<double>(sentences_of(run));
        case Against::seconds: return run.seconds;
    }
    return 0;
}

std::string name_of(const RunRow& run, Property property, const std::vector<MethodInfo>& methods) {
    switch (property) {
        case Property::method: return method_name(run.spec.method, methods);
        case Property::pair: return pair_name(run.spec);
        case Property::base: return run.spec.base;
        case Property::train_sentences:
            return run.spec.train_sentences > 0 ? grouped(run.spec.train_sentences) + " sentences" : "all sentences";
        case Property::none: break;
    }
    return {};
}

std::string method_name(const std::string& id, const std::vector<MethodInfo>& methods) {
    if (id == RunSpec::kUntouched) return "Untouched base";
    const MethodInfo* method = find(id, methods);
    return method ? method->name : id;
}

std::string pair_name(const RunSpec& spec) { return spec.source_language + " → " + spec.target_language; }

std::string grouped(std::int64_t count) {
    std::string digits = std::to_string(count);
    const std::size_t first = count < 0 ? 1 : 0;
    for (std::size_t at = digits.size(); at > first + 3;) digits.insert(at -= 3, ",");
    return digits;
}

bool trains_whole_base(const RunRow& run, const std::vector<MethodInfo>& methods) {
    const MethodInfo* method = find(run.spec.method, methods);
    if (!method || !method->trains_whole_base) return false;
    return std::all_of(method->knobs.begin(), method->knobs.end(), [&](const Field& knob) {
        const auto given = run.spec.method_settings.find(knob.name);
        return given == run.spec.method_settings.end() || *given == knob.default_value;
    });
}

}  // namespace permille
