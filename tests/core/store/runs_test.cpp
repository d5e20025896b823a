#include <sys/wait.h>
#include <unistd.h>

#include <SQLiteCpp/SQLiteCpp.h>

#include <atomic>
#include <thread>

#include "core/store/store.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

RunSpec some_run(std::int64_t seed = 1, const std::string& study = "first-look") {
    RunSpec spec;
    spec.study = study;
    spec.base = "permille-small";
    spec.corpus = "it-en";
    spec.source_language = "it";
    spec.target_language = "en";
    spec.method = "lora";
    spec.method_settings = Json{{"alpha", 16.0}};
    spec.budget_percent = 2;
    spec.train_sentences = 20000;
    spec.seed = seed;
    spec.training.updates = 300;
    spec.decoding.beam_size = 4;
    spec.evaluation.metric = "chrf";
    return spec;
}

void set_heartbeat(const std::filesystem::path& file, std::int64_t run, double seconds) {
    SQLite::Database database(file.string(), SQLite::OPEN_READWRITE);
    SQLite::Statement change(database, "UPDATE runs SET heartbeat = ? WHERE id = ?");
    change.bind(1, seconds);
    change.bind(2, run);
    change.exec();
}

// The id of a process that has ended.
pid_t dead_process() {
    const pid_t child = fork();
    if (child == 0) _exit(0);
    waitpid(child, nullptr, 0);
    return child;
}

}  // namespace

TEST_CASE("a run's spec survives the database", "[store]") {
    TemporaryFolder folder;
    Store store(folder / "p.db");
    const RunSpec spec = some_run(7);
    const auto id = store.add_run(spec);
    const RunRow row = store.run(id);
    REQUIRE(row.spec.to_json() == spec.to_json());
    REQUIRE(row.key == spec.key());
    REQUIRE(row.state == RunState::queued);
    REQUIRE_FALSE(row.started);
    REQUIRE_FALSE(row.score);
    REQUIRE(row.facts.device.empty());
    require_error([&] { store.run(99); }, ErrorKind::database, {"no run 99"});
}

TEST_CASE("the same experiment is one run within a study and another in the next study", "[store]") {
    TemporaryFolder folder;
    Store store(folder / "p.db");
    const auto ids = store.add_runs({some_run(1), some_run(2), some_run(1), some_run(1, ""), some_run(1, "second")});
    REQUIRE(ids[0] == ids[2]);
    REQUIRE(ids[0] != ids[1]);
    REQUIRE(store.runs().size() == 4);
    REQUIRE(store.add_run(some_run(2)) == ids[1]);
    REQUIRE(store.runs({.study = "first-look"}).size() == 2);
    REQUIRE(store.runs({.study = ""}).size() == 1);
    REQUIRE(store.runs({.method = "full"}).empty());
    REQUIRE(store.runs({.states = {RunState::queued, RunState::failed}, .base = "permille-small", .corpus = "it-en", .method = "lora"})
                .size() == 4);
    REQUIRE(store.runs({.after_id = ids[0]}).size() == 3);
    REQUIRE(store.studies().size() == 3);
}

TEST_CASE("a run goes from queued over running to finished", "[store]") {
    TemporaryFolder folder;
    Store store(folder / "p.db");
    const auto id = store.add_run(some_run());
    const auto claim = store.claim(id);
    REQUIRE(claim);
    REQUIRE_FALSE(store.claim(id));
    REQUIRE(store.run(id).state == RunState::running);
    REQUIRE(store.run(id).process == getpid());
    REQUIRE(store.run(id).started);

    store.describe_run(*claim, {Json{{"rank", 8}, {"alpha", 16.0}}, 170000, 2.01, 19500, "basefp", "corpusfp", "cpu, 2 threads, float32",
                                Json{{"permille", "0.1.0"}}, "/runs/1"});
    REQUIRE(store.heartbeat(*claim, {"training", 10, 300, 120.5}, 10) == Beat::go_on);
    RunRow row = store.run(id);
    REQUIRE(row.progress.doing == "training");
    REQUIRE(row.progress.done == 10);
    REQUIRE(row.progress.total == 300);
    REQUIRE(row.progress.eta_seconds == 120.5);
    REQUIRE(row.updates_done == 10);
    REQUIRE(row.facts.settings["rank"] == 8);
    REQUIRE(row.facts.trainable == 170000);
    REQUIRE(row.facts.percent_base == 2.01);
    REQUIRE(row.facts.train_sentences == 19500);
    REQUIRE(row.facts.base_fingerprint == "basefp");
    REQUIRE(row.facts.corpus_fingerprint == "corpusfp");
    REQUIRE(row.facts.versions["permille"] == "0.1.0");
    REQUIRE(row.facts.folder == "/runs/1");

    store.end_run(*claim, {RunState::finished, "", 300, 200, 60.5, 1 << 30});
    row = store.run(id);
    REQUIRE(row.state == RunState::finished);
    REQUIRE(row.finished);
    REQUIRE(row.best_step == 200);
    REQUIRE(row.seconds == 60.5);
    REQUIRE(row.peak_memory_bytes == 1 << 30);
    REQUIRE_FALSE(store.claim(id));
    REQUIRE_FALSE(store.requeue(id));
    REQUIRE(store.studies().front().finished == 1);
}

TEST_CASE("a stopped run continues and its time adds up", "[store]") {
    TemporaryFolder folder;
    Store store(folder / "p.db"), window(folder / "p.db");
    const auto id = store.add_run(some_run());
    const Claim first = store.claim(id).value();
    REQUIRE(store.heartbeat(first, {"training", 1, 2}, 1) == Beat::go_on);
    window.request_stop(id);
    REQUIRE(store.heartbeat(first, {"training", 1, 2}, 1) == Beat::stop);
    store.end_run(first, {RunState::interrupted, "stopped", 100, {}, 10, 500});
    REQUIRE(store.run(id).state == RunState::interrupted);
    const auto started = store.run(id).started;
    const Claim second = store.claim(id).value();
    REQUIRE(second.number == first.number + 1);
    REQUIRE_THROWS_AS(store.heartbeat(first, {}, 100), ClaimLost);  // a late sign of life changes nothing
    REQUIRE(store.run(id).updates_done == 100);
    REQUIRE(store.heartbeat(second, {}, 101) == Beat::go_on);
    store.end_run(second, {RunState::failed, "not a number", 150, {}, 5, 400});
    const RunRow row = store.run(id);
    REQUIRE(row.seconds == 15);
    REQUIRE(row.peak_memory_bytes == 500);
    REQUIRE(row.started == started);
    REQUIRE(row.reason == "not a number");
    REQUIRE(store.requeue(id));
    REQUIRE(store.run(id).state == RunState::queued);
    REQUIRE(store.run(id).reason.empty());
}

TEST_CASE("a run that a person stopped waits for a person", "[store]") {
    TemporaryFolder folder;
    Store store(folder / "p.db");
    const auto id = store.add_run(some_run());
    const Claim claim = store.claim(id).value();
    SECTION("its worker leaves it as stopped") {
        store.request_stop(id);
        REQUIRE(store.heartbeat(claim, {}, 1) == Beat::stop);
        store.end_run(claim, {RunState::stopped, "stopped after update 1", 1});
    }
    SECTION("its worker died before it could") {
        store.request_stop(id);
        set_heartbeat(folder / "p.db", id, unix_now() - 31);
        REQUIRE(store.mark_interrupted() == 1);
    }
    SECTION("nobody had it") {
        store.end_run(claim, {RunState::interrupted, "its process ended", 1});
        store.request_stop(id);
    }
    REQUIRE(store.run(id).state == RunState::stopped);
    REQUIRE_FALSE(store.claim(id));
    REQUIRE_FALSE(store.run(id).finished);
    REQUIRE(store.requeue(id));
    REQUIRE(store.claim(id));
}

TEST_CASE("every write of a worker that lost its run is refused and changes nothing", "[store]") {
    TemporaryFolder folder;
    Store store(folder / "p.db");
    const auto id = store.add_run(some_run());
    const Claim slow = store.claim(id, {"elsewhere.example", 42}).value();
    store.add_step_metrics(slow, {{1, StepFigure::train_loss, 5}});
    set_heartbeat(folder / "p.db", id, unix_now() - 31);
    REQUIRE(store.mark_interrupted() == 1);
    REQUIRE_NOTHROW(store.drop_step_metrics(slow, 1));  // nobody has taken it yet
    SECTION("another worker has it") { REQUIRE(store.claim(id)); }
    SECTION("a person sent it back to the queue") { REQUIRE(store.requeue(id)); }
    SECTION("a person cancelled it") { REQUIRE(store.set_state(id, RunState::cancelled, "not wanted")); }
    SECTION("another worker has ended it") { store.end_run(store.claim(id).value(), {RunState::finished}); }
    const RunRow before = store.run(id);
    REQUIRE_THROWS_AS(store.heartbeat(slow, {"training", 9, 9}, 9), ClaimLost);
    REQUIRE_THROWS_AS(store.describe_run(slow, {Json{{"rank", 8}}, 170000, 2.01}), ClaimLost);
    REQUIRE_THROWS_AS(store.add_step_metrics(slow, {{2, StepFigure::train_loss, 4}}), ClaimLost);
    REQUIRE_THROWS_AS(store.drop_step_metrics(slow, 0), ClaimLost);
    REQUIRE_THROWS_AS(store.add_evaluation(slow, {}, {{"a", "b", "c", 0}}), ClaimLost);
    REQUIRE_THROWS_AS(store.put_artifact(slow, {"adapter", "/runs/1/adapter", "aa", 10}), ClaimLost);
    REQUIRE_THROWS_AS(store.end_run(slow, {RunState::failed, "asleep"}), ClaimLost);
    const RunRow after = store.run(id);
    REQUIRE(after.state == before.state);
    REQUIRE(after.reason == before.reason);
    REQUIRE(after.updates_done == before.updates_done);
    REQUIRE(after.facts.settings == before.facts.settings);
    REQUIRE(store.step_metrics(id).size() == 1);
    REQUIRE(store.evaluations(id).empty());
    REQUIRE(store.artifacts(id).empty());
}

TEST_CASE("what never started can be skipped or cancelled, what runs cannot", "[store]") {
    TemporaryFolder folder;
    Store store(folder / "p.db");
    const auto ids = store.add_runs({some_run(1), some_run(2)});
    REQUIRE(store.set_state(ids[0], RunState::skipped, "0.001 % is out of reach"));
    REQUIRE(store.run(ids[0]).reason == "0.001 % is out of reach");
    REQUIRE_FALSE(store.claim(ids[0]));
    REQUIRE(store.claim(ids[1]));
    REQUIRE_FALSE(store.set_state(ids[1], RunState::cancelled));
    require_error([&] { store.set_state(ids[1], RunState::finished); }, ErrorKind::internal, {"finished"});
}

TEST_CASE("of many threads that claim a run exactly one gets it", "[store]") {
    TemporaryFolder folder;
    const auto file = folder / "p.db";
    std::vector<std::int64_t> ids;
    {
        Store store(file);
        std::vector<RunSpec> specs;
        for (int seed = 0; seed < 20; ++seed) specs.push_back(some_run(seed));
        ids = store.add_runs(specs);
    }
    std::atomic<int> claimed{0}, failed{0};
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 4; ++t)
            threads.emplace_back([&] {
                try {
                    Store store(file);
                    for (const auto id : ids)
                        if (store.claim(id)) ++claimed;
                } catch (const std::exception&) {
                    ++failed;
                }
            });
    }
    REQUIRE(failed == 0);
    REQUIRE(claimed == 20);
}

TEST_CASE("a run without a sign of life becomes interrupted", "[store]") {
    TemporaryFolder folder;
    const auto file = folder / "p.db";
    Store store(file);
    const auto id = store.add_run(some_run());
    SECTION("not while it gives signs") {
        REQUIRE(store.claim(id));
        REQUIRE(store.mark_interrupted() == 0);
        REQUIRE(store.run(id).state == RunState::running);
    }
    SECTION("after thirty seconds; it revives when nobody has taken it") {
        const auto claim = store.claim(id);
        REQUIRE(claim);
        set_heartbeat(file, id, unix_now() - 31);
        REQUIRE(store.mark_interrupted() == 1);
        REQUIRE(store.run(id).state == RunState::interrupted);
        REQUIRE(store.run(id).reason == "its process gives no sign of life");
        REQUIRE(store.heartbeat(*claim, {}, 5) == Beat::go_on);
        REQUIRE(store.run(id).state == RunState::running);
        REQUIRE(store.run(id).reason.empty());
    }
    SECTION("at once when its process on this host is gone") {
        REQUIRE(store.claim(id, {WorkerId::here().host, dead_process()}));
        REQUIRE(store.mark_interrupted() == 1);
        REQUIRE(store.run(id).state == RunState::interrupted);
        REQUIRE(store.claim(id));
    }
    SECTION("a process of another host is judged by its signs alone") {
        REQUIRE(store.claim(id, {"elsewhere.example", dead_process()}));
        REQUIRE(store.mark_interrupted() == 0);
    }
    SECTION("the one that has lost its run can neither beat nor end it") {
        const Claim slow = store.claim(id, {"elsewhere.example", 42}).value();
        set_heartbeat(file, id, unix_now() - 31);
        REQUIRE(store.mark_interrupted() == 1);
        REQUIRE(store.claim(id));
        REQUIRE_THROWS_AS(store.heartbeat(slow, {"training", 9, 9}, 9), ClaimLost);
        REQUIRE_THROWS_AS(store.end_run(slow, {RunState::finished}), ClaimLost);
        REQUIRE(store.run(id).state == RunState::running);
        REQUIRE(store.run(id).updates_done == 0);
    }
}

TEST_CASE("state names are known both ways", "[store]") {
    for (const auto state : {RunState::queued, RunState::running, RunState::interrupted, RunState::stopped, RunState::finished,
                             RunState::failed, RunState::cancelled, RunState::skipped})
        REQUIRE(run_state(std::string(to_string(state)), "here") == state);
    require_error([] { run_state("done", "here"); }, ErrorKind::config, {"here", "'done'", "finished"});
}

TEST_CASE("times are written in ISO 8601", "[store]") { REQUIRE(iso_time(1764025500.75) == "2025-11-24T23:05:00Z"); }
