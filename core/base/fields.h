// Field lists: one list per config struct says name, type, default, range, unit and help of every field. That one list parses and validates
// JSON and YAML values, prints command-line help, builds the forms of the window and writes a run's settings into the database.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "core/base/error.h"
#include "core/base/json.h"

namespace permille {

enum class FieldType { integer, real, boolean, text, choice };

std::string_view to_string(FieldType type);

struct Field {
    std::string name;
    FieldType type = FieldType::text;
    Json default_value;
    std::optional<double> min, max;
    std::vector<std::string> choices;  // for FieldType::choice
    std::string unit;                  // "" when it has none
    std::string help;                  // one line
};

// What may be said about a field beyond its name, member and help.
struct FieldRange {
    std::optional<double> min = {}, max = {};
    std::vector<std::string> choices = {};
    std::string unit = {};
};

// Checks a JSON value against the field (type, range, choices); throws Error(config) with `where`/name in it. Numbers may come as text,
// as they do from the command line and YAML. Returns the value in its proper JSON type.
Json checked(const Field& field, const Json& value, const std::string& where);

template <class Config>
class Fields {
public:
    template <class Member>
    Fields& add(std::string name, Member Config::*member, std::string help, FieldRange range = {}) {
        Field field{std::move(name),
                    type_of<Member>(!range.choices.empty()),
                    Json(Config{}.*member),
                    range.min,
                    range.max,
                    std::move(range.choices),
                    std::move(range.unit),
                    std::move(help)};
        list_.push_back(std::move(field));
        set_.push_back([member](Config& config, const Json& value) { config.*member = value.template get<Member>(); });
        get_.push_back([member](const Config& config) { return Json(config.*member); });
        return *this;
    }

    const std::vector<Field>& list() const { return list_; }

    // Sets the fields named in the object, leaves the rest as they are; unknown keys are errors that name the nearest known one.
    void apply(Config& config, const Json& object, const std::string& where) const {
        if (object.is_null()) return;
        if (!object.is_object()) throw Error(ErrorKind::config, where, "expected a list of 'name: value' settings");
        for (const auto& [key, value] : object.items()) {
            std::size_t i = 0;
            while (i < list_.size() && list_[i].name != key) ++i;
            if (i == list_.size()) fail_unknown(key, where);
            set_[i](config, checked(list_[i], value, where));
        }
    }

    Config parse(const Json& object, const std::string& where) const {
        Config config{};
        apply(config, object, where);
        return config;
    }

    Json to_json(const Config& config) const {
        Json object = Json::object();
        for (std::size_t i = 0; i < list_.size(); ++i) object[list_[i].name] = get_[i](config);
        return object;
    }

private:
    template <class Member>
    static FieldType type_of(bool has_choices) {
        if constexpr (std::is_same_v<Member, bool>) return FieldType::boolean;
        else if constexpr (std::is_integral_v<Member>) return FieldType::integer;
        else if constexpr (std::is_floating_point_v<Member>) return FieldType::real;
        else return has_choices ? FieldType::choice : FieldType::text;
    }
    [[noreturn]] void fail_unknown(const std::string& key, const std::string& where) const {
        std::vector<std::string> names;
        for (const auto& field : list_) names.push_back(field.name);
        const std::string near = nearest(key, names);
        throw Error(ErrorKind::config, where + "/" + key, "unknown setting",
                    near.empty() ? "known are " + list_some(names, 30) : "did you mean '" + near + "'?");
    }

    std::vector<Field> list_;
    std::vector<std::function<void(Config&, const Json&)>> set_;
    std::vector<std::function<Json(const Config&)>> get_;
};

}  // namespace permille
