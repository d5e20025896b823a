// Cleaning of parallel text. Every row that is dropped is counted under a reason, every change under its own name.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "core/base/fields.h"
#include "core/base/json.h"
#include "core/data/language.h"

namespace permille {

// One line of parallel text.
struct Row {
    std::string source, target;
    std::string origin = {};  // where it comes from: a package or a file
    std::string pivot = {};   // the English message that both sides translate; "" when one side is English, or there is none
    bool operator==(const Row&) const = default;
};

struct CleanSettings {
    std::int64_t min_words = 3;  // of the key side: the English text, else the source
    std::int64_t max_words = 60;
    double max_length_ratio = 2.5;        // characters of the longer to the shorter side; 0: no check
    double max_placeholder_percent = 20;  // words of the key side that are placeholders, numbers, paths, options; 100: no check
    double min_script_percent = 50;       // letters of each side that belong to its language's scripts; 0: no check
    bool strip_markup = true;
    bool strip_accelerators = true;
    bool split_sentences = true;  // paragraphs are cut where all sides have the same number of sentences
    bool drop_equal = true;
    bool drop_duplicates = true;  // one row per key text, upper and lower case and punctuation ignored
    static const Fields<CleanSettings>& fields();
};

// Dropped rows come first, then what was changed.
enum class CleanCount {
    empty,
    too_short,
    too_long,
    length_ratio,
    equal_sides,
    wrong_script,
    mostly_placeholders,
    duplicate,  // rows
    markup_stripped,
    accelerator_stripped,
    sentences_cut,  // rows with a change
    count
};
const char* to_string(CleanCount what);

struct CleanCounts {
    std::int64_t read = 0, kept = 0;  // sentences cut out of a paragraph are counted one by one in `kept` and the reasons
    std::array<std::int64_t, static_cast<std::size_t>(CleanCount::count)> counts{};
    std::int64_t operator[](CleanCount what) const { return counts[static_cast<std::size_t>(what)]; }
    Json to_json() const;
    static CleanCounts from_json(const Json& json);  // what is missing is 0
};

// Sees all rows of one corpus, one after the other; remembers what it has seen.
class Cleaner {
public:
    Cleaner(const CleanSettings& settings, const Language& source, const Language& target);

    // Appends what is left of the row, as one row or several, to `kept`.
    void clean(Row row, std::vector<Row>& kept);
    const CleanCounts& counts() const { return counts_; }

private:
    void tidy(Row& row);
    std::vector<Row> cut(Row row);
    bool drop(CleanCount reason);
    bool is_dropped(const Row& row);

    CleanSettings settings_;
    Language source_, target_, english_{"en"};
    CleanCounts counts_;
    std::unordered_set<std::uint64_t> seen_;
};

// The side by which rows are recognised in every language pair: the English text where there is one, else the source.
const std::string& key_text(const Row& row, const Language& source, const Language& target);

// Sentences of a paragraph; the text as a whole when there is only one.
std::vector<std::string> cut_sentences(const std::string& text);

// Six words or more, ends in . ! or ?, mostly lower case.
bool is_full_sentence(const std::string& text);

}  // namespace permille
