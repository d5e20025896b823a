// A metric is what it counts in one segment and how the sums of these counts become a score: the corpus score, confidence intervals and
// paired tests then share one pass over the text. Scores and signatures equal those of sacreBLEU 2.6.0 (Post 2018, arXiv 1804.08771).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"

namespace permille {

struct MetricScore {
    double value = 0;             // 0 to 100
    Json parts = Json::object();  // precisions, brevity_penalty, lengths and the like
    std::string verbose;          // the parts as sacreBLEU prints them; "" when there are none
};

// The counts of every segment, one row each.
struct Statistics {
    std::size_t width = 0;
    std::vector<double> values;  // segments x width
    std::size_t references = 1;  // per segment
    std::size_t segments() const { return width == 0 ? 0 : values.size() / width; }
    std::span<const double> row(std::size_t segment) const { return std::span(values).subspan(segment * width, width); }
};

// What a signature says about bootstrap resampling.
struct Resampling {
    std::int64_t samples = 0;  // 0: none
    std::uint64_t seed = 12345;
};

// Const functions may be called from several threads.
class Metric {
public:
    virtual ~Metric() = default;

    virtual std::string name() const = 0;   // as sacreBLEU prints it: "BLEU", "chrF2++"
    virtual std::size_t width() const = 0;  // counts per segment
    // Writes the counts of one segment into `row`. All texts are valid UTF-8; there is at least one reference.
    virtual void count(std::string_view hypothesis, std::span<const std::string_view> references, std::span<double> row) const = 0;
    virtual MetricScore score(std::span<const double> sums) const = 0;
    // The score of a resample. NumPy keeps the counts of resamples, and what is computed from them, in single precision; so does this.
    virtual double resampled_score(std::span<const float> sums) const = 0;
    // "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0"
    std::string signature(std::size_t references, const Resampling& resampling = {}) const;

protected:
    virtual std::string signature_settings() const = 0;  // "case:mixed|eff:no|tok:13a|smooth:exp"
};

// One pass over the text. `references` holds one list of segments per reference translation. Throws Error(usage) when there are no
// segments, or when the lists differ in length, Error(file) for text that is not UTF-8, Stopped when asked to stop.
Statistics count_all(const Metric& metric, const std::vector<std::string>& hypotheses,
                     const std::vector<std::vector<std::string>>& references, const std::stop_token& stop = {});

MetricScore corpus_score(const Metric& metric, const Statistics& statistics);

// Rounded as sacreBLEU prints it.
std::string printed(double value, int decimals = 1);

}  // namespace permille
