#include "core/run/study_run.h"

#include <ATen/ATen.h>

#include <atomic>
#include <thread>

#include "core/run/memory.h"
#include "tests/core/run/workplace.h"

namespace permille::test {
namespace {

// So that a short run is seen on its way.
Patience quick_beats() {
    Patience patience;
    patience.beat = std::chrono::milliseconds(5);
    return patience;
}

}  // namespace

TEST_CASE("a run taken from a sleeping worker ends as one that was left alone", "[run]") {
    // What the run gives when nobody comes between.
    std::string undisturbed;
    {
        const Workplace place;
        const auto run = place.enqueue("[lora]", 600).front();
        Store store(place.database());
        Shelf shelf;
        const auto claim = store.claim(run).value();
        REQUIRE(do_run(place.database(), store.run(run), claim, Workplace::one_thread(), shelf, {}, {}).kind == RunEnd::Kind::recorded);
        REQUIRE(store.run(run).state == RunState::finished);
        undisturbed = store.artifacts(run).at(0).sha256;
        CHECK_FALSE(std::filesystem::exists(place.run_folder(run) / "work.1"));
    }

    const Workplace place;
    const auto run = place.enqueue("[lora]", 600).front();
    Store store(place.database());
    Shelf shelf;
    const Claim slow = store.claim(run).value();
    std::optional<Claim> quick;
    RunEnd::Kind quick_end = RunEnd::Kind::lost;
    // In the middle of its training the worker seems to sleep: another takes the run and does it to its end.
    {
        const std::jthread worker([&] {
            CHECK(do_run(place.database(), store.run(run), slow, Workplace::one_thread(), shelf, {}, {}, quick_beats()).kind ==
                  RunEnd::Kind::lost);
        });
        Store other(place.database());
        while (other.run(run).updates_done < 10) std::this_thread::yield();
        while (!quick) {
            REQUIRE(!is_over(other.run(run).state));
            {
                SQLite::Database database(place.database().string(), SQLite::OPEN_READWRITE);
                database.setBusyTimeout(10000);
                database.exec("UPDATE runs SET heartbeat = 0");
            }
            other.mark_interrupted();
            quick = other.claim(run);
        }
        quick_end = do_run(place.database(), other.run(run), *quick, Workplace::one_thread(), shelf, {}, {}).kind;
    }
    CHECK(quick_end == RunEnd::Kind::recorded);
    const RunRow row = store.run(run);
    CHECK(row.state == RunState::finished);
    CHECK(row.claim == quick->number);
    CHECK(store.artifacts(run).at(0).sha256 == undisturbed);
    CHECK(sha256_of_file(place.run_folder(run) / "adapter" / "adapter_model.safetensors") == undisturbed);
}

TEST_CASE("a run's peak of memory does not grow with its checkpoints", "[run]") {
    std::vector<std::int64_t> peaks;
    for (const int every : {0, 1}) {
        const Workplace place;
        const auto run = place.enqueue("[full]", 60, "[1]", kBase, every).front();
        Store store(place.database());
        Shelf shelf;
        const auto claim = store.claim(run).value();
        do_run(place.database(), store.run(run), claim, Workplace::one_thread(), shelf, {}, {});
        REQUIRE(store.run(run).state == RunState::finished);
        peaks.push_back(store.run(run).peak_memory_bytes);
    }
    CHECK(peaks[1] - peaks[0] < 8 << 20);  // a copy or two of what is trained and remembered
}

TEST_CASE("a run's peak of memory is its own", "[run]") {
    // The same run alone, and beside another one that takes much more.
    std::vector<std::int64_t> peaks;
    for (const bool beside : {false, true}) {
        const Workplace place;
        const auto run = place.enqueue("[bitfit]", 40).front();
        Store store(place.database());
        Shelf shelf;
        std::atomic<bool> large = !beside, done = false;
        std::jthread other([&] {
            if (!beside) return;
            const MemoryMark mark;
            const at::Tensor block = at::ones({64, 1024, 1024});  // 256 MB
            large = true;
            while (!done) std::this_thread::yield();
            CHECK(mark.peak() >= 256 << 20);
        });
        while (!large) std::this_thread::yield();
        const auto claim = store.claim(run).value();
        do_run(place.database(), store.run(run), claim, Workplace::one_thread(), shelf, {}, {});
        done = true;
        peaks.push_back(store.run(run).peak_memory_bytes);
    }
    CHECK(peaks[0] > 0);
    CHECK(std::abs(peaks[1] - peaks[0]) < 1 << 20);
}

}  // namespace permille::test
