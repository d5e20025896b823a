#include "core/data/split.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "core/base/stopped.h"
#include "core/data/unicode.h"

namespace permille {
namespace {

struct Candidate {
    bool full = false;
    std::uint64_t order = 0;
    Row row;
};

using Seen = std::unordered_set<std::uint64_t>;

// Both sides, each with a mark of its side: "Menu" on the German side says nothing about "Menu" on the English one.
std::uint64_t source_hash(const Row& row) { return stable_hash("s" + folded(row.source)); }
std::uint64_t target_hash(const Row& row) { return stable_hash("t" + folded(row.target)); }

bool occurs(const Row& row, const Seen& seen) { return seen.contains(source_hash(row)) || seen.contains(target_hash(row)); }

void remember(const Row& row, Seen& seen) {
    seen.insert(source_hash(row));
    seen.insert(target_hash(row));
}

std::vector<Row> choose(std::vector<Candidate> candidates, std::int64_t most, Seen& seen, Splits& splits) {
    std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
        if (a.full != b.full) return a.full;
        return a.order != b.order ? a.order < b.order : a.row.source < b.row.source;
    });
    std::vector<Row> rows;
    for (Candidate& candidate : candidates) {
        const auto size = static_cast<std::int64_t>(rows.size());
        if (occurs(candidate.row, seen)) {
            ++splits.leaking;
        } else if (size >= most || (!candidate.full && size >= (most + 3) / 4)) {
            ++splits.withheld;
        } else {
            rows.push_back(std::move(candidate.row));
        }
    }
    for (const Row& row : rows) remember(row, seen);
    return rows;
}

std::uint64_t order_of(const std::string& key) { return stable_hash("permille-order " + folded(key)); }

std::vector<Row> shuffled(std::vector<Row> rows, const Language& source, const Language& target, const std::stop_token& stop) {
    std::vector<std::pair<std::uint64_t, std::size_t>> order;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        throw_if_stopped(stop);
        order.emplace_back(order_of(key_text(rows[i], source, target)), i);
    }
    std::sort(order.begin(), order.end(), [&rows](const auto& a, const auto& b) {
        return a.first != b.first ? a.first < b.first : rows[a.second].source < rows[b.second].source;
    });
    std::vector<Row> result;
    result.reserve(rows.size());
    for (const auto& [hash, i] : order) result.push_back(std::move(rows[i]));
    return result;
}

}  // namespace

const char* to_string(Split split) {
    switch (split) {
        case Split::train: return "train";
        case Split::valid: return "valid";
        case Split::test: return "test";
    }
    return "";
}

Split split_from_name(const std::string& name, const std::string& where) {
    for (const Split split : {Split::train, Split::valid, Split::test}) {
        if (name == to_string(split)) return split;
    }
    throw Error(ErrorKind::config, where, "there is no split '" + name + "'", "the splits are train, valid and test");
}

const Fields<SplitSettings>& SplitSettings::fields() {
    static const Fields<SplitSettings> list =
        Fields<SplitSettings>()
            .add("test_sentences", &SplitSettings::test_sentences, "size of the test split at most; 0: none",
                 {.min = 0, .unit = "sentences"})
            .add("valid_sentences", &SplitSettings::valid_sentences, "size of the validation split at most; 0: none",
                 {.min = 0, .unit = "sentences"})
            .add("held_out_percent", &SplitSettings::held_out_percent, "share of all sentences kept out of training, for each of the two",
                 {.min = 0, .max = 40, .unit = "%"});
    return list;
}

std::string skeleton(const std::string& text) {
    std::u32string result, word;
    bool lower = true, quoted = false;
    const auto finish = [&] {
        if (!word.empty() && lower && !quoted) {
            if (!result.empty()) result.push_back(U' ');
            result += word;
        }
        word.clear();
        lower = true;
    };
    const std::u32string points = code_points(text);
    for (std::size_t i = 0; i < points.size(); ++i) {
        const char32_t point = points[i];
        const bool quote = point == U'"' || point == 0x201C || point == 0x201D || point == 0x201E || point == 0xAB || point == 0xBB;
        if (quote) {
            finish();
            quoted = !quoted && points.find_first_of(U"\"\u201C\u201D\u201E\u00AB\u00BB", i + 1) != std::u32string::npos;
        } else if (is_letter(point)) {
            lower = lower && !is_upper(point);
            word.push_back(point);
        } else if (is_digit(point) || point == U'%' || point == U'{' || point == U'}' || point == U'$' || point == U'_') {
            word.push_back(point);
            lower = false;  // placeholders and numbers go, with the letters that hang on them
        } else if (point != U'\'' && point != 0x2019) {
            finish();
        }
    }
    finish();
    return result.empty() ? folded(text) : to_utf8(result);
}

namespace {

// With `share` percent held out for each of valid and test; that of the settings or, in a small corpus, a larger one.
Split split_at(const std::string& key_text, const SplitSettings& settings, double share) {
    const std::uint64_t hash = stable_hash("permille-split " + skeleton(key_text));
    // 53 bits are what a double holds; the place does not depend on the lowest bit, which parts what only small corpora hold out.
    const double place = static_cast<double>(hash >> 11) * 0x1.0p-53 * 100, asked = settings.held_out_percent;
    if (place >= 2 * share) return Split::train;
    const bool test = place < 2 * asked ? place < asked : (hash & 1) != 0;
    if (test) return settings.test_sentences > 0 ? Split::test : Split::train;
    return settings.valid_sentences > 0 ? Split::valid : Split::train;
}

Splits split_with(std::vector<Row> rows, const SplitSettings& settings, double share, const Language& source, const Language& target,
                  const std::stop_token& stop) {
    std::vector<Row> train;
    std::vector<Candidate> valid, test;
    Splits splits;
    Seen seen;
    for (Row& row : rows) {
        throw_if_stopped(stop);
        const std::string key = key_text(row, source, target);
        Candidate candidate{is_full_sentence(key), order_of(key), std::move(row)};
        switch (split_at(key, settings, share)) {
            case Split::train:
                remember(candidate.row, seen);
                train.push_back(std::move(candidate.row));
                break;
            case Split::valid: valid.push_back(std::move(candidate)); break;
            case Split::test: test.push_back(std::move(candidate)); break;
        }
    }
    splits.train = shuffled(std::move(train), source, target, stop);
    splits.test = choose(std::move(test), settings.test_sentences, seen, splits);
    splits.valid = choose(std::move(valid), settings.valid_sentences, seen, splits);
    return splits;
}

// Above this many rows a corpus splits by the settings' share, whatever comes of it.
constexpr std::size_t kSmallCorpus = 5000;
// What a small corpus should have in each of valid and test, as long as that takes no more than kComfortable percent; an empty split is
// filled even so, up to kMost.
constexpr std::int64_t kEnough = 20;
constexpr double kComfortable = 10, kMost = 25;

bool has(const Splits& splits, const SplitSettings& settings, std::int64_t rows) {
    return static_cast<std::int64_t>(splits.test.size()) >= std::min(rows, settings.test_sentences) &&
           static_cast<std::int64_t>(splits.valid.size()) >= std::min(rows, settings.valid_sentences);
}

// How far the two are filled, each up to what is enough.
std::int64_t filled(const Splits& splits) {
    return std::min(kEnough, static_cast<std::int64_t>(splits.test.size())) +
           std::min(kEnough, static_cast<std::int64_t>(splits.valid.size()));
}

}  // namespace

Split split_of(const std::string& key_text, const SplitSettings& settings) {
    return split_at(key_text, settings, settings.held_out_percent);
}

Splits split_rows(std::vector<Row> rows, const SplitSettings& settings, const Language& source, const Language& target,
                  const std::stop_token& stop) {
    if (rows.size() > kSmallCorpus || settings.held_out_percent <= 0)
        return split_with(std::move(rows), settings, settings.held_out_percent, source, target, stop);
    Splits splits = split_with(rows, settings, settings.held_out_percent, source, target, stop);
    for (const double share : {5.0, 7.5, kComfortable, 15.0, 20.0, kMost}) {
        if (share <= settings.held_out_percent) continue;
        if (has(splits, settings, share > kComfortable ? 1 : kEnough)) break;
        Splits wider = split_with(rows, settings, share, source, target, stop);
        if (wider.train.size() <= wider.test.size() + wider.valid.size()) break;  // training keeps most
        if (filled(wider) <= filled(splits)) continue;
        wider.raised_percent = share;
        splits = std::move(wider);
    }
    return splits;
}

std::vector<Row> sample_rows(std::vector<Row> rows, std::int64_t most, const Language& source, const Language& target,
                             const std::stop_token& stop) {
    if (most <= 0 || static_cast<std::int64_t>(rows.size()) <= most) return rows;
    rows = shuffled(std::move(rows), source, target, stop);
    rows.resize(static_cast<std::size_t>(most));
    return rows;
}

Splits given_splits(std::vector<Row> train, std::vector<Row> valid, std::vector<Row> test, const Language& source, const Language& target,
                    const std::stop_token& stop) {
    Splits splits;
    Seen seen;
    for (const Row& row : test) remember(row, seen);
    splits.test = std::move(test);
    const auto keep_apart = [&](std::vector<Row> rows) {
        std::vector<Row> kept;
        for (Row& row : rows) {
            throw_if_stopped(stop);
            if (occurs(row, seen)) ++splits.leaking;
            else kept.push_back(std::move(row));
        }
        return kept;
    };
    splits.valid = keep_apart(std::move(valid));
    for (const Row& row : splits.valid) remember(row, seen);
    splits.train = shuffled(keep_apart(std::move(train)), source, target, stop);
    return splits;
}

}  // namespace permille
