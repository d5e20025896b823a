#include "ui/shell/study_progress.h"

#include <algorithm>

namespace permille::ui {

StudyProgress study_progress(const std::vector<RunRow>& runs, const std::string& expected) {
    StudyProgress now;
    std::int64_t active = 0;
    for (const auto& run : runs) {
        if (run.state != RunState::running) continue;
        ++active;
        if (!now.running) now.running = &run;
    }
    now.study = now.running ? now.running->spec.study : expected;

    double shares = 0, spent = 0;
    std::int64_t timed = 0, waiting = 0;
    for (const auto& run : runs) {
        if (run.spec.study != now.study || run.state == RunState::skipped || run.state == RunState::cancelled) continue;
        ++now.total;
        const bool trains = !run.spec.untouched();
        if (run.state == RunState::finished || run.state == RunState::failed) ++now.done;
        if (run.state == RunState::finished && trains && run.seconds > 0) ++timed, spent += run.seconds;
        if (is_open(run.state) && trains) ++waiting;
        if (run.state != RunState::running) continue;
        now.eta_seconds = std::max(now.eta_seconds, run.progress.eta_seconds);
        if (run.progress.total > 0) shares += static_cast<double>(run.progress.done) / static_cast<double>(run.progress.total);
    }
    if (now.total > 0) now.share = std::min(1.0, (static_cast<double>(now.done) + shares) / static_cast<double>(now.total));
    // Runs that wait will take about as long as those that are done did; before the first one nobody knows.
    if (!now.running || (waiting > 0 && timed == 0)) now.eta_seconds = -1;
    else if (waiting > 0)
        now.eta_seconds = std::max(0.0, now.eta_seconds) +
                          static_cast<double>(waiting) * spent / static_cast<double>(timed) / static_cast<double>(active);
    return now;
}

}  // namespace permille::ui
