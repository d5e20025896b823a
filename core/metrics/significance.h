// How sure a score is: bootstrap resampling (Koehn 2004, W04-3250).
#pragma once

#include <cstdint>
#include <stop_token>

#include "core/metrics/metric.h"

namespace permille {

struct Confidence {
    double mean = 0;           // of the resampled scores
    double low = 0, high = 0;  // 95 % of them lie between
    double half_width = 0;     // half of high - low: what sacreBLEU prints after the sign
};

// Draws as many segments as there are, with repetition, `samples` times. The numbers equal sacreBLEU's --confidence with the same seed.
// Throws Stopped when asked to stop.
Confidence bootstrap_confidence(const Metric& metric, const Statistics& statistics, const Resampling& resampling = {1000, 12345},
                                const std::stop_token& stop = {});

}  // namespace permille
