#include "app/cli/options.h"

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <charconv>
#include <functional>
#include <sstream>

#include "core/base/error.h"

namespace permille::cli {

RunFilter runs_of_study(const std::string& study, const Store& store) {
    RunFilter filter;
    if (study.empty()) return filter;
    std::vector<std::string> names;
    for (const auto& known : store.studies()) names.push_back(known.name);
    if (std::find(names.begin(), names.end(), study) == names.end()) {
        const std::string near = nearest(study, names);
        throw Error(ErrorKind::config, "--study", "'" + study + "' is not in " + store.file().string(),
                    near.empty() ? "studies there: " + list_some(names) : "did you mean '" + near + "'?");
    }
    filter.study = study;
    return filter;
}

namespace {

std::string flag_of(std::string field) {
    std::replace(field.begin(), field.end(), '_', '-');
    return "--" + field;
}

std::string plain(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

std::string shown_type(const Field& field) {
    if (field.type == FieldType::choice) {
        std::string choices;
        for (const auto& choice : field.choices) choices += (choices.empty() ? "" : "|") + choice;
        return choices;
    }
    switch (field.type) {
        case FieldType::integer: return "N";
        case FieldType::real: return "X";
        case FieldType::boolean: return "true|false";
        default: return "TEXT";
    }
}

}  // namespace

void add_field_options(CLI::App& verb, const std::vector<Field>& fields, Json& given, const std::string& group,
                       const std::vector<std::pair<std::string, std::string>>& aliases) {
    if (!given.is_object()) given = Json::object();
    for (const Field& field : fields) {
        std::string names = flag_of(field.name);
        for (const auto& [name, alias] : aliases) {
            if (name == field.name) names = alias + "," + names;
        }
        const std::string shown = names.substr(0, names.find(','));
        CLI::Option* option = verb.add_option_function<std::string>(
            names,
            [field, shown, target = &given](const std::string& text) {
                try {
                    (*target)[field.name] = checked(field, text, "");
                } catch (const Error& error) {
                    std::string fix = error.fix();  // it calls the field by its name in files
                    if (const auto at = fix.find(field.name); at != std::string::npos && (at == 0 || fix[at - 1] != '('))
                        fix.replace(at, field.name.size(), shown);
                    throw Error(ErrorKind::usage, shown, error.found(), fix);
                }
            },
            field.help);
        option->type_name(shown_type(field))->default_str(plain(field.default_value))->group(group);
    }
}

void add_device_options(CLI::App& verb, Json& given) { add_field_options(verb, DeviceSettings::fields().list(), given, "Device"); }

void add_database_option(CLI::App& verb, std::filesystem::path& file) {
    verb.add_option("--db", file, "the database; without it " + Store::default_file().string())->type_name("FILE");
    file = Store::default_file();
}

std::filesystem::path find_texts(const std::string& name, const std::string& option, const std::filesystem::path& database,
                                 std::string& source, std::string& target) {
    std::error_code ignored;
    if (std::filesystem::exists(name, ignored)) return name;
    std::vector<std::string> names;
    if (std::filesystem::exists(database, ignored)) {
        const Store store(database, Store::Open::read_only);
        if (const auto corpus = store.corpus(name)) {
            if (source.empty()) source = corpus->source_language;
            if (target.empty()) target = corpus->target_language;
            return corpus->path;
        }
        for (const auto& corpus : store.corpora()) names.push_back(corpus.name);
    }
    const std::string near = nearest(name, names);
    throw Error(ErrorKind::file, option, "'" + name + "' is neither a file nor a corpus in " + database.string(),
                near.empty() ? (names.empty() ? "import one with permille data import" : "corpora there: " + list_some(names))
                             : "did you mean '" + near + "'?");
}

Json parse_assignments(const std::vector<std::string>& assignments, const std::string& option) {
    Json object = Json::object();
    for (const auto& text : assignments) {
        const auto equals = text.find('=');
        if (equals == std::string::npos || equals == 0)
            throw Error(ErrorKind::usage, option, "'" + text + "' is not name=value", "write for example " + option + " rank=8");
        const std::string name = text.substr(0, equals);
        if (object.contains(name))
            throw Error(ErrorKind::usage, option,
                        "'" + name + "' is given twice, as " + plain(object[name]) + " and " + text.substr(equals + 1), "give it once");
        object[name] = text.substr(equals + 1);
    }
    return object;
}

void refuse_size(const MethodInfo& method, const Json& knobs) {
    if (method.size_knob.empty() || !knobs.contains(method.size_knob)) return;
    throw Error(ErrorKind::usage, "--set", "'" + method.size_knob + "' of " + method.id + " is what the budget is solved for",
                "give the budget or this knob, not both");
}

std::vector<Budget> parse_budgets(const std::string& list, const std::string& option) {
    std::vector<Budget> budgets;
    const auto texts = split_list(list);
    if (texts.empty() && !list.empty()) throw Error(ErrorKind::usage, option, "'" + list + "' names no budget", "write for example 1%,5%");
    for (const auto& text : texts) {
        try {
            budgets.push_back(parse_budget(text, option));
        } catch (const Error& error) {
            throw Error(ErrorKind::usage, option, error.found(), error.fix());
        }
    }
    return budgets;
}

std::vector<std::string> split_list(const std::string& list) {
    std::vector<std::string> parts;
    std::istringstream stream(list);
    for (std::string part; std::getline(stream, part, ',');) {
        const auto first = part.find_first_not_of(" \t");
        if (first == std::string::npos) continue;
        parts.push_back(part.substr(first, part.find_last_not_of(" \t") - first + 1));
    }
    return parts;
}

namespace {

CLI::Validator number(const std::string& shown, const std::string& wanted, const std::function<bool(double)>& holds) {
    return CLI::Validator(
        [=](std::string& text) {
            const char* end = text.data() + text.size();
            double value = 0;
            const auto read = std::from_chars(text.data(), end, value);
            const bool good = read.ec == std::errc() && read.ptr == end && holds(value);
            return good ? std::string() : "'" + text + "' is not " + wanted;
        },
        shown);
}

}  // namespace

CLI::Validator above_zero() {
    return number("POSITIVE", "a number above 0", [](double value) { return value > 0; });
}

CLI::Validator from_zero() {
    return number("NONNEGATIVE", "a number from 0 on", [](double value) { return value >= 0; });
}

CLI::Validator between(std::int64_t low, std::int64_t high) {
    const std::string ends = std::to_string(low) + " to " + std::to_string(high);
    return number("[" + std::to_string(low) + " - " + std::to_string(high) + "]", "a number from " + ends,
                  [=](double value) { return value >= static_cast<double>(low) && value <= static_cast<double>(high); });
}

}  // namespace permille::cli
