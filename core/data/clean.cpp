#include "core/data/clean.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/data/markup.h"
#include "core/data/unicode.h"

namespace permille {
namespace {

constexpr std::array<const char*, static_cast<std::size_t>(CleanCount::count)> kNames{
    "empty",         "too_short",           "too_long",  "length_ratio",    "equal_sides",
    "wrong_script",  "mostly_placeholders", "duplicate", "markup_stripped", "accelerator_stripped",
    "sentences_cut",
};

bool is_end(char32_t point) {
    return point == U'.' || point == U'!' || point == U'?' || point == 0x2026 || point == 0x061F || point == 0x0964;
}
bool is_dense_end(char32_t point) { return point == 0x3002 || point == 0xFF01 || point == 0xFF1F; }
bool is_closing(char32_t point) {
    return point == U'"' || point == U'\'' || point == U')' || point == U']' || point == 0x201D || point == 0x2019 || point == 0xBB ||
           point == 0x300D || point == 0xFF09 || point == 0x201C;
}
bool is_opening(char32_t point) {
    return point == U'"' || point == U'\'' || point == U'(' || point == U'[' || point == 0x201C || point == 0x2018 || point == 0xAB ||
           point == 0x201E || point == 0x300C || point == 0xBF || point == 0xA1;
}

// "e.g.", "z. B.", "J." and the like end no sentence: a single letter before the point, or a point inside the word.
bool is_abbreviation(const std::u32string& text, std::size_t point) {
    std::size_t begin = point;
    bool inner = false;
    while (begin > 0 && (is_letter(text[begin - 1]) || (text[begin - 1] == U'.' && begin < point))) {
        inner = inner || text[begin - 1] == U'.';
        --begin;
    }
    if (point - begin <= 1 || inner) return point > begin;
    std::u32string word;
    for (std::size_t i = begin; i < point; ++i) word.push_back(to_lower(text[i]));
    static const std::array<std::u32string, 16> kKnown{U"bzw",  U"ca", U"cf",  U"dr", U"ej", U"etc", U"ex", U"fig",
                                                       U"incl", U"mr", U"mrs", U"ms", U"no", U"nr",  U"st", U"vs"};
    return std::find(kKnown.begin(), kKnown.end(), word) != kKnown.end();
}

bool is_placeholder(const std::u32string& word) {
    bool letter = false;
    for (std::size_t i = 0; i < word.size(); ++i) {
        const char32_t point = word[i];
        letter = letter || is_letter(point);
        const char32_t next = i + 1 < word.size() ? word[i + 1] : U' ';
        if (point == U'%' && (is_letter(next) || is_digit(next) || next == U'(' || next == U'{' || next == U'-' || next == U'.'))
            return true;
        if ((point == U'{' || point == U'[') && i + 1 < word.size() && word.find(point == U'{' ? U'}' : U']', i) != word.npos) return true;
        if (point == U'$' && (is_letter(next) || is_digit(next) || next == U'{')) return true;
        if (point == U'<' && word.find(U'>', i) != word.npos) return true;
        if ((point == U'_' || point == U'\\' || point == U'=') && (is_letter(next) || is_digit(next))) return true;
        if (point == U':' && next == U':') return true;
        if (point == U'@' && i > 0 && is_letter(next)) return true;
        if (point == U'/' && (i == 0 || next == U'/') && word.size() > 1) return true;
        if (point == U'-' && i == 0 && (is_letter(next) || next == U'-')) return true;
        if (point == U'.' && i > 0 && is_letter(word[i - 1]) && is_lower(next) && i + 2 < word.size()) return true;  // names of files
    }
    return !letter;
}

double placeholder_percent(const std::u32string& text) {
    if (text.find(U"{{") != std::u32string::npos) return 100;  // MediaWiki's templates: {{PLURAL:$1|page|pages}}
    std::int64_t words = 0, placeholders = 0;
    std::u32string word;
    for (std::size_t i = 0; i <= text.size(); ++i) {
        if (i < text.size() && text[i] != U' ') {
            word.push_back(text[i]);
            continue;
        }
        if (!word.empty()) {
            ++words;
            placeholders += is_placeholder(word) ? 1 : 0;
        }
        word.clear();
    }
    return words == 0 ? 100 : 100.0 * static_cast<double>(placeholders) / static_cast<double>(words);
}

// Untranslated, or as good as: the letters agree, or four fifths of the words do and the sides are long enough to tell.
bool is_same_text(const std::string& a, const std::string& b) {
    if (a == b || folded(a) == folded(b)) return true;
    const auto words = [](const std::string& text) {
        std::vector<std::string> list;
        std::u32string word;
        for (const char32_t point : code_points(text + " ")) {
            if (is_letter(point)) word.push_back(to_lower(point));
            else if (!word.empty()) list.push_back(to_utf8(std::exchange(word, {})));
        }
        std::sort(list.begin(), list.end());
        return list;
    };
    const auto left = words(a), right = words(b);
    std::vector<std::string> common;
    std::set_intersection(left.begin(), left.end(), right.begin(), right.end(), std::back_inserter(common));
    return common.size() >= 3 && 5 * common.size() >= 4 * std::max(left.size(), right.size());
}

// Characters of Chinese, Japanese and Korean say about as much as two and a half letters.
double visual_length(const std::u32string& text) {
    double length = 0;
    for (const char32_t point : text) length += point >= 0x2E80 && point < 0x1F000 ? 2.5 : 1;
    return length;
}

}  // namespace

const Fields<CleanSettings>& CleanSettings::fields() {
    static const Fields<CleanSettings> list =
        Fields<CleanSettings>()
            .add("min_words", &CleanSettings::min_words, "drop rows whose English (else source) side has fewer words",
                 {.min = 0, .unit = "words"})
            .add("max_words", &CleanSettings::max_words, "drop rows whose English (else source) side has more words",
                 {.min = 1, .unit = "words"})
            .add("max_length_ratio", &CleanSettings::max_length_ratio, "drop rows of which one side is so many times longer; 0: no check",
                 {.min = 0})
            .add("max_placeholder_percent", &CleanSettings::max_placeholder_percent,
                 "drop rows with a larger share of placeholders, numbers, paths and options", {.min = 0, .max = 100, .unit = "%"})
            .add("min_script_percent", &CleanSettings::min_script_percent,
                 "drop rows with fewer letters in the scripts of their languages; 0: no check", {.min = 0, .max = 100, .unit = "%"})
            .add("strip_markup", &CleanSettings::strip_markup, "take out tags and decode character references")
            .add("strip_accelerators", &CleanSettings::strip_accelerators, "take out the marks of keyboard accelerators (_File, &File)")
            .add("split_sentences", &CleanSettings::split_sentences, "cut paragraphs where all sides have the same number of sentences")
            .add("drop_equal", &CleanSettings::drop_equal, "drop rows with the same text on both sides")
            .add("drop_duplicates", &CleanSettings::drop_duplicates, "keep one row per English (else source) text");
    return list;
}

const char* to_string(CleanCount what) { return kNames[static_cast<std::size_t>(what)]; }

Json CleanCounts::to_json() const {
    Json json = {{"read", read}, {"kept", kept}};
    for (std::size_t i = 0; i < counts.size(); ++i) json[kNames[i]] = counts[i];
    return json;
}

CleanCounts CleanCounts::from_json(const Json& json) {
    CleanCounts counts;
    counts.read = json.value("read", std::int64_t{0});
    counts.kept = json.value("kept", std::int64_t{0});
    for (std::size_t i = 0; i < counts.counts.size(); ++i) counts.counts[i] = json.value(kNames[i], std::int64_t{0});
    return counts;
}

const std::string& key_text(const Row& row, const Language& source, const Language& target) {
    if (!row.pivot.empty()) return row.pivot;
    return target.is_english() && !source.is_english() ? row.target : row.source;
}

std::vector<std::string> cut_sentences(const std::string& text) {
    const std::u32string points = code_points(text);
    std::vector<std::string> sentences;
    std::size_t begin = 0;
    for (std::size_t i = 0; i < points.size(); ++i) {
        const bool dense = is_dense_end(points[i]);
        if (!dense && !is_end(points[i])) continue;
        std::size_t end = i + 1;
        while (end < points.size() && (is_closing(points[end]) || is_end(points[end]) || is_dense_end(points[end]))) ++end;
        if (end >= points.size()) break;
        std::size_t next = end;
        while (next < points.size() && is_space(points[next])) ++next;
        if (next >= points.size()) break;
        const bool starts = (is_letter(points[next]) && !is_lower(points[next])) || is_opening(points[next]) || is_digit(points[next]);
        if ((dense || next > end) && (dense || starts) && !(points[i] == U'.' && is_abbreviation(points, i))) {
            sentences.push_back(single_spaced(to_utf8(points.substr(begin, end - begin))));
            begin = next;
        }
        i = end - 1;
    }
    sentences.push_back(single_spaced(to_utf8(points.substr(begin))));
    return sentences;
}

bool is_full_sentence(const std::string& text) {
    std::u32string points = code_points(text);
    while (!points.empty() && is_closing(points.back())) points.pop_back();
    if (points.empty() || !(is_end(points.back()) || is_dense_end(points.back()))) return false;
    std::int64_t words = 0, lower_case = 0;
    bool at_start = true;
    for (const char32_t point : points) {
        if (is_space(point)) {
            at_start = true;
        } else if (at_start && is_letter(point)) {
            ++words;
            lower_case += is_upper(point) ? 0 : 1;
            at_start = false;
        }
    }
    return words >= 6 && 2 * lower_case > words;
}

Cleaner::Cleaner(const CleanSettings& settings, const Language& source, const Language& target)
    : settings_(settings), source_(source), target_(target) {}

bool Cleaner::drop(CleanCount reason) {
    ++counts_.counts[static_cast<std::size_t>(reason)];
    return true;
}

void Cleaner::tidy(Row& row) {
    const auto change = [this](CleanCount what, Row& changed, const auto& make) {
        const Row before = changed;
        make(changed);
        if (!(changed == before)) ++counts_.counts[static_cast<std::size_t>(what)];
    };
    if (settings_.strip_markup) {
        change(CleanCount::markup_stripped, row, [](Row& r) {
            for (std::string* text : {&r.source, &r.target, &r.pivot}) {
                if (text->find_first_of("<&[") != std::string::npos) *text = strip_markup(*text);
            }
        });
    }
    if (settings_.strip_accelerators) {
        change(CleanCount::accelerator_stripped, row, [](Row& r) {
            std::string pivot = r.pivot, source = r.source;
            if (!pivot.empty()) strip_accelerators(source, pivot);
            strip_accelerators(r.source, r.target);
            if (!pivot.empty()) r.pivot = pivot;
        });
    }
    for (std::string* text : {&row.source, &row.target, &row.pivot}) *text = single_spaced(*text);
}

std::vector<Row> Cleaner::cut(Row row) {
    const auto source = cut_sentences(row.source), target = cut_sentences(row.target);
    const auto pivot = row.pivot.empty() ? std::vector<std::string>(source.size()) : cut_sentences(row.pivot);
    if (source.size() < 2 || source.size() != target.size() || source.size() != pivot.size()) return {std::move(row)};
    ++counts_.counts[static_cast<std::size_t>(CleanCount::sentences_cut)];
    std::vector<Row> rows;
    for (std::size_t i = 0; i < source.size(); ++i) rows.push_back({source[i], target[i], row.origin, pivot[i]});
    return rows;
}

bool Cleaner::is_dropped(const Row& row) {
    if (row.source.empty() || row.target.empty()) return drop(CleanCount::empty);
    const std::string& key = key_text(row, source_, target_);
    const bool by_english = !row.pivot.empty();
    const Language& key_language = by_english ? english_ : &key == &row.target ? target_ : source_;
    const std::u32string key_points = code_points(key);
    const std::int64_t words = key_language.count_words(key_points);
    if (words < settings_.min_words) return drop(CleanCount::too_short);
    if (words > settings_.max_words) return drop(CleanCount::too_long);
    if (settings_.drop_equal && (is_same_text(row.source, row.target) ||
                                 (!row.pivot.empty() && (is_same_text(row.source, row.pivot) || is_same_text(row.target, row.pivot))))) {
        return drop(CleanCount::equal_sides);
    }
    const std::u32string source = code_points(row.source), target = code_points(row.target);
    if (settings_.max_length_ratio > 0) {
        // The constant lets short texts differ more, as they do.
        const double a = visual_length(source) + 8, b = visual_length(target) + 8;
        if (std::max(a, b) > settings_.max_length_ratio * std::min(a, b)) return drop(CleanCount::length_ratio);
    }
    if (settings_.min_script_percent > 0 &&
        (source_.script_percent(source) < settings_.min_script_percent || target_.script_percent(target) < settings_.min_script_percent)) {
        return drop(CleanCount::wrong_script);
    }
    if (settings_.max_placeholder_percent < 100 && placeholder_percent(key_points) > settings_.max_placeholder_percent) {
        return drop(CleanCount::mostly_placeholders);
    }
    if (settings_.drop_duplicates && !seen_.insert(stable_hash(folded(key))).second) return drop(CleanCount::duplicate);
    return false;
}

void Cleaner::clean(Row row, std::vector<Row>& kept) {
    ++counts_.read;
    tidy(row);
    std::vector<Row> rows;
    if (settings_.split_sentences) rows = cut(std::move(row));
    else rows.push_back(std::move(row));
    for (Row& one : rows) {
        if (is_dropped(one)) continue;
        ++counts_.kept;
        kept.push_back(std::move(one));
    }
}

}  // namespace permille
