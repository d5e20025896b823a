// The record of one run while a worker has it: the claim and its signs of life, step metrics, facts, evaluation, artifacts, the end. Today
// it is kept in the SQLite database. Knows no torch.
//
// Every write carries the claim. Where the database is locked or its disk full, a write is tried again for some minutes; the figures of
// updates wait meanwhile. When another worker has the run by now, the ledger asks the work to stop, and every further write throws
// ClaimLost.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

#include "core/base/events.h"
#include "core/store/store.h"

namespace permille {

// How long a write is tried again when the machine does not let it through, and how often a sign of life is given.
struct Patience {
    std::chrono::milliseconds in_all = std::chrono::minutes(5);
    std::chrono::milliseconds when_stopping = std::chrono::seconds(20);  // once the work was asked to stop
    std::chrono::milliseconds lock = std::chrono::seconds(2);            // one try waits so long for another program's lock
    std::chrono::milliseconds pause = std::chrono::milliseconds(300);    // between two tries
    std::chrono::milliseconds beat = std::chrono::seconds(1);            // between two signs of life
};

// Calls `write` until it succeeds, fails for good, or patience is at its end; then its Error is thrown on. Throws at once what is not
// temporary.
void persist(const Patience& patience, const std::stop_token& stop, const EventSink& log, const std::function<void()>& write);

class Ledger {
public:
    // `work` is asked to stop when a person wants the run stopped and when the claim is lost; when it is stopped by others, writes have
    // less patience. The log gets a line when the machine makes a write wait.
    // updates: those that the run has done when it is claimed.
    Ledger(const std::filesystem::path& database, const Claim& claim, std::stop_source work, EventSink log, Patience patience = {},
           std::int64_t updates = 0);
    ~Ledger();

    // Progress and figures are kept and written with the next sign of life. From any thread.
    void take(const Event& event);

    // Writes at once, from the thread that made the ledger. Throw ClaimLost, and Error(database) when patience is at its end.
    void describe(const RunFacts& facts);
    // Training begins after this update: what was told of later ones, before the run was broken off, is told again.
    void begins_after(std::int64_t update);
    void evaluated(const Evaluation& evaluation, const std::vector<Hypothesis>& hypotheses);
    void made(const Artifact& artifact);
    // A sign of life at once, before something is done that another worker must not find done.
    void confirm();
    // The last write: figures that wait, then the end; interrupted where a person asked for a stop is stopped. No sign of life is given
    // from here on.
    void end(RunOutcome outcome);

    bool lost() const;             // another worker has the run, or nobody any more
    bool stop_asked() const;       // by a person
    std::int64_t updates() const;  // the latest that was told

private:
    void write(const std::function<void(Store&)>& entry);
    void beat(const std::stop_token& end);
    void tell(Store& store);

    std::filesystem::path database_;
    Claim claim_;
    std::stop_source work_;
    EventSink log_;
    Patience patience_;
    std::optional<Store> store_;  // of the owner's thread; the signs of life have a connection of their own
    mutable std::mutex mutex_;
    std::vector<StepMetric> metrics_;
    Progress progress_;
    std::int64_t updates_ = 0;
    bool lost_ = false, stop_asked_ = false;
    std::jthread beats_;
};

}  // namespace permille
