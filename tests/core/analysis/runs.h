// Finished runs for the tests of statistics, and a table of three methods that no program has.
#pragma once

#include <string>
#include <vector>

#include "core/base/method_info.h"
#include "core/store/store.h"

namespace permille::test {

inline RunRow finished_run(std::int64_t id, const std::string& method, double percent, double score, std::int64_t seed = 1,
                           const std::string& source = "it") {
    RunRow row;
    row.id = id;
    row.state = RunState::finished;
    row.spec.base = "base";
    row.spec.corpus = source + "-en";
    row.spec.source_language = source;
    row.spec.target_language = "en";
    row.spec.method = method;
    row.spec.seed = seed;
    row.spec.train_sentences = row.spec.untouched() ? 0 : 1000;
    if (percent > 0 && percent < 99) row.spec.budget_percent = percent;
    row.facts.percent_base = percent;
    row.facts.trainable = static_cast<std::int64_t>(percent * 1000);
    row.facts.train_sentences = row.spec.train_sentences;
    row.score = Score{"bleu", "sig", score, score - 1, score + 2};
    return row;
}

inline std::vector<MethodInfo> three_methods() {
    MethodInfo all, small, copies;
    all.id = "all";
    all.name = "Everything";
    all.trains_whole_base = true;
    all.knobs.push_back({"embeddings", FieldType::boolean, true, {}, {}, {}, "", ""});
    small.id = "small";
    small.name = "Small";
    copies.id = "copies";
    copies.name = "Copies";
    return {all, small, copies};
}

}  // namespace permille::test
