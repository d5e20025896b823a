#include "core/base/budget.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string_view>

#include "core/base/error.h"

namespace permille {

namespace {

struct UnitName {
    std::string_view name;
    Budget::Unit unit;
    double factor;
};

// The first that ends the text counts.
constexpr UnitName kUnits[] = {{"%", Budget::Unit::percent, 1},      {"‰", Budget::Unit::percent, 0.1},
                               {"KiB", Budget::Unit::bytes, 1024},   {"MiB", Budget::Unit::bytes, 1024.0 * 1024},
                               {"GiB", Budget::Unit::bytes, 0x1p30}, {"kB", Budget::Unit::bytes, 1e3},
                               {"KB", Budget::Unit::bytes, 1e3},     {"MB", Budget::Unit::bytes, 1e6},
                               {"GB", Budget::Unit::bytes, 1e9},     {"B", Budget::Unit::bytes, 1},
                               {"k", Budget::Unit::parameters, 1e3}, {"K", Budget::Unit::parameters, 1e3},
                               {"M", Budget::Unit::parameters, 1e6}, {"G", Budget::Unit::parameters, 1e9}};
constexpr std::string_view kAtMost = "at most";
constexpr const char* kExamples = "write it with its unit, such as 2%, 5‰, 300k, 1.2M or 2MB";

std::string_view trimmed(std::string_view text) {
    const auto first = text.find_first_not_of(' ');
    return first == std::string_view::npos ? std::string_view() : text.substr(first, text.find_last_not_of(' ') - first + 1);
}

std::string plain_number(double value) {
    std::array<char, 64> text{};
    return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr};
}

// To twelve digits: 0.7‰ and 0.07% must be the same number.
double rounded(double value) {
    std::array<char, 64> text{};
    const auto end = std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::general, 12).ptr;
    std::from_chars(text.data(), end, value);
    return value;
}

}  // namespace

Budget parse_budget(const std::string& text, const std::string& where) {
    const auto fail = [&](const std::string& what, const std::string& fix) {
        throw Error(ErrorKind::config, where, "'" + text + "' " + what, fix);
    };
    Budget budget;
    std::string_view rest = trimmed(text);
    if (rest.starts_with(kAtMost)) {
        budget.at_most = true;
        rest = trimmed(rest.substr(kAtMost.size()));
    }
    const auto unit = std::find_if(std::begin(kUnits), std::end(kUnits), [&](const UnitName& entry) { return rest.ends_with(entry.name); });
    const bool bare = unit == std::end(kUnits);
    if (!bare) rest = trimmed(rest.substr(0, rest.size() - unit->name.size()));
    double value = 0;
    const auto [end, problem] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    if (rest.empty() || problem != std::errc() || end != rest.data() + rest.size() || !std::isfinite(value))
        fail("is not a budget", kExamples);
    if (bare && value <= 100) fail("is not a budget", kExamples);
    budget.unit = bare ? Budget::Unit::parameters : unit->unit;
    budget.amount = rounded(value * (bare ? 1.0 : unit->factor));
    if (budget.unit == Budget::Unit::percent) {
        if (!(budget.amount > 0 && budget.amount <= 100)) fail("is out of range", "write more than 0 % and at most 100 %");
    } else if (!(budget.amount >= 1 && budget.amount < 1e15) || budget.amount != std::floor(budget.amount)) {
        fail("is no whole number of " + std::string(budget.unit == Budget::Unit::bytes ? "bytes" : "parameters"),
             "write for example 300k or 2MB");
    }
    return budget;
}

std::string format_budget(const Budget& budget) {
    const std::string before = budget.at_most ? std::string(kAtMost) + " " : "";
    if (budget.unit == Budget::Unit::percent) return before + plain_number(budget.amount) + "%";
    const bool bytes = budget.unit == Budget::Unit::bytes;
    for (const auto& [factor, name] : {std::pair(1e9, "G"), std::pair(1e6, "M"), std::pair(1e3, "k")}) {
        const double short_value = budget.amount / factor;
        if (short_value < 1) continue;
        if (rounded(short_value * 1000) != std::floor(short_value * 1000 + 0.5)) break;  // more than three decimals
        return before + plain_number(rounded(short_value)) + name + (bytes ? "B" : "");
    }
    std::array<char, 64> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), static_cast<long long>(budget.amount)).ptr;
    std::string plain(digits.data(), end);
    if (bytes) plain += "B";
    else if (budget.amount <= 100) plain = plain_number(budget.amount / 1e3) + "k";  // a bare number would be refused
    return before + plain;
}

}  // namespace permille
