// A database with a corpus and a study on the tests' own base, and what a machine in trouble is like.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>
#include <signal.h>
#include <sys/resource.h>

#include <filesystem>
#include <string>

#include "core/base/files.h"
#include "core/jobs/data.h"
#include "core/run/study_runner.h"
#include "core/store/store.h"
#include "tests/support/test.h"
#include "tests/support/toy.h"

namespace permille::test {

class Workplace {
public:
    Workplace() {
        write_text(folder_ / "toy.tsv", toy_text());
        ImportRequest request;
        request.name = "toy";
        request.text.files = {folder_ / "toy.tsv"};
        request.text.source_language = "it";
        request.text.target_language = "en";
        request.split.test_sentences = request.split.valid_sentences = 6;
        request.split.held_out_percent = 20;
        request.home = folder_.path();
        request.database = database();
        import_corpus(request);
    }

    std::filesystem::path database() const { return folder_ / "p.db"; }
    std::filesystem::path run_folder(std::int64_t run) const { return folder_ / "p-runs" / std::to_string(run); }

    // One base and pair, without the untouched base; returns the ids of the runs.
    std::vector<std::int64_t> enqueue(const std::string& methods, int updates, const std::string& seeds = "[1]",
                                      const std::string& base = kBase, int checkpoint_every = 5) const {
        const std::string yaml = "study: toy\nbases: [" + base + "]\npairs: [{corpus: toy, source: it, target: en}]\nmethods: " + methods +
                                 "\nbudgets: [3%]\nseeds: " + seeds +
                                 "\ninclude_untouched: false\ntraining: {updates: " + std::to_string(updates) +
                                 ", warmup_updates: 2, batch_tokens: 200, validate_every: 20, valid_sentences: 4, checkpoint_every: " +
                                 std::to_string(checkpoint_every) +
                                 "}\n"
                                 "decoding: {beam_size: 1, max_length: 20}\nevaluation: {test_sentences: 4}\n";
        enqueue_study(parse_study(yaml, "study"), yaml, database());
        std::vector<std::int64_t> ids;
        for (const RunRow& run : Store(database()).runs({.study = "toy"})) ids.push_back(run.id);
        return ids;
    }

    static DeviceSettings one_thread() {
        DeviceSettings device;
        device.device = "cpu";
        device.threads = 1;
        return device;
    }

private:
    TemporaryFolder folder_;
};

// Patience for tests: a machine that says no twice says no, and how far a run is can be seen soon.
inline Patience short_patience() {
    using std::chrono::milliseconds;
    return {milliseconds(60), milliseconds(60), milliseconds(10), milliseconds(5), milliseconds(5)};
}

// Another program that keeps the database locked.
class Lock {
public:
    explicit Lock(const std::filesystem::path& database) : connection_(database.string(), SQLite::OPEN_READWRITE) {
        connection_.setBusyTimeout(10000);
        connection_.exec("BEGIN IMMEDIATE");
    }
    ~Lock() { release(); }
    void release() {
        if (held_) connection_.exec("ROLLBACK");
        held_ = false;
    }

private:
    SQLite::Database connection_;
    bool held_ = true;
};

// A disk on which no file can grow, for this process.
class FullDisk {
public:
    FullDisk() {
        getrlimit(RLIMIT_FSIZE, &before_);
        signal(SIGXFSZ, SIG_IGN);
        const rlimit none{0, before_.rlim_max};
        setrlimit(RLIMIT_FSIZE, &none);
    }
    ~FullDisk() { setrlimit(RLIMIT_FSIZE, &before_); }
    FullDisk(const FullDisk&) = delete;
    FullDisk& operator=(const FullDisk&) = delete;

private:
    rlimit before_{};
};

}  // namespace permille::test
