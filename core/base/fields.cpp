#include "core/base/fields.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>

namespace permille {

std::string_view to_string(FieldType type) {
    switch (type) {
        case FieldType::integer: return "integer";
        case FieldType::real: return "real";
        case FieldType::boolean: return "boolean";
        case FieldType::text: return "text";
        case FieldType::choice: return "choice";
    }
    return "text";
}

namespace {

std::string shown(double value) {
    std::ostringstream text;
    text.precision(10);  // an end of a range such as 0.9999999 is not 1
    text << value;
    return text.str();
}

[[noreturn]] void fail(const Field& field, const std::string& where, const std::string& what, const std::string& fix) {
    throw Error(ErrorKind::config, where + "/" + field.name, what, fix);
}

double number(const Field& field, const Json& value, const std::string& where) {
    if (value.is_number()) return value.get<double>();
    if (value.is_string()) {
        const auto& text = value.get_ref<const std::string&>();
        double parsed = 0;  // from_chars: the same in every locale
        const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), parsed);
        if (code == std::errc() && end == text.data() + text.size()) return parsed;
    }
    fail(field, where, value.dump() + " is not a number", "give a number" + (field.unit.empty() ? "" : " (" + field.unit + ")"));
}

}  // namespace

Json checked(const Field& field, const Json& value, const std::string& where) {
    switch (field.type) {
        case FieldType::boolean: {
            if (value.is_boolean()) return value;
            const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
            if (text == "true" || text == "yes" || text == "1" || text == "on") return true;
            if (text == "false" || text == "no" || text == "0" || text == "off") return false;
            fail(field, where, value.dump() + " is neither true nor false", "write true or false");
        }
        case FieldType::integer:
        case FieldType::real: {
            const double given = number(field, value, where);
            if (!std::isfinite(given)) fail(field, where, value.dump() + " is not a finite number", "give a number");
            if (field.min && given < *field.min)
                fail(field, where, shown(given) + " is below the minimum " + shown(*field.min),
                     "set " + field.name + " to " + shown(*field.min) + " or more");
            if (field.max && given > *field.max)
                fail(field, where, shown(given) + " is above the maximum " + shown(*field.max),
                     "set " + field.name + " to " + shown(*field.max) + " or less");
            if (field.type == FieldType::real) return given;
            if (given != std::floor(given)) fail(field, where, shown(given) + " is not a whole number", "give a whole number");
            return static_cast<std::int64_t>(given);
        }
        case FieldType::choice: {
            const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
            if (std::find(field.choices.begin(), field.choices.end(), text) == field.choices.end())
                fail(field, where, "'" + text + "' is not a choice", "choose one of " + list_some(field.choices, 30));
            return text;
        }
        case FieldType::text:
            if (value.is_string()) return value;
            if (value.is_null()) return std::string();
            return value.dump();
    }
    return value;
}

}  // namespace permille
