#include "core/run/study_runner.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <set>
#include <thread>

#include "core/base/error.h"
#include "core/nn/threads.h"
#include "core/run/shelf.h"
#include "core/run/study_run.h"
#include "core/store/store.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

// A worker says every second that it lives.
constexpr double kSuspicious = 5;

}  // namespace

struct StudyRunner::State {
    fs::path database;
    std::string study;
    DeviceSettings device;
    std::int64_t jobs;
    EventSink sink;
    Patience patience;
    Shelf shelf;
    std::stop_source stop;
    std::atomic<std::int64_t> active{0};
    mutable std::mutex mutex;
    std::set<std::int64_t> given_back;  // not taken again by this process
    std::vector<std::string> trouble;
    std::vector<std::jthread> workers;  // the last member: they end before what they use

    void work() {
        try {
            use_threads(device.threads);
            std::optional<Store> store;
            ask([&] { store.emplace(database, Store::Open::existing); });
            store->wait_for_locks(patience.lock);
            auto idle_since = std::chrono::steady_clock::now();
            while (!stop.stop_requested()) {
                if (work_on_next(*store)) idle_since = std::chrono::steady_clock::now();
                else if (!wait_for_silent(*store, idle_since)) break;
            }
        } catch (const std::exception& error) {
            note(error.what());
        }
        --active;
    }

    // Takes the next open run and does it; false when there is none.
    bool work_on_next(Store& store) {
        std::vector<RunRow> rows;
        ask([&] { rows = store.runs({study}); });
        for (const RunRow& row : rows) {
            if (!is_open(row.state) || is_given_back(row.id)) continue;
            std::optional<Claim> claim;
            ask([&] { claim = store.claim(row.id); });
            if (!claim) continue;
            const RunSpec& spec = row.spec;
            log_to(sink, "run " + std::to_string(row.id) + ": " + spec.pair() + " " + spec.method +
                             (spec.budget() ? " " + format_budget(*spec.budget()) : ""));
            const RunEnd end = do_run(database, row, *claim, device, shelf, sink, stop.get_token(), patience);
            if (end.kind == RunEnd::Kind::broken_off) give_back(row.id, end.reason);
            report(store, row.id);
            return true;
        }
        return false;
    }

    // Nothing is open. True when it is worth looking again: another process has a run, and has missed some signs of life or was not watched
    // for long enough to know; its run may soon be open.
    bool wait_for_silent(Store& store, std::chrono::steady_clock::time_point idle_since) {
        const double watched = std::chrono::duration<double>(std::chrono::steady_clock::now() - idle_since).count();
        const WorkerId here = WorkerId::here();
        bool silent = false;
        ask([&] {
            store.mark_interrupted();
            silent = false;
            for (const RunRow& row : store.runs({study})) {
                if (is_given_back(row.id)) continue;
                const bool elsewhere = row.state == RunState::running && (row.host != here.host || row.process != here.process);
                silent = silent || is_open(row.state) || (elsewhere && (watched < kSuspicious || unix_now() - row.heartbeat > kSuspicious));
            }
        });
        if (!silent) return false;
        std::mutex sleep;
        std::condition_variable_any wake;
        std::unique_lock lock(sleep);
        wake.wait_for(lock, stop.get_token(), std::chrono::milliseconds(500), [] { return false; });
        return true;
    }

    void ask(const std::function<void()>& question) { persist(patience, stop.get_token(), sink, question); }

    bool is_given_back(std::int64_t run) const {
        const std::lock_guard lock(mutex);
        return given_back.contains(run);
    }

    void give_back(std::int64_t run, const std::string& reason) {
        const std::lock_guard lock(mutex);
        given_back.insert(run);
        trouble.push_back("run " + std::to_string(run) + ": " + reason);
    }

    void note(const std::string& line) {
        log_to(sink, line);
        const std::lock_guard lock(mutex);
        trouble.push_back(line);
    }

    // Says how a run ended and how far the study is, and closes what the runs that are left do not need.
    void report(Store& store, std::int64_t id) {
        std::vector<RunRow> rows;
        ask([&] { rows = store.runs({study}); });
        std::int64_t done = 0;
        double seconds = 0;
        std::vector<RunSpec> left;
        for (const RunRow& row : rows) {
            if (row.id == id) {
                std::string line = "run " + std::to_string(id) + " " + std::string(to_string(row.state));
                if (row.score) {
                    char score[64];
                    std::snprintf(score, sizeof score, ": %s %.1f", row.score->metric.c_str(), row.score->score);
                    line += score;
                }
                log_to(sink, line);
            }
            if (!is_over(row.state)) left.push_back(row.spec);
            if (!is_over(row.state)) continue;
            ++done;
            seconds += row.seconds;
        }
        shelf.keep_only(left);
        const auto total = static_cast<std::int64_t>(rows.size());
        if (sink)
            sink(Progress{"runs", done, total,
                          done ? seconds / static_cast<double>(done) * static_cast<double>(total - done) / static_cast<double>(jobs) : -1});
    }
};

StudyRunner::StudyRunner(fs::path database, std::string study, DeviceSettings device, std::int64_t jobs, EventSink sink, Patience patience)
    : state_(std::make_unique<State>()) {
    state_->database = std::move(database);
    state_->study = std::move(study);
    state_->device = std::move(device);
    state_->jobs = std::max<std::int64_t>(1, jobs);
    if (state_->device.threads == 0)
        state_->device.threads = std::max<std::int64_t>(1, static_cast<std::int64_t>(std::thread::hardware_concurrency()) / state_->jobs);
    state_->sink = std::move(sink);
    state_->patience = patience;
}

StudyRunner::~StudyRunner() {
    stop();
    wait();
}

void StudyRunner::start() {
    if (running()) return;
    wait();
    state_->stop = std::stop_source();
    state_->given_back.clear();
    state_->trouble.clear();
    state_->active = state_->jobs;
    for (std::int64_t i = 0; i < state_->jobs; ++i) state_->workers.emplace_back([state = state_.get()] { state->work(); });
}

void StudyRunner::stop() { state_->stop.request_stop(); }
bool StudyRunner::running() const { return state_->active > 0; }

void StudyRunner::wait() {
    state_->workers.clear();
    state_->shelf.keep_only({});
}

std::vector<std::string> StudyRunner::trouble() const {
    const std::lock_guard lock(state_->mutex);
    return state_->trouble;
}

}  // namespace permille
