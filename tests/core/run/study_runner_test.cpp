// Studies worked through by one or several workers, and what happens when the machine or a person comes between.
#include "core/run/study_runner.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <mutex>
#include <thread>

#include "tests/core/run/workplace.h"

namespace permille::test {
namespace {

// The log of one or more runners.
class Log {
public:
    EventSink sink() {
        return [this](const Event& event) {
            const auto* line = std::get_if<LogLine>(&event);
            if (!line) return;
            const std::lock_guard lock(mutex_);
            text_ += line->text + "\n";
        };
    }
    int count(const std::string& words) const {
        const std::lock_guard lock(mutex_);
        int found = 0;
        for (std::size_t at = text_.find(words); at != std::string::npos; at = text_.find(words, at + 1)) ++found;
        return found;
    }
    std::string text() const {
        const std::lock_guard lock(mutex_);
        return text_;
    }

private:
    mutable std::mutex mutex_;
    std::string text_;
};

// Reads the run until it is as wanted; the runner ends by itself if it never is.
bool wait_for(const std::filesystem::path& database, std::int64_t run, const StudyRunner& runner,
              const std::function<bool(const RunRow&)>& wanted) {
    const Store store(database, Store::Open::existing);
    while (runner.running()) {
        if (wanted(store.run(run))) return true;
        std::this_thread::yield();
    }
    return wanted(store.run(run));
}

}  // namespace

TEST_CASE("a run stopped by hand is left alone until a person sends it back", "[run]") {
    const Workplace place;
    const auto run = place.enqueue("[bitfit]", 3000).front();
    Log log;
    StudyRunner runner(place.database(), "toy", Workplace::one_thread(), 1, log.sink());
    runner.start();
    REQUIRE(wait_for(place.database(), run, runner, [](const RunRow& row) { return row.updates_done >= 10; }));
    Store store(place.database());
    store.request_stop(run);
    runner.wait();
    INFO(log.text());
    CHECK(store.run(run).state == RunState::stopped);
    CHECK(log.count("run 1: it-en bitfit") == 1);  // not taken up again by the worker that stopped it
    CHECK(runner.trouble().empty());
    CHECK(count_runs(place.database(), "toy").left() == 1);

    // Nor by the next start.
    runner.start();
    runner.wait();
    CHECK(log.count("run 1: it-en bitfit") == 1);

    REQUIRE(store.requeue(run));
    runner.start();
    while (runner.running() && log.count("continues from its checkpoint") == 0) std::this_thread::yield();
    runner.stop();
    runner.wait();
    CHECK(log.count("continues from its checkpoint") == 1);
    CHECK(store.run(run).state == RunState::interrupted);
}

TEST_CASE("two workers and two processes' worth of runners do every run once", "[run]") {
    const Workplace place;
    const auto runs = place.enqueue("[bitfit, layernorm]", 4, "[1, 2, 3]");
    REQUIRE(runs.size() == 6);
    Log log;
    {
        StudyRunner one(place.database(), "toy", Workplace::one_thread(), 2, log.sink());
        StudyRunner two(place.database(), "toy", Workplace::one_thread(), 1, log.sink());
        one.start();
        two.start();
        one.wait();
        two.wait();
        CHECK(one.trouble().empty());
        CHECK(two.trouble().empty());
    }
    INFO(log.text());
    CHECK(count_runs(place.database(), "toy").finished == 6);
    for (const auto run : runs) CHECK(log.count("run " + std::to_string(run) + " finished") == 1);
    const Store store(place.database());
    for (const auto run : runs) CHECK(store.run(run).claim == 1);
}

TEST_CASE("a run of a process that died is done by the worker that is left", "[run]") {
    const Workplace place;
    const auto runs = place.enqueue("[bitfit, layernorm]", 4);
    {
        // Another host's process has the first run, and has just stopped giving signs.
        Store store(place.database());
        REQUIRE(store.claim(runs[0], {"elsewhere.example", 42}));
        SQLite::Database database(place.database().string(), SQLite::OPEN_READWRITE);
        database.exec("UPDATE runs SET heartbeat = " + std::to_string(unix_now() - Store::kSilenceSeconds + 2) +
                      " WHERE id = " + std::to_string(runs[0]));
    }
    Log log;
    StudyRunner runner(place.database(), "toy", Workplace::one_thread(), 1, log.sink());
    runner.start();
    runner.wait();
    INFO(log.text());
    CHECK(count_runs(place.database(), "toy").finished == 2);
    CHECK(runner.trouble().empty());
}

TEST_CASE("trouble of the machine leaves a run to be continued, and is told", "[run]") {
    const Workplace place;
    const auto run = place.enqueue("[bitfit]", 400).front();
    Log log;
    StudyRunner runner(place.database(), "toy", Workplace::one_thread(), 1, log.sink(), short_patience());
    SECTION("the database is locked while the run ends") {
        runner.start();
        REQUIRE(wait_for(place.database(), run, runner, [](const RunRow& row) { return row.updates_done >= 10; }));
        {
            const Lock lock(place.database());
            runner.wait();
        }
        Store(place.database()).mark_interrupted(0);
    }
    SECTION("the disk is full while it trains") {
        runner.start();
        REQUIRE(wait_for(place.database(), run, runner, [](const RunRow& row) { return row.updates_done >= 10; }));
        const FullDisk full;
        runner.wait();
    }
    SECTION("the database is locked before anything is claimed") {
        const Lock lock(place.database());
        runner.start();
        runner.wait();
    }
    INFO(log.text());
    REQUIRE_FALSE(runner.trouble().empty());
    Store store(place.database());
    store.mark_interrupted(0);
    const RunState state = store.run(run).state;
    CHECK((state == RunState::interrupted || state == RunState::queued));  // never failed
    runner.start();
    runner.wait();
    CHECK(runner.trouble().empty());
    CHECK(store.run(run).state == RunState::finished);
    CHECK(store.run(run).score);
}

TEST_CASE("a run continued keeps what is known of it until it knows more", "[run]") {
    const Workplace place;
    const auto run = place.enqueue("[bitfit]", 3000).front();
    Store store(place.database());
    StudyRunner runner(place.database(), "toy", Workplace::one_thread(), 1, {});
    runner.start();
    REQUIRE(wait_for(place.database(), run, runner, [](const RunRow& row) { return row.updates_done >= 40; }));
    runner.stop();
    runner.wait();
    const RunRow before = store.run(run);
    REQUIRE(before.state == RunState::interrupted);
    REQUIRE(before.best_step);
    runner.start();  // and stopped at once, before it has done an update
    runner.stop();
    runner.wait();
    const RunRow after = store.run(run);
    CHECK(after.updates_done >= before.updates_done);
    CHECK(after.best_step);
    for (const StepMetric& metric : store.step_metrics(run)) CHECK(metric.step <= after.updates_done);
}

TEST_CASE("a working folder that somebody removed leaves the run to be continued", "[run]") {
    const Workplace place;
    const auto run = place.enqueue("[bitfit]", 600).front();
    Store store(place.database());
    StudyRunner runner(place.database(), "toy", Workplace::one_thread(), 1, {}, short_patience());
    runner.start();
    REQUIRE(wait_for(place.database(), run, runner, [](const RunRow& row) { return row.updates_done >= 10; }));
    // Moved away, which is one act; removing file by file would meet what the run writes meanwhile.
    std::filesystem::rename(place.run_folder(run), place.run_folder(run).concat(".gone"));
    runner.wait();
    CHECK(store.run(run).state == RunState::interrupted);
    CHECK_FALSE(runner.trouble().empty());
    runner.start();
    runner.wait();
    CHECK(store.run(run).state == RunState::finished);
}

TEST_CASE("a study that cannot work fails for what is wrong with the work", "[run]") {
    const Workplace place;
    const auto run = place.enqueue("[bitfit]", 4).front();
    std::filesystem::remove_all(Store(place.database()).corpus("toy")->path);
    StudyRunner runner(place.database(), "toy", Workplace::one_thread(), 1, {});
    runner.start();
    runner.wait();
    CHECK(runner.trouble().empty());
    CHECK(Store(place.database()).run(run).state == RunState::failed);
}

TEST_CASE("a base's weights are read once for a study, however many runs it has", "[run]") {
    const Workplace place;
    const TemporaryFolder models;
    std::filesystem::copy(kBase, models / "base", std::filesystem::copy_options::recursive);
    const auto opened_in = [&](const std::string& methods, const std::string& seeds) {
        const auto runs = place.enqueue(methods, 3, seeds, (models / "base").string());
        const int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        inotify_add_watch(watch, (models / "base" / "model.safetensors").c_str(), IN_OPEN);
        StudyRunner runner(place.database(), "toy", Workplace::one_thread(), 1, {});
        runner.start();
        runner.wait();
        CHECK(runner.trouble().empty());
        CHECK(count_runs(place.database(), "toy").finished == static_cast<std::int64_t>(runs.size()));
        int opened = 0;
        alignas(inotify_event) std::array<char, 1 << 16> buffer;
        for (ssize_t size = 0; (size = read(watch, buffer.data(), buffer.size())) > 0;)
            for (ssize_t at = 0; at < size;) {
                inotify_event event;
                std::memcpy(&event, buffer.data() + at, sizeof event);
                if (event.mask & IN_OPEN) ++opened;
                at += static_cast<ssize_t>(sizeof event + event.len);
            }
        close(watch);
        return opened;
    };
    const int one = opened_in("[bitfit]", "[1]");
    REQUIRE(one > 0);
    CHECK(one <= 4);  // its description, its tensors, its fingerprint
    CHECK(opened_in("[layernorm, lora]", "[1, 2]") <= one);
}

}  // namespace permille::test
