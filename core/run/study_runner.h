// Works through a study: every queued or interrupted run of it, one worker per slot, each run recorded in the database while it goes.
// Torch-free face.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/events.h"
#include "core/run/ledger.h"
#include "core/study/study.h"

namespace permille {

struct StudyCount {
    std::int64_t queued = 0, running = 0, finished = 0, failed = 0, skipped = 0, cancelled = 0, interrupted = 0, stopped = 0;
    std::int64_t total() const { return queued + running + finished + failed + skipped + cancelled + interrupted + stopped; }
    // Runs that are to be done and that nobody is doing.
    std::int64_t left() const { return queued + interrupted + stopped; }
};

// Adds the study's runs to the database (those already there are kept) and returns their number. Runs whose budget cannot be reached are
// added as skipped, with the reason.
std::int64_t enqueue_study(const Study& study, const std::string& yaml, const std::filesystem::path& database, const EventSink& sink = {});

StudyCount count_runs(const std::filesystem::path& database, const std::string& study);

// Works through the queue of one study in background threads until nothing is left or stop() is called. A run of another process that
// gives no sign of life is waited for until it is clear whether that process lives; if not, the run is done here. The object belongs to
// the thread that made it; the sink is called from the workers' threads.
class StudyRunner {
public:
    StudyRunner(std::filesystem::path database, std::string study, DeviceSettings device, std::int64_t jobs, EventSink sink,
                Patience patience = {});
    ~StudyRunner();  // stops and waits

    void start();
    // Asks the workers to save and end at the next update; returns at once. Interrupted runs continue with the next start.
    void stop();
    bool running() const;
    void wait();
    // What kept workers from going on (a database that cannot be read, runs that the machine did not let them do), one line each. Empty
    // when all went well; then what is left in the queue was left by a stop.
    std::vector<std::string> trouble() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace permille
