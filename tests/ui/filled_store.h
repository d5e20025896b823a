// A database with corpora and the runs of a study in every state, for the window's tests. The figures are made up here and nowhere else.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/store/store.h"
#include "core/study/study.h"

namespace permille::test {

struct FillOptions {
    std::string study = "budgets";
    std::vector<std::int64_t> seeds = {1, 2, 3};
    // The last runs are left running, interrupted, failed and queued.
    bool unfinished = true;
};

Study sample_study(const FillOptions& options = {});
// A finished run of this spec with the score, its evaluation of three sentences and a loss curve. Returns its id.
std::int64_t add_finished_run(Store& store, const RunSpec& spec, double percent, double score);
void fill_store(const std::filesystem::path& file, const FillOptions& options = {});

}  // namespace permille::test
