// Runs a study: every queued or interrupted run of it, one worker per slot, each run recorded in the database while it goes. Torch-free
// face.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "core/base/events.h"
#include "core/study/study.h"

namespace permille {

struct StudyCount {
    std::int64_t queued = 0, running = 0, finished = 0, failed = 0, skipped = 0, cancelled = 0, interrupted = 0;
    std::int64_t total() const { return queued + running + finished + failed + skipped + cancelled + interrupted; }
};

// Adds the study's runs to the database (those already there are kept) and returns their number. Runs whose budget cannot be reached are
// added as skipped, with the reason.
std::int64_t enqueue_study(const Study& study, const std::string& yaml, const std::filesystem::path& database, const EventSink& sink = {});

// Works through the queue of one study in background threads until nothing is left or stop() is called. The object belongs to the thread
// that made it; the sink is called from the workers' threads.
class StudyRunner {
public:
    StudyRunner(std::filesystem::path database, std::string study, DeviceSettings device, std::int64_t jobs, EventSink sink);
    ~StudyRunner();  // stops and waits

    void start();
    // Asks the workers to save and end at the next update; returns at once. Interrupted runs continue with the next start.
    void stop();
    bool running() const;
    void wait();
    // Counts of the study's runs as they stand in the database.
    StudyCount count() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace permille
