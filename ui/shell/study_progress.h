// How far the study is that runs now, whoever runs it: a pure function for the status bar.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/store/store.h"

namespace permille::ui {

struct StudyProgress {
    const RunRow* running = nullptr;   // the first one that goes on, in the rows given; null: none
    std::string study;                 // whose
    std::int64_t done = 0, total = 0;  // runs that have ended, and all that are to be done
    double share = 0;                  // 0 to 1, runs that go on counted by their own progress
    double eta_seconds = -1;           // of the whole study; -1: not known
};

// `expected` names the study that is about to start while none of its runs goes on yet.
StudyProgress study_progress(const std::vector<RunRow>& runs, const std::string& expected = {});

}  // namespace permille::ui
