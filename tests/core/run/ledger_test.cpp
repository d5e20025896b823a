#include "core/run/ledger.h"

#include <atomic>
#include <condition_variable>
#include <future>

#include "core/base/error.h"
#include "tests/core/run/workplace.h"
#include "tests/support/runs.h"

namespace permille::test {
namespace {

struct Place {
    TemporaryFolder folder;
    std::filesystem::path file = folder / "p.db";
    Store store{file};
    Claim claim = claimed(store, some_run());
    std::stop_source work;
};

void set_heartbeat(const std::filesystem::path& file, double seconds) {
    SQLite::Database database(file.string(), SQLite::OPEN_READWRITE);
    database.setBusyTimeout(10000);
    database.exec("UPDATE runs SET heartbeat = " + std::to_string(seconds));
}

bool stops_soon(const std::stop_token& token) {
    std::mutex mutex;
    std::condition_variable_any wake;
    std::unique_lock lock(mutex);
    wake.wait_for(lock, token, std::chrono::seconds(20), [] { return false; });
    return token.stop_requested();
}

// Every write that a worker makes, by name.
const std::vector<std::pair<std::string, std::function<void(Ledger&)>>> kWrites = {
    {"describe",
     [](Ledger& ledger) {
         ledger.describe({Json{{"rank", 8}}, 10, 1.0});
     }},
    {"evaluated",
     [](Ledger& ledger) {
         Evaluation evaluation;
         evaluation.scores = {{"bleu", "nrefs:1", 20}};
         ledger.evaluated(evaluation, {{"Ciao.", "Hello.", "Hello.", -1}});
     }},
    {"made",
     [](Ledger& ledger) {
         ledger.made({"adapter", "/runs/1/adapter", "aa", 10});
     }},
    {"end",
     [](Ledger& ledger) {
         ledger.end({RunState::finished, "", 5});
     }},
};

}  // namespace

TEST_CASE("a write waits for a locked database and gets through when it is free", "[run]") {
    for (const auto& [name, write] : kWrites) {
        INFO(name);
        Place place;
        Lock lock(place.file);
        std::promise<void> waits;
        std::atomic<bool> told = false;  // by the signs of life as well
        const EventSink log = [&](const Event& event) {
            if (std::get<LogLine>(event).text.find("trying again") != std::string::npos && !told.exchange(true)) waits.set_value();
        };
        Patience patience;
        patience.lock = std::chrono::milliseconds(10);
        patience.pause = std::chrono::milliseconds(5);
        Ledger ledger(place.file, place.claim, place.work, log, patience);
        auto written = std::async(std::launch::async, [&, &entry = write] { entry(ledger); });
        waits.get_future().wait();
        lock.release();
        written.get();
        CHECK_FALSE(ledger.lost());
    }
    Place place;
    { Ledger(place.file, place.claim, place.work, {}).end({RunState::finished, "", 5}); }
    CHECK(place.store.run(place.claim.run).state == RunState::finished);
}

TEST_CASE("a write gives up at the end of its patience, and the trouble is the machine's", "[run]") {
    for (const auto& [name, write] : kWrites) {
        INFO(name);
        SECTION("locked: " + name) {
            Place place;
            Ledger ledger(place.file, place.claim, place.work, {}, short_patience());
            const Lock lock(place.file);
            try {
                write(ledger);
                FAIL("it was written");
            } catch (const Error& error) {
                CHECK(error.temporary());
                CHECK(error.kind() == ErrorKind::database);
            }
        }
        SECTION("full disk: " + name) {
            Place place;
            Ledger ledger(place.file, place.claim, place.work, {}, short_patience());
            bool temporary = false;
            {
                const FullDisk full;
                try {
                    write(ledger);
                } catch (const Error& error) {
                    temporary = error.temporary();
                }
            }
            CHECK(temporary);
            CHECK(place.store.run(place.claim.run).state == RunState::running);
            write(ledger);  // with room again, the same ledger goes on
            CHECK_FALSE(ledger.lost());
        }
    }
}

TEST_CASE("a worker that lost its run is told to stop, and writes nothing more", "[run]") {
    Place place;
    Ledger ledger(place.file, place.claim, place.work, {});
    ledger.take(StepMetric{1, StepFigure::train_loss, 5});
    // As if it had been asleep: taken for dead, then taken by another.
    set_heartbeat(place.file, unix_now() - 100);
    REQUIRE(place.store.set_state(place.claim.run, RunState::cancelled) == false);
    std::optional<Claim> other;
    while (!other) {
        set_heartbeat(place.file, unix_now() - 100);
        place.store.mark_interrupted();
        other = place.store.claim(place.claim.run);  // unless it has just said that it lives
    }
    REQUIRE(stops_soon(place.work.get_token()));
    CHECK(ledger.lost());
    CHECK_FALSE(ledger.stop_asked());
    for (const auto& [name, write] : kWrites) {
        INFO(name);
        CHECK_THROWS_AS(write(ledger), ClaimLost);
    }
    CHECK_NOTHROW(place.store.drop_step_metrics(*other, 1));
    CHECK(place.store.run(place.claim.run).state == RunState::running);
    CHECK(place.store.evaluations(place.claim.run).empty());
}

TEST_CASE("a person's wish to stop reaches the work", "[run]") {
    Place place;
    Ledger ledger(place.file, place.claim, place.work, {});
    place.store.request_stop(place.claim.run);
    REQUIRE(stops_soon(place.work.get_token()));
    CHECK(ledger.stop_asked());
    CHECK_FALSE(ledger.lost());
    ledger.end({RunState::stopped, "stopped by hand", 3});
    CHECK(place.store.run(place.claim.run).state == RunState::stopped);
    CHECK_FALSE(place.store.claim(place.claim.run));
}

TEST_CASE("what updates told is in the database when the run has ended", "[run]") {
    Place place;
    {
        Ledger ledger(place.file, place.claim, place.work, {});
        for (std::int64_t step = 10; step <= 50; step += 10)
            ledger.take(StepMetric{step, StepFigure::train_loss, 1.0 * static_cast<double>(step)});
        ledger.take(Progress{"training", 50, 100, 7});
        CHECK(ledger.updates() == 50);
        ledger.end({RunState::finished, "", 50});
    }
    const RunRow run = place.store.run(place.claim.run);
    CHECK(run.state == RunState::finished);
    CHECK(run.progress.done == 50);
    CHECK(place.store.step_metrics(run.id, StepFigure::train_loss).size() == 5);
}

}  // namespace permille::test
