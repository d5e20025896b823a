// BLEU (Papineni et al. 2002, "BLEU: a method for automatic evaluation of machine translation", ACL).
#pragma once

#include <memory>
#include <string>

#include "core/base/fields.h"
#include "core/metrics/metric.h"

namespace permille {

struct BleuSettings {
    std::string tokenize = "13a";  // see bleu_tokenizers.h
    bool lowercase = false;
    std::string smooth = "exp";    // exp, floor, add-k, none (Chen and Cherry 2014, W14-3346)
    double smooth_value = -1;      // of floor and add-k; -1: their own, 0.1 and 1
    bool effective_order = false;  // leave out the orders that a short text cannot have; for scores of single sentences
    static const Fields<BleuSettings>& fields();
};

// Parts of its score: precisions, brevity_penalty, hypothesis_length, reference_length, counts, totals. Throws Error(config) for settings
// that it does not know.
std::unique_ptr<Metric> make_bleu(const BleuSettings& settings);

}  // namespace permille
