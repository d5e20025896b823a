#include "core/metrics/bleu.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/error.h"
#include "core/metrics/bleu_tokenizers.h"
#include "core/metrics/entry.h"
#include "core/metrics/ngrams.h"

namespace permille {

namespace {

constexpr std::size_t kOrders = 4;
constexpr std::size_t kCounts = 2;  // of a row: hypothesis length, reference length, kOrders matches, kOrders n-grams

struct Parts {
    double score = 0, brevity_penalty = 1;
    std::array<double, kOrders> precisions{};
};

class Bleu final : public Metric {
public:
    explicit Bleu(BleuSettings settings)
        : settings_(std::move(settings)), tokenizer_(find_bleu_tokenizer(settings_.tokenize, "bleu, /tokenize")) {
        const auto& smooth = settings_.smooth;
        if (smooth != "exp" && smooth != "floor" && smooth != "add-k" && smooth != "none")
            throw Error(ErrorKind::config, "bleu, /smooth", "unknown smoothing '" + smooth + "'", "known are exp, floor, add-k, none");
        if (settings_.smooth_value < 0) settings_.smooth_value = smooth == "add-k" ? 1.0 : 0.1;
    }

    std::string name() const override { return "BLEU"; }
    std::size_t width() const override { return kCounts + 2 * kOrders; }

    void count(std::string_view hypothesis, std::span<const std::string_view> references, std::span<double> row) const override {
        const Characters text = tokenized(hypothesis);
        std::vector<Characters> texts;
        texts.reserve(references.size());
        for (const auto reference : references) texts.push_back(tokenized(reference));

        WordNumbers numbers;
        const auto words = numbers.of(words_of(text));
        std::vector<std::vector<std::uint32_t>> reference_words;
        for (const auto& reference : texts) reference_words.push_back(numbers.of(words_of(reference)));

        row[0] = static_cast<double>(words.size());
        row[1] = static_cast<double>(closest_length(words.size(), reference_words));
        std::vector<std::vector<Ngram>> reference_ngrams(references.size());
        for (std::size_t n = 1; n <= kOrders; ++n) {
            const auto ngrams = sorted_ngrams(words, n, 32);
            for (std::size_t r = 0; r < references.size(); ++r) reference_ngrams[r] = sorted_ngrams(reference_words[r], n, 32);
            row[kCounts + n - 1] = static_cast<double>(clipped_matches(ngrams, reference_ngrams));
            row[kCounts + kOrders + n - 1] = static_cast<double>(ngrams.size());
        }
    }

    MetricScore score(std::span<const double> sums) const override {
        const Parts parts = compute<double>(sums);
        MetricScore score{parts.score, Json::object(), ""};
        Json counts = Json::array(), totals = Json::array();
        for (std::size_t n = 0; n < kOrders; ++n) {
            counts.push_back(static_cast<std::int64_t>(sums[kCounts + n]));
            totals.push_back(static_cast<std::int64_t>(sums[kCounts + kOrders + n]));
            score.verbose += (n > 0 ? "/" : "") + printed(parts.precisions[n]);
        }
        const double ratio = sums[1] > 0 ? sums[0] / sums[1] : 0;
        score.parts = {{"precisions", parts.precisions},
                       {"brevity_penalty", parts.brevity_penalty},
                       {"hypothesis_length", static_cast<std::int64_t>(sums[0])},
                       {"reference_length", static_cast<std::int64_t>(sums[1])},
                       {"ratio", ratio},
                       {"counts", counts},
                       {"totals", totals}};
        score.verbose += " (BP = " + printed(parts.brevity_penalty, 3) + " ratio = " + printed(ratio, 3) +
                         " hyp_len = " + printed(sums[0], 0) + " ref_len = " + printed(sums[1], 0) + ")";
        return score;
    }

    double resampled_score(std::span<const float> sums) const override { return compute<float>(sums).score; }

protected:
    std::string signature_settings() const override {
        const bool has_value = settings_.smooth == "floor" || settings_.smooth == "add-k";
        return std::string("case:") + (settings_.lowercase ? "lc" : "mixed") + "|eff:" + (settings_.effective_order ? "yes" : "no") +
               "|tok:" + settings_.tokenize + "|smooth:" + settings_.smooth +
               (has_value ? "[" + printed(settings_.smooth_value, 2) + "]" : "");
    }

private:
    Characters tokenized(std::string_view text) const {
        const Characters characters = settings_.lowercase ? characters_of(lowercased(text)) : characters_of(text);
        return tokenizer_(without_end_blanks(characters));
    }

    // The shorter one of two that are equally near.
    static std::size_t closest_length(std::size_t length, const std::vector<std::vector<std::uint32_t>>& references) {
        std::size_t closest = references.front().size();
        const auto distance = [&](std::size_t other) { return other > length ? other - length : length - other; };
        for (const auto& reference : references) {
            const std::size_t other = reference.size();
            if (distance(other) < distance(closest) || (distance(other) == distance(closest) && other < closest)) closest = other;
        }
        return closest;
    }

    // Counts in `Real`, logarithms in double: as sacreBLEU has it, with Python's numbers or with NumPy's.
    template <class Real>
    Parts compute(std::span<const Real> sums) const {
        Parts parts;
        const auto hypothesis_length = static_cast<double>(sums[0]), reference_length = static_cast<double>(sums[1]);
        if (hypothesis_length < reference_length)
            parts.brevity_penalty = hypothesis_length > 0 ? std::exp(1 - reference_length / hypothesis_length) : 0.0;
        const auto matches = sums.subspan(kCounts, kOrders), totals = sums.subspan(kCounts + kOrders, kOrders);
        if (std::all_of(matches.begin(), matches.end(), [](Real count) { return count == 0; })) return parts;

        double halved = 1;
        std::size_t order = kOrders;
        for (std::size_t n = 0; n < kOrders; ++n) {
            Real match = matches[n], total = totals[n];
            if (settings_.smooth == "add-k" && n > 0) {
                match += static_cast<Real>(settings_.smooth_value);
                total += static_cast<Real>(settings_.smooth_value);
            }
            if (total == 0) break;
            if (settings_.effective_order) order = n + 1;
            if (match != 0) {
                parts.precisions[n] = static_cast<double>(Real(100) * match / total);
            } else if (settings_.smooth == "exp") {
                halved *= 2;
                parts.precisions[n] = static_cast<double>(Real(100) / (static_cast<Real>(halved) * total));
            } else if (settings_.smooth == "floor") {
                parts.precisions[n] = static_cast<double>(static_cast<Real>(100. * settings_.smooth_value) / total);
            }
        }
        double logarithms = 0;
        constexpr double kLogOfNothing = -9999999999.0;
        for (std::size_t n = 0; n < order; ++n) logarithms += parts.precisions[n] == 0 ? kLogOfNothing : std::log(parts.precisions[n]);
        parts.score = parts.brevity_penalty * std::exp(logarithms / static_cast<double>(order));
        return parts;
    }

    BleuSettings settings_;
    BleuTokenizer tokenizer_;
};

}  // namespace

const Fields<BleuSettings>& BleuSettings::fields() {
    static const Fields<BleuSettings> list =
        Fields<BleuSettings>()
            .add("tokenize", &BleuSettings::tokenize, "how text is cut into words", {.choices = bleu_tokenizer_names()})
            .add("lowercase", &BleuSettings::lowercase, "compare without regard to case")
            .add("smooth", &BleuSettings::smooth, "what stands in for n-gram orders without a match",
                 {.choices = {"exp", "floor", "add-k", "none"}})
            .add("smooth_value", &BleuSettings::smooth_value, "of floor and add-k; -1: 0.1 and 1", {.min = -1})
            .add("effective_order", &BleuSettings::effective_order, "leave out the n-gram orders that a short text cannot have");
    return list;
}

std::unique_ptr<Metric> make_bleu(const BleuSettings& settings) { return std::make_unique<Bleu>(settings); }

MetricEntry bleu_entry() {
    MetricEntry entry = metric_entry("bleu", "BLEU", "Papineni et al. 2002, ACL P02-1040", make_bleu);
    entry.for_language = [](Json settings, const std::string& target_language) {
        if (settings.is_object() && settings.value("tokenize", Json()) == "auto")
            settings["tokenize"] = choose_bleu_tokenizer("auto", target_language).name;
        return settings;
    };
    return entry;
}

}  // namespace permille
