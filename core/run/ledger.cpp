#include "core/run/ledger.h"

#include <algorithm>
#include <condition_variable>

#include "core/base/error.h"

namespace permille {

using Clock = std::chrono::steady_clock;

namespace {

void rest(std::chrono::milliseconds time, const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any wake;
    std::unique_lock lock(mutex);
    wake.wait_for(lock, stop, time, [] { return false; });
}

}  // namespace

void persist(const Patience& patience, const std::stop_token& stop, const EventSink& log, const std::function<void()>& write) {
    const auto begun = Clock::now();
    for (bool told = false;;) {
        try {
            return write();
        } catch (const Error& error) {
            if (!error.temporary()) throw;
            if (Clock::now() - begun >= (stop.stop_requested() ? patience.when_stopping : patience.in_all)) throw;
            if (!told) log_to(log, std::string(error.what()) + "; trying again");
            told = true;
        }
        // Asked to stop, there is no token left to wait for.
        if (stop.stop_requested()) std::this_thread::sleep_for(patience.pause);
        else rest(patience.pause, stop);
    }
}

Ledger::Ledger(const std::filesystem::path& database, const Claim& claim, std::stop_source work, EventSink log, Patience patience,
               std::int64_t updates)
    : database_(database), claim_(claim), work_(std::move(work)), log_(std::move(log)), patience_(patience), updates_(updates) {
    persist(patience_, work_.get_token(), log_, [&] { store_.emplace(database_, Store::Open::existing); });
    store_->wait_for_locks(patience_.lock);
    beats_ = std::jthread([this](const std::stop_token& end) { beat(end); });
}

Ledger::~Ledger() {
    beats_.request_stop();
    if (beats_.joinable()) beats_.join();
}

void Ledger::take(const Event& event) {
    const std::lock_guard lock(mutex_);
    if (const auto* progress = std::get_if<Progress>(&event)) progress_ = *progress;
    if (const auto* metric = std::get_if<StepMetric>(&event)) {
        metrics_.push_back(*metric);
        updates_ = metric->step;
    }
}

void Ledger::write(const std::function<void(Store&)>& entry) {
    if (lost()) throw ClaimLost();
    try {
        persist(patience_, work_.get_token(), log_, [&] { entry(*store_); });
    } catch (const ClaimLost&) {
        const std::lock_guard lock(mutex_);
        lost_ = true;
        throw;
    }
}

void Ledger::describe(const RunFacts& facts) {
    write([&](Store& store) { store.describe_run(claim_, facts); });
}

void Ledger::begins_after(std::int64_t update) {
    {
        const std::lock_guard lock(mutex_);
        updates_ = update;
    }
    write([&](Store& store) { store.drop_step_metrics(claim_, update); });
}

void Ledger::evaluated(const Evaluation& evaluation, const std::vector<Hypothesis>& hypotheses) {
    write([&](Store& store) { store.add_evaluation(claim_, evaluation, hypotheses); });
}

void Ledger::made(const Artifact& artifact) {
    write([&](Store& store) { store.put_artifact(claim_, artifact); });
}

void Ledger::confirm() {
    write([&](Store& store) { tell(store); });
}

void Ledger::end(RunOutcome outcome) {
    beats_.request_stop();
    if (beats_.joinable()) beats_.join();
    write([&](Store& store) { tell(store); });
    if (outcome.state == RunState::interrupted && stop_asked()) outcome.state = RunState::stopped;
    write([&](Store& store) { store.end_run(claim_, outcome); });
}

bool Ledger::lost() const {
    const std::lock_guard lock(mutex_);
    return lost_;
}

bool Ledger::stop_asked() const {
    const std::lock_guard lock(mutex_);
    return stop_asked_;
}

std::int64_t Ledger::updates() const {
    const std::lock_guard lock(mutex_);
    return updates_;
}

// A sign of life with what has come in since the last one.
void Ledger::tell(Store& store) {
    std::vector<StepMetric> metrics;
    Progress progress;
    std::int64_t updates = 0;
    {
        const std::lock_guard lock(mutex_);
        metrics.swap(metrics_);
        progress = progress_;
        updates = updates_;
    }
    try {
        store.add_step_metrics(claim_, metrics);
        metrics.clear();
        if (store.heartbeat(claim_, progress, updates) == Beat::stop) {
            const std::lock_guard lock(mutex_);
            stop_asked_ = true;
        }
    } catch (...) {
        const std::lock_guard lock(mutex_);
        metrics_.insert(metrics_.begin(), metrics.begin(), metrics.end());
        throw;
    }
    if (stop_asked()) work_.request_stop();
}

void Ledger::beat(const std::stop_token& end) {
    std::optional<Store> store;
    bool told = false;
    while (!end.stop_requested()) {
        try {
            if (!store) {
                store.emplace(database_, Store::Open::existing);
                store->wait_for_locks(patience_.lock);
            }
            tell(*store);
        } catch (const ClaimLost&) {
            {
                const std::lock_guard lock(mutex_);
                lost_ = true;
            }
            work_.request_stop();
            return;
        } catch (const std::exception& error) {  // the figures are kept for the next sign of life
            const auto* known = dynamic_cast<const Error*>(&error);
            const bool passes = known && known->temporary();
            if (!told) log_to(log_, std::string(error.what()) + (passes ? "; trying again" : ""));
            told = true;
            if (!passes) work_.request_stop();  // the record cannot be kept: the work is saved and ends
        }
        rest(patience_.beat, end);
    }
}

}  // namespace permille
