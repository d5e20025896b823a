// What repetitions of one experiment say together: the mean of their scores and how far it is to be trusted.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "core/store/store.h"

namespace permille {

struct Estimate {
    // Where low and high come from: the sample standard deviation over seeds, or, with one seed, the 95 % bootstrap interval over the test
    // sentences that was stored with the score.
    enum class Spread { none, bootstrap, deviation };
    double mean = 0;
    std::size_t seeds = 0;
    Spread spread = Spread::none;
    std::optional<double> low = {}, high = {};  // mean -+ deviation, or the interval
    double deviation = 0;                       // over seeds, with n - 1 in the denominator; 0 for one seed
};

// Of finished runs with a score, which differ in nothing but their seed. At least one.
Estimate estimate_of(const std::vector<const RunRow*>& runs);

// Runs that are the same experiment apart from the seed, together; each group by seed, the groups in no order that means anything. An
// experiment that stands in several studies counts once: the last of the runs with equal seeds.
std::vector<std::vector<const RunRow*>> repetitions(const std::vector<const RunRow*>& runs);

}  // namespace permille
