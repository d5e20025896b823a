#include "core/metrics/metric.h"

#include <cstdio>

#include "core/base/error.h"
#include "core/base/stopped.h"
#include "core/metrics/characters.h"

namespace permille {

namespace {

constexpr const char* kVersion = "2.6.0";  // of the sacreBLEU whose scores these are

void require_utf8_segment(const std::string& text, const std::string& list, std::size_t segment) {
    if (const auto at = first_bad_byte(text); at != std::string::npos)
        throw Error(ErrorKind::file, list + ", line " + std::to_string(segment + 1) + ", byte " + std::to_string(at + 1), "not UTF-8",
                    "convert the text to UTF-8, for example with iconv");
}

}  // namespace

std::string Metric::signature(std::size_t references, const Resampling& resampling) const {
    std::string text = "nrefs:" + std::to_string(references);
    if (resampling.samples > 0) text += "|bs:" + std::to_string(resampling.samples) + "|seed:" + std::to_string(resampling.seed);
    return text + "|" + signature_settings() + "|version:" + kVersion;
}

Statistics count_all(const Metric& metric, const std::vector<std::string>& hypotheses,
                     const std::vector<std::vector<std::string>>& references, const std::stop_token& stop) {
    if (hypotheses.empty()) throw Error(ErrorKind::usage, "hypotheses", "there are none", "give one line per segment");
    if (references.empty()) throw Error(ErrorKind::usage, "references", "there are none", "give at least one reference translation");
    for (std::size_t r = 0; r < references.size(); ++r)
        if (references[r].size() != hypotheses.size())
            throw Error(ErrorKind::usage, references.size() == 1 ? "reference" : "reference " + std::to_string(r + 1),
                        "has " + std::to_string(references[r].size()) + " lines, but there are " + std::to_string(hypotheses.size()) +
                            " hypotheses",
                        "give files with one line per segment, in the same order");

    Statistics statistics{metric.width(), std::vector<double>(hypotheses.size() * metric.width()), references.size()};
    std::vector<std::string_view> segment(references.size());
    for (std::size_t i = 0; i < hypotheses.size(); ++i) {
        throw_if_stopped(stop);
        require_utf8_segment(hypotheses[i], "hypotheses", i);
        for (std::size_t r = 0; r < references.size(); ++r) {
            require_utf8_segment(references[r][i], references.size() == 1 ? "reference" : "reference " + std::to_string(r + 1), i);
            segment[r] = references[r][i];
        }
        metric.count(hypotheses[i], segment, std::span(statistics.values).subspan(i * statistics.width, statistics.width));
    }
    return statistics;
}

MetricScore corpus_score(const Metric& metric, const Statistics& statistics) {
    std::vector<double> sums(statistics.width, 0.0);
    for (std::size_t i = 0; i < statistics.segments(); ++i)
        for (std::size_t k = 0; k < statistics.width; ++k) sums[k] += statistics.row(i)[k];
    return metric.score(sums);
}

std::string printed(double value, int decimals) {
    char text[64];
    std::snprintf(text, sizeof text, "%.*f", decimals, value);
    return text;
}

}  // namespace permille
