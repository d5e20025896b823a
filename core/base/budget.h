// How large a method may be, as people write it: "2%" or "5‰" of the base's parameters, "300k", "1.2M" or "250000" trained parameters,
// "2MB" or "500kB" of adapter file (float32, header counted); with "at most" before it the budget is never exceeded, otherwise the nearest
// size is taken.
#pragma once

#include <string>

namespace permille {

struct Budget {
    enum class Unit { percent, parameters, bytes };
    double amount = 0;
    Unit unit = Unit::percent;
    bool at_most = false;

    Budget() = default;
    Budget(double percent) : amount(percent) {}  // NOLINT(google-explicit-constructor): 2 is 2 %, as in the database
    Budget(double value, Unit of, bool never_more = false) : amount(value), unit(of), at_most(never_more) {}
    bool operator==(const Budget&) const = default;
};

// Throws Error(config) with `where`. A bare number up to 100 is refused: 0.02 might be a share or a percentage.
Budget parse_budget(const std::string& text, const std::string& where);
// parse_budget(format_budget(b)) == b. 2 % is "2%".
std::string format_budget(const Budget& budget);

}  // namespace permille
