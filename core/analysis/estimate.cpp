#include "core/analysis/estimate.h"

#include <cmath>
#include <map>

#include "core/base/error.h"

namespace permille {

namespace {

// The experiment without its seed, and whichever study it stands in.
std::string setting_of(const RunRow& run) {
    RunSpec spec = run.spec;
    spec.seed = 0;
    spec.study.clear();
    return spec.to_json().dump();
}

}  // namespace

Estimate estimate_of(const std::vector<const RunRow*>& runs) {
    PERMILLE_ASSERT(!runs.empty());
    Estimate estimate;
    estimate.seeds = runs.size();
    const auto count = static_cast<double>(runs.size());
    for (const RunRow* run : runs) estimate.mean += run->score->score / count;
    if (runs.size() > 1) {
        double squares = 0;
        for (const RunRow* run : runs) squares += (run->score->score - estimate.mean) * (run->score->score - estimate.mean);
        estimate.deviation = std::sqrt(squares / (count - 1));
        estimate.spread = Estimate::Spread::deviation;
        estimate.low = estimate.mean - estimate.deviation;
        estimate.high = estimate.mean + estimate.deviation;
    } else if (const Score& score = *runs.front()->score; score.low && score.high) {
        estimate.spread = Estimate::Spread::bootstrap;
        estimate.low = score.low;
        estimate.high = score.high;
    }
    return estimate;
}

std::vector<std::vector<const RunRow*>> repetitions(const std::vector<const RunRow*>& runs) {
    std::map<std::string, std::map<std::int64_t, const RunRow*>> settings;
    for (const RunRow* run : runs) settings[setting_of(*run)][run->spec.seed] = run;
    std::vector<std::vector<const RunRow*>> groups;
    for (const auto& [setting, by_seed] : settings) {
        auto& group = groups.emplace_back();
        for (const auto& [seed, run] : by_seed) group.push_back(run);
    }
    return groups;
}

}  // namespace permille
