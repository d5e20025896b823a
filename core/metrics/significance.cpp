#include "core/metrics/significance.h"

#include <algorithm>
#include <vector>

#include "core/base/error.h"
#include "core/base/stopped.h"
#include "core/metrics/numpy_random.h"

namespace permille {

Confidence bootstrap_confidence(const Metric& metric, const Statistics& statistics, const Resampling& resampling,
                                const std::stop_token& stop) {
    const std::size_t segments = statistics.segments(), width = statistics.width;
    if (segments == 0) throw Error(ErrorKind::usage, "confidence", "there are no segments", "give at least one");
    if (resampling.samples < 1) throw Error(ErrorKind::usage, "confidence", "no resamples were asked for", "ask for 1,000");

    // Single precision, as NumPy keeps them. Whole counts below 2^24 are exact.
    const std::vector<float> counts(statistics.values.begin(), statistics.values.end());
    NumpyRandom random(resampling.seed);
    std::vector<double> scores(static_cast<std::size_t>(resampling.samples));
    std::vector<float> sums(width);
    for (auto& score : scores) {
        throw_if_stopped(stop);
        std::fill(sums.begin(), sums.end(), 0.0F);
        for (std::size_t i = 0; i < segments; ++i) {
            const float* row = counts.data() + width * random.below(static_cast<std::uint32_t>(segments));
            for (std::size_t k = 0; k < width; ++k) sums[k] += row[k];
        }
        score = metric.resampled_score(sums);
    }
    std::sort(scores.begin(), scores.end());
    long double total = 0;
    for (const double score : scores) total += score;
    const std::size_t cut = scores.size() / 40;  // 2.5 % at each end
    Confidence confidence;
    confidence.mean = static_cast<double>(total / static_cast<long double>(scores.size()));
    confidence.low = scores[cut];
    confidence.high = scores[scores.size() - cut - 1];
    confidence.half_width = 0.5 * (confidence.high - confidence.low);
    return confidence;
}

}  // namespace permille
