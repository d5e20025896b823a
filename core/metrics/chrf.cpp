#include "core/metrics/chrf.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/metrics/characters.h"
#include "core/metrics/entry.h"
#include "core/metrics/ngrams.h"

namespace permille {

namespace {

constexpr unsigned kCharacterBits = 21, kWordBits = 32;
constexpr std::int64_t kMostCharacters = 6, kMostWords = 4;  // that an Ngram holds

bool is_ascii_punctuation(char32_t c) {
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
}

// Words with the punctuation mark at their end, or else at their beginning, cut off: one mark only, as in the author's program.
std::vector<std::u32string_view> words_and_marks(std::u32string_view text) {
    std::vector<std::u32string_view> parts;
    for (const auto word : words_of(text)) {
        if (word.size() > 1 && is_ascii_punctuation(word.back())) {
            parts.push_back(word.substr(0, word.size() - 1));
            parts.push_back(word.substr(word.size() - 1));
        } else if (word.size() > 1 && is_ascii_punctuation(word.front())) {
            parts.push_back(word.substr(0, 1));
            parts.push_back(word.substr(1));
        } else {
            parts.push_back(word);
        }
    }
    return parts;
}

class Chrf final : public Metric {
public:
    explicit Chrf(const ChrfSettings& settings)
        : settings_(settings), orders_(static_cast<std::size_t>(settings.char_order + settings.word_order)) {
        if (settings.char_order < 1 || settings.char_order > kMostCharacters || settings.word_order < 0 ||
            settings.word_order > kMostWords || settings.beta < 1)
            throw Error(ErrorKind::config, "chrf", "orders or beta out of range", "use char_order 1-6, word_order 0-4, beta 1 or more");
    }

    std::string name() const override {
        return "chrF" + std::to_string(settings_.beta) + std::string(static_cast<std::size_t>(settings_.word_order), '+');
    }
    // Per order: n-grams of the hypothesis, of the reference, and in both.
    std::size_t width() const override { return 3 * orders_; }

    void count(std::string_view hypothesis, std::span<const std::string_view> references, std::span<double> row) const override {
        const Characters text = prepared(hypothesis);
        std::vector<Characters> texts;
        texts.reserve(references.size());
        for (const auto reference : references) texts.push_back(prepared(reference));

        WordNumbers numbers;
        const auto ngrams = all_ngrams(text, numbers);
        std::vector<double> counts(width());
        double best = -1;
        for (const auto& reference : texts) {
            const auto reference_ngrams = all_ngrams(reference, numbers);
            for (std::size_t n = 0; n < orders_; ++n) {
                // N-grams of an order that the reference does not have are not held against the hypothesis.
                counts[3 * n] = reference_ngrams[n].empty() ? 0.0 : static_cast<double>(ngrams[n].size());
                counts[3 * n + 1] = static_cast<double>(reference_ngrams[n].size());
                counts[3 * n + 2] = static_cast<double>(clipped_matches(ngrams[n], std::span(&reference_ngrams[n], 1)));
            }
            const double value = compute<double>(counts);
            if (value > best) {
                best = value;
                std::copy(counts.begin(), counts.end(), row.begin());
            }
        }
    }

    MetricScore score(std::span<const double> sums) const override { return {compute<double>(sums), Json::object(), ""}; }
    double resampled_score(std::span<const float> sums) const override { return static_cast<double>(compute<float>(sums)); }

protected:
    std::string signature_settings() const override {
        return std::string("case:") + (settings_.lowercase ? "lc" : "mixed") + "|eff:yes|nc:" + std::to_string(settings_.char_order) +
               "|nw:" + std::to_string(settings_.word_order) + "|space:" + (settings_.whitespace ? "yes" : "no");
    }

private:
    Characters prepared(std::string_view text) const { return settings_.lowercase ? characters_of(lowercased(text)) : characters_of(text); }

    std::vector<std::vector<Ngram>> all_ngrams(const Characters& text, WordNumbers& numbers) const {
        std::vector<std::vector<Ngram>> ngrams;
        Characters solid = text;
        if (!settings_.whitespace) std::erase_if(solid, is_blank);
        for (std::int64_t n = 1; n <= settings_.char_order; ++n)
            ngrams.push_back(sorted_ngrams(solid, static_cast<std::size_t>(n), kCharacterBits));
        if (settings_.word_order == 0) return ngrams;
        const auto words = numbers.of(words_and_marks(text));
        for (std::int64_t n = 1; n <= settings_.word_order; ++n)
            ngrams.push_back(sorted_ngrams(words, static_cast<std::size_t>(n), kWordBits));
        return ngrams;
    }

    template <class Real>
    Real compute(std::span<const Real> counts) const {
        Real precision = 0, recall = 0;
        int orders = 0;
        for (std::size_t n = 0; n < orders_; ++n) {
            const Real hypothesis = counts[3 * n], reference = counts[3 * n + 1], both = counts[3 * n + 2];
            if (hypothesis <= 0 || reference <= 0) continue;
            precision += both / hypothesis;
            recall += both / reference;
            ++orders;
        }
        if (orders > 0) {
            precision /= static_cast<Real>(orders);
            recall /= static_cast<Real>(orders);
        }
        if (precision + recall == 0) return 0;
        const auto factor = static_cast<Real>(settings_.beta * settings_.beta);
        Real value = (Real(1) + factor) * precision * recall;
        value /= factor * precision + recall;
        return Real(100) * value;
    }

    template <class Real>
    Real compute(const std::vector<Real>& counts) const {
        return compute<Real>(std::span<const Real>(counts));
    }

    ChrfSettings settings_;
    std::size_t orders_;
};

}  // namespace

const Fields<ChrfSettings>& ChrfSettings::fields() {
    static const Fields<ChrfSettings> list =
        Fields<ChrfSettings>()
            .add("char_order", &ChrfSettings::char_order, "longest character n-gram", {.min = 1, .max = kMostCharacters})
            .add("word_order", &ChrfSettings::word_order, "longest word n-gram; 2 is chrF++", {.min = 0, .max = kMostWords})
            .add("beta", &ChrfSettings::beta, "weight of recall over precision", {.min = 1, .max = 10})
            .add("lowercase", &ChrfSettings::lowercase, "compare without regard to case")
            .add("whitespace", &ChrfSettings::whitespace, "count blanks as characters");
    return list;
}

std::unique_ptr<Metric> make_chrf(const ChrfSettings& settings) { return std::make_unique<Chrf>(settings); }

MetricEntry chrf_entry() { return metric_entry("chrf", "chrF", "Popović 2015, W15-3049", make_chrf); }
MetricEntry chrf_plus_plus_entry() { return metric_entry("chrf++", "chrF++", "Popović 2017, W17-4770", make_chrf, {{"word_order", 2}}); }

}  // namespace permille
