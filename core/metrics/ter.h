// Translation edit rate (Snover et al. 2006, "A study of translation edit rate with targeted human annotation", AMTA): insertions,
// deletions, substitutions and shifts of word sequences per word of the reference. Lower is better; it may exceed 100.
#pragma once

#include <memory>

#include "core/base/fields.h"
#include "core/metrics/metric.h"

namespace permille {

struct TerSettings {
    bool normalized = false;     // set punctuation apart
    bool no_punct = false;       // leave punctuation out
    bool asian_support = false;  // with either: Chinese characters apart, East Asian punctuation as punctuation
    bool case_sensitive = false;
    static const Fields<TerSettings>& fields();
};

// Shifts are searched as Tercom does, within its limits (10 words, 50 places, 1,000 candidates), in the form that sacreBLEU gave it. Of
// several references the one with the fewest edits counts, over the mean length of all. Parts: edits, reference_length.
std::unique_ptr<Metric> make_ter(const TerSettings& settings);

}  // namespace permille
