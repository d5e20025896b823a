// chrF and chrF++ (Popović 2015, W15-3049; 2017, W17-4770): F-score over character n-grams up to 6, chrF++ with words and word pairs.
#pragma once

#include <memory>

#include "core/base/fields.h"
#include "core/metrics/metric.h"

namespace permille {

struct ChrfSettings {
    std::int64_t char_order = 6;
    std::int64_t word_order = 0;  // 2: chrF++
    std::int64_t beta = 2;        // weight of recall over precision
    bool lowercase = false;
    bool whitespace = false;  // blanks count as characters
    static const Fields<ChrfSettings>& fields();
};

// Of several references the one with the best F-score counts.
std::unique_ptr<Metric> make_chrf(const ChrfSettings& settings);

}  // namespace permille
