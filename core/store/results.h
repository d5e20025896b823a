// The runs of a database as a table, with the fields of `permille results`, and the conditions of its --where.
#pragma once

#include <string>
#include <vector>

#include "core/store/store.h"
#include "core/store/table.h"

namespace permille {

// The columns, in order: run, study, base, pair, method, settings, budget, trainable, percent_base, train_sentences, seed, status, metric,
// signature, score, low, high, seconds, peak_memory_bytes, started, finished; further ones may follow. What is not known yet is null.
Table results_table(const std::vector<RunRow>& runs);

// The runs with their state, progress and remaining time.
Table status_table(const std::vector<RunRow>& runs);

// Conditions on runs: comparisons COLUMN OP VALUE joined by commas or AND, all of which must hold. OP is = != < <= > >= or ~ (contains, in
// any case). COLUMN is one of results_table, corpus, source or target, or settings.KNOB. A VALUE with commas or blanks goes into quotes;
// "none" stands for what is not known; numbers may carry % . For example: pair=it-en AND method~lora, percent_base<=2%, score>=20
class Where {
public:
    // Throws Error(usage) that names the nearest known column.
    explicit Where(const std::string& text);
    bool holds(const RunRow& run) const;
    std::vector<RunRow> select(const std::vector<RunRow>& runs) const;

private:
    enum class Comparison { equal, not_equal, less, less_equal, greater, greater_equal, contains };
    struct Condition {
        std::string column;
        Comparison comparison = Comparison::equal;
        std::string value;
    };
    static bool compare(const Json& cell, const Condition& condition);
    std::vector<Condition> conditions_;
};

}  // namespace permille
