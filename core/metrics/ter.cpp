#include "core/metrics/ter.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <tuple>
#include <utility>

#include "core/metrics/entry.h"
#include "core/metrics/ngrams.h"
#include "core/metrics/western.h"

namespace permille {

namespace {

using Words = std::vector<std::uint32_t>;

constexpr std::int64_t kMostShiftedWords = 10, kFarthestShift = 50, kMostCandidates = 1000, kBeam = 25;
constexpr std::int64_t kInfinity = std::int64_t{1} << 50;

bool is_in(char32_t c, char32_t first, char32_t last) { return c >= first && c <= last; }
bool is_east_asian_mark(char32_t c) {
    static constexpr std::u32string_view kMarks = U"\u3001\u3002\u30fb\uff0e\uff0c\uff1f\uff1a\uff1b\uff01\uff02\uff08\uff09";
    return kMarks.find(c) != kMarks.npos || is_in(c, 0x3008, 0x3011) || is_in(c, 0x3014, 0x301f) || is_in(c, 0xff61, 0xff65);
}
bool is_east_asian(char32_t c) {
    return is_in(c, 0x4e00, 0x9fff) || is_in(c, 0x3400, 0x4dbf) || is_in(c, 0x31c0, 0x31ef) || is_in(c, 0x2e80, 0x2eff) ||
           is_in(c, 0x3300, 0x33ff) || is_in(c, 0xf900, 0xfaff) || is_in(c, 0xfe30, 0xfe4f) || is_in(c, 0x3200, 0x3f22) ||
           is_east_asian_mark(c);
}

enum class Edit : char { none, substitute, insert, erase };

// The edit distance from hypotheses of one length to a reference, within a band around the diagonal. Rows of words that a hypothesis shares
// with the one before it, at its beginning, are kept.
class EditDistance {
public:
    EditDistance(const Words& reference, std::size_t hypothesis_length)
        : reference_(reference), rows_(hypothesis_length + 1), columns_(reference.size() + 1), cells_(rows_ * columns_) {
        for (std::size_t j = 0; j < columns_; ++j) cells_[j] = {static_cast<std::int64_t>(j), Edit::insert};
        ratio_ = hypothesis_length > 0 ? static_cast<double>(reference.size()) / static_cast<double>(hypothesis_length) : 1.0;
        beam_ = static_cast<double>(kBeam) < ratio_ / 2 ? static_cast<std::int64_t>(std::ceil(ratio_ / 2 + kBeam)) : kBeam;
    }

    std::int64_t operator()(const Words& hypothesis) {
        std::size_t same = 0;
        while (same < before_.size() && before_[same] == hypothesis[same]) ++same;
        for (std::size_t i = same + 1; i < rows_; ++i) fill_row(i, hypothesis[i - 1]);
        before_ = hypothesis;
        return cells_.back().cost;
    }

    // The edits of the last hypothesis, in order.
    std::vector<Edit> edits() const {
        std::vector<Edit> list;
        std::size_t i = rows_ - 1, j = columns_ - 1;
        while (i > 0 || j > 0) {
            const Edit edit = cells_[i * columns_ + j].edit;
            list.push_back(edit);
            if (edit != Edit::insert) --i;
            if (edit != Edit::erase) --j;
        }
        std::reverse(list.begin(), list.end());
        return list;
    }

private:
    struct Cell {
        std::int64_t cost = kInfinity;
        Edit edit = Edit::none;
    };

    void fill_row(std::size_t i, std::uint32_t word) {
        Cell* row = &cells_[i * columns_];
        const Cell* above = row - columns_;
        std::fill(row, row + columns_, Cell{});
        const auto diagonal = static_cast<std::int64_t>(std::floor(static_cast<double>(i) * ratio_));
        const auto first = static_cast<std::size_t>(std::max<std::int64_t>(0, diagonal - beam_));
        const auto columns = static_cast<std::int64_t>(columns_);
        const auto last = i + 1 == rows_ ? columns_ : static_cast<std::size_t>(std::min(columns, diagonal + beam_));
        for (std::size_t j = first; j < last; ++j) {
            if (j == 0) {
                row[0] = {above[0].cost + 1, Edit::erase};
                continue;
            }
            // On equal costs a match or substitution goes before a deletion, and that before an insertion.
            const bool same = word == reference_[j - 1];
            const std::array<Cell, 3> choices{Cell{above[j - 1].cost + (same ? 0 : 1), same ? Edit::none : Edit::substitute},
                                              Cell{above[j].cost + 1, Edit::erase}, Cell{row[j - 1].cost + 1, Edit::insert}};
            for (const auto& choice : choices)
                if (row[j].cost > choice.cost) row[j] = choice;
        }
    }

    const Words& reference_;
    std::size_t rows_, columns_;
    std::vector<Cell> cells_;
    Words before_;
    double ratio_ = 1;
    std::int64_t beam_ = kBeam;
};

// Where each word of the reference lies in the hypothesis, and which words are wrong.
struct Alignment {
    std::vector<std::int64_t> place;  // by reference position; -1: before the first word
    std::vector<char> reference_wrong, hypothesis_wrong;

    explicit Alignment(const std::vector<Edit>& edits) {
        std::int64_t at = -1;
        for (const Edit edit : edits) {
            const char wrong = edit == Edit::none ? 0 : 1;
            if (edit != Edit::insert) {
                ++at;
                hypothesis_wrong.push_back(wrong);
            }
            if (edit != Edit::erase) {
                place.push_back(at);
                reference_wrong.push_back(wrong);
            }
        }
    }
};

Words shifted(const Words& words, std::int64_t start, std::int64_t length, std::int64_t target) {
    Words result;
    result.reserve(words.size());
    const auto size = static_cast<std::int64_t>(words.size());
    const auto append = [&](std::int64_t from, std::int64_t to) {
        for (std::int64_t i = from; i < std::min(to, size); ++i) result.push_back(words[static_cast<std::size_t>(i)]);
    };
    if (target < start) {
        append(0, target), append(start, start + length), append(target, start), append(start + length, size);
    } else if (target > start + length) {
        append(0, start), append(start + length, target), append(start, start + length), append(target, size);
    } else {
        append(0, start), append(start + length, length + target), append(start, start + length), append(length + target, size);
    }
    return result;
}

bool all_right(const std::vector<char>& wrong, std::int64_t start, std::int64_t length) {
    const auto begin = wrong.begin() + start;
    return std::none_of(begin, begin + std::min<std::int64_t>(length, wrong.end() - begin), [](char value) { return value != 0; });
}

// Looks for the shift that saves most edits: then the longest, then the first, then the nearest to the beginning.
class ShiftSearch {
public:
    ShiftSearch(const Words& reference, EditDistance& distance) : reference_(reference), distance_(distance) {}

    bool exhausted() const { return candidates_ >= kMostCandidates; }

    // How many edits the best shift saves (itself not counted), 0 when there is none; `words` become the shifted ones.
    std::int64_t improve(Words& words) {
        words_ = &words;
        cost_ = distance_(words);
        const Alignment alignment(distance_.edits());
        best_.reset();
        const auto size = static_cast<std::int64_t>(words.size()), reference_size = static_cast<std::int64_t>(reference_.size());
        for (std::int64_t start = 0; start < size && !exhausted(); ++start)
            for (std::int64_t place = std::max<std::int64_t>(0, start - kFarthestShift);
                 place < std::min(reference_size, start + kFarthestShift + 1) && !exhausted(); ++place)
                for (std::int64_t length = 1; length <= kMostShiftedWords && start + length <= size && place + length <= reference_size &&
                                              words[at(start + length - 1)] == reference_[at(place + length - 1)] && !exhausted();
                     ++length)
                    try_shifts(alignment, start, place, length);
        if (!best_) return 0;
        words = std::move(best_words_);
        return std::get<0>(*best_);
    }

private:
    static std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

    void try_shifts(const Alignment& alignment, std::int64_t start, std::int64_t place, std::int64_t length) {
        // Only where the hypothesis is wrong, the reference's words are missing at their place, and the place lies elsewhere.
        if (all_right(alignment.hypothesis_wrong, start, length) || all_right(alignment.reference_wrong, place, length)) return;
        if (start <= alignment.place[at(place)] && alignment.place[at(place)] < start + length) return;
        std::int64_t previous = -1;
        for (std::int64_t offset = -1; offset < length; ++offset) {
            const std::int64_t position = place + offset;
            if (position >= static_cast<std::int64_t>(alignment.place.size())) break;
            const std::int64_t target = position == -1 ? 0 : alignment.place[at(position)] + 1;
            if (target == previous) continue;
            previous = target;
            Words words = shifted(*words_, start, length, target);
            const Rank rank{cost_ - distance_(words), length, -start, -target};
            ++candidates_;
            if (best_ && rank <= *best_) continue;
            best_ = rank;
            best_words_ = std::move(words);
        }
    }

    using Rank = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t>;
    const Words& reference_;
    EditDistance& distance_;
    const Words* words_ = nullptr;
    std::int64_t cost_ = 0, candidates_ = 0;
    std::optional<Rank> best_;
    Words best_words_;
};

std::int64_t count_edits(const Words& hypothesis, const Words& reference) {
    if (reference.empty()) return static_cast<std::int64_t>(hypothesis.size());
    EditDistance distance(reference, hypothesis.size());
    ShiftSearch search(reference, distance);
    Words words = hypothesis;
    std::int64_t shifts = 0;
    for (;;) {
        Words next = words;
        const std::int64_t saved = search.improve(next);
        if (search.exhausted() || saved <= 0) break;
        ++shifts;
        words = std::move(next);
    }
    return shifts + distance(words);
}

class Ter final : public Metric {
public:
    explicit Ter(const TerSettings& settings) : settings_(settings) {}

    std::string name() const override { return "TER"; }
    std::size_t width() const override { return 2; }  // edits, mean reference length

    void count(std::string_view hypothesis, std::span<const std::string_view> references, std::span<double> row) const override {
        std::vector<Characters> texts;
        texts.reserve(references.size() + 1);
        texts.push_back(prepared(cased(hypothesis)));
        // sacreBLEU prepares references twice, which tells after points that were set apart the first time.
        for (const auto reference : references) texts.push_back(prepared(joined(prepared(cased(reference)))));
        WordNumbers numbers;
        const Words words = numbers.of(words_of(texts[0]));
        std::int64_t fewest = std::numeric_limits<std::int64_t>::max(), length = 0;
        for (std::size_t r = 1; r < texts.size(); ++r) {
            const Words reference = numbers.of(words_of(texts[r]));
            fewest = std::min(fewest, count_edits(words, reference));
            length += static_cast<std::int64_t>(reference.size());
        }
        row[0] = static_cast<double>(fewest);
        row[1] = static_cast<double>(length) / static_cast<double>(references.size());
    }

    MetricScore score(std::span<const double> sums) const override {
        return {compute<double>(sums), {{"edits", static_cast<std::int64_t>(sums[0])}, {"reference_length", sums[1]}}, ""};
    }
    double resampled_score(std::span<const float> sums) const override { return static_cast<double>(compute<float>(sums)); }

protected:
    std::string signature_settings() const override {
        const auto yes = [](bool value) { return std::string(value ? "yes" : "no"); };
        return std::string("case:") + (settings_.case_sensitive ? "mixed" : "lc") + "|tok:tercom|norm:" + yes(settings_.normalized) +
               "|punct:" + yes(!settings_.no_punct) + "|asian:" + yes(settings_.asian_support);
    }

private:
    Characters cased(std::string_view text) const {
        return settings_.case_sensitive ? characters_of(text) : characters_of(lowercased(text));
    }

    static Characters joined(const Characters& line) {
        Characters result;
        for (const auto word : words_of(line)) result.append(result.empty() ? U"" : U" ").append(word);
        return result;
    }

    Characters prepared(const Characters& text) const {
        Characters line(without_end_blanks(text));
        if (line.empty()) return line;
        if (settings_.normalized) {
            replace_all(line, U"\n-", U"");
            replace_all(line, U"\n", U" ");
            replace_entities(line);
            line = punctuation_set_apart(U" " + line + U" ");
            replace_all(line, U"'s ", U" 's ");
            line = points_set_apart(line);
            if (settings_.asian_support) line = set_apart(line, is_east_asian);
        }
        if (settings_.no_punct) {
            std::erase_if(line, [](char32_t c) { return std::u32string_view(U".,?:;!\"()").find(c) != std::u32string_view::npos; });
            if (settings_.asian_support) std::erase_if(line, is_east_asian_mark);
        }
        return line;
    }

    template <class Real>
    static Real compute(std::span<const Real> sums) {
        if (sums[1] > 0) return Real(100) * (sums[0] / sums[1]);
        return sums[0] > 0 ? Real(100) : Real(0);
    }

    TerSettings settings_;
};

}  // namespace

const Fields<TerSettings>& TerSettings::fields() {
    static const Fields<TerSettings> list =
        Fields<TerSettings>()
            .add("normalized", &TerSettings::normalized, "set punctuation apart")
            .add("no_punct", &TerSettings::no_punct, "leave punctuation out")
            .add("asian_support", &TerSettings::asian_support, "treat East Asian characters and punctuation")
            .add("case_sensitive", &TerSettings::case_sensitive, "compare with regard to case");
    return list;
}

std::unique_ptr<Metric> make_ter(const TerSettings& settings) { return std::make_unique<Ter>(settings); }

MetricEntry ter_entry() {
    MetricEntry entry = metric_entry("ter", "TER", "Snover et al. 2006, AMTA", make_ter);
    entry.higher_is_better = false;
    return entry;
}

}  // namespace permille
