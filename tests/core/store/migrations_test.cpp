#include <SQLiteCpp/SQLiteCpp.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cstdlib>

#include "core/base/files.h"
#include "core/store/database.h"
#include "core/store/migrations.h"
#include "core/store/store.h"
#include "tests/support/runs.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

// A copy of a database that a program of that version wrote, with the hidden test below.
std::filesystem::path stored_version(int version, const TemporaryFolder& folder) {
    const auto copy = folder / "old.db";
    std::filesystem::copy_file(golden("store/version" + std::to_string(version) + ".db"), copy);
    return copy;
}

void execute(const std::filesystem::path& file, const std::string& sql) {
    SQLite::Database database(file.string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
    database.exec(sql);
}

}  // namespace

TEST_CASE("schema steps are numbered from 1 without a gap", "[store]") {
    int expected = 1;
    for (const auto& step : migrations()) {
        REQUIRE(step.number == expected++);
        REQUIRE(step.name.substr(0, 4) == std::string(4 - std::to_string(step.number).size(), '0') + std::to_string(step.number));
    }
}

TEST_CASE("a new database has the newest version, and opening it again changes nothing", "[store]") {
    TemporaryFolder folder;
    const auto file = folder / "deeper/permille.db";
    { Store store(file); }
    { Store store(file, Store::Open::existing); }
    SQLite::Database database(file.string());
    REQUIRE(database.execAndGet("PRAGMA user_version").getInt() == Store::newest_version());
    REQUIRE(database.execAndGet("PRAGMA journal_mode").getString() == "wal");
    REQUIRE(database.execAndGet("PRAGMA integrity_check").getString() == "ok");
    REQUIRE_FALSE(std::filesystem::exists(file.string() + ".v1.bak"));
}

TEST_CASE("a stored file of every past version opens with its content", "[store]") {
    for (int version = 1; version <= Store::newest_version(); ++version) {
        TemporaryFolder folder;
        Store store(stored_version(version, folder));
        const auto runs = store.runs();
        REQUIRE(runs.size() == 2);
        REQUIRE(runs[0].spec.method == "none");
        REQUIRE(runs[1].spec.method == "lora");
        REQUIRE(runs[1].state == RunState::finished);
        REQUIRE(runs[1].spec.budget_percent == 2.0);
        REQUIRE(runs[1].score->score == 20.4375);
        REQUIRE(runs[1].key == runs[1].spec.key());
        REQUIRE(store.hypotheses(store.evaluations(runs[1].id).front().id).at(1).text == "これはテストです。");
        REQUIRE(store.corpora().size() == 1);
        REQUIRE(store.bases().size() == 1);
        const auto figures = store.step_metrics(runs[1].id, StepFigure::train_loss);
        REQUIRE(figures.size() == 2);
        REQUIRE(figures[1].value == 4.5);
        REQUIRE(store.artifacts(runs[1].id).size() == 1);
        REQUIRE(store.claim(runs[0].id)->number == 1);
        SQLite::Database database((folder / "old.db").string());
        REQUIRE_FALSE(SQLite::Statement(database, "PRAGMA foreign_key_check").executeStep());
    }
}

// When the schema gets its next version, this one writes the file of the new version:
//     PERMILLE_GOLDEN=tests/golden/store core_tests "[.write-golden]"
// Files of released versions are never written again.
TEST_CASE("writes the stored file of the present version", "[.write-golden]") {
    const char* target = std::getenv("PERMILLE_GOLDEN");
    REQUIRE(target != nullptr);
    const auto file = std::filesystem::path(target) / ("version" + std::to_string(Store::newest_version()) + ".db");
    REQUIRE_FALSE(std::filesystem::exists(file));
    Store store(file);
    store.put_base({"permille-small", "/models/permille-small", "m2m_100", "basefp", 8400000, {"en", "it"}});
    store.put_corpus({"it-en", "it", "en", "/corpora/it-en", "corpusfp", 20000, 1000, 1000, "CC-BY 2.0 FR"});
    RunSpec spec = some_run("none");
    store.add_run(spec);
    spec.method = "lora";
    spec.budget_percent = 2.0;
    const Claim run = store.claim(store.add_run(spec), {"host.example", 42}).value();
    store.describe_run(run, {Json{{"rank", 8}}, 170000, 2.01, 20000, "basefp", "corpusfp", "cpu, 2 threads, float32",
                             Json{{"permille", "0.1.0"}}, "/runs/2"});
    store.add_step_metrics(run, {{10, StepFigure::train_loss, 5.25}, {20, StepFigure::train_loss, 4.5}});
    Evaluation evaluation;
    evaluation.seconds = 2.5;
    evaluation.scores = {{"bleu", "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0", 20.4375, 18.5, 22.25, {{1, 2}, {3, 4}}}};
    store.add_evaluation(run, evaluation,
                         {{"Ciao.", "Hello.", "Hello.", -1.5}, {"Questo è un test.", "This is a test.", "これはテストです。", -2.5}});
    store.put_artifact(run, {"adapter", "/runs/2/adapter", "aa", 10});
    store.end_run(run, {RunState::finished, "", 300, 200, 60.5, 1 << 30});
}

TEST_CASE("an older database is copied and then migrated", "[store]") {
    TemporaryFolder folder;
    const auto file = stored_version(1, folder);
    std::vector<Migration> steps(migrations().begin(), migrations().begin() + 1);
    steps.push_back(
        {2, "0002_colour", "ALTER TABLE runs ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'; CREATE TABLE further (id INTEGER);"});
    SECTION("for writing") {
        Database database(file, Store::Open::existing, steps);
        REQUIRE(database.connection().execAndGet("PRAGMA user_version").getInt() == 2);
        REQUIRE(database.connection().execAndGet("SELECT colour FROM runs LIMIT 1").getString() == "red");
        SQLite::Database copy(file.string() + ".v1.bak");
        REQUIRE(copy.execAndGet("PRAGMA user_version").getInt() == 1);
        REQUIRE(copy.execAndGet("SELECT COUNT(*) FROM runs").getInt() == 2);
    }
    SECTION("a step that fails leaves the old version as it was") {
        steps.push_back({3, "0003_wrong", "INSERT INTO no_such_table VALUES (1);"});
        require_error([&] { Database database(file, Store::Open::existing, steps); }, ErrorKind::database,
                      {file.string(), "no_such_table"});
        Store store(file);
        REQUIRE(store.runs().size() == 2);
    }
    SECTION("not when opened for reading") {
        require_error([&] { Database database(file, Store::Open::read_only, steps); }, ErrorKind::database, {"version 1", "needs 2"});
    }
}

TEST_CASE("a database of a newer version is refused with both versions", "[store]") {
    TemporaryFolder folder;
    const auto file = folder / "new.db";
    { Store store(file); }
    execute(file, "PRAGMA user_version = 99");
    const std::string before = sha256_of_file(file);
    require_error([&] { Store store(file); }, ErrorKind::database,
                  {file.string(), "version 99", "up to " + std::to_string(Store::newest_version())});
    REQUIRE(sha256_of_file(file) == before);
}

TEST_CASE("what is not a database of ours is refused and left alone", "[store]") {
    TemporaryFolder folder;
    const auto file = folder / "x.db";
    SECTION("text") {
        write_text(file,
                   "study: first-look\nThis is long enough to be no database header, is it not? It has a hundred bytes and more of it.\n");
        const std::string before = sha256_of_file(file);
        require_error([&] { Store store(file); }, ErrorKind::database, {file.string(), "not a database", "--db"});
        REQUIRE(sha256_of_file(file) == before);
    }
    SECTION("another program's") {
        execute(file, "CREATE TABLE bookmarks (id INTEGER)");
        require_error([&] { Store store(file); }, ErrorKind::database, {file.string(), "not one of Permille"});
    }
    SECTION("a folder") {
        std::filesystem::create_directory(file);
        require_error([&] { Store store(file); }, ErrorKind::database, {file.string(), "folder"});
    }
    SECTION("missing") {
        require_error([&] { Store store(file, Store::Open::existing); }, ErrorKind::database, {file.string(), "no such database"});
        require_error([&] { Store store(file, Store::Open::read_only); }, ErrorKind::database, {file.string(), "no such database"});
        REQUIRE_FALSE(std::filesystem::exists(file));
    }
    SECTION("in a folder that cannot be made") {
        write_text(folder / "a-file", "x");
        require_error([&] { Store store(folder / "a-file/permille.db"); }, ErrorKind::database, {"folder"});
    }
    SECTION("empty, for reading") {
        write_text(file, "");
        require_error([&] { Store store(file, Store::Open::read_only); }, ErrorKind::database, {"is empty"});
    }
}

TEST_CASE("SQLite's failures are told as what they mean", "[store]") {
    TemporaryFolder folder;
    const auto file = folder / "permille.db";
    { Store store(file); }
    SECTION("writing through a connection for reading") {
        Store store(file, Store::Open::read_only);
        REQUIRE(store.runs().empty());
        require_error([&] { store.put_base({"b", "/b", "m2m_100", "f", 1}); }, ErrorKind::database, {file.string(), "read-only"});
    }
    SECTION("no room") {
        Database database(file, Store::Open::existing);
        database.connection().exec("PRAGMA max_page_count = 1");
        require_error(
            [&] {
                database.write(
                    [](SQLite::Database& db) { db.exec("INSERT INTO studies (name, yaml, added) VALUES ('s', zeroblob(1000000), 0)"); });
            },
            ErrorKind::database, {file.string(), "disk is full"});
        REQUIRE(Store(file).studies().empty());
    }
    SECTION("locked and others") {
        REQUIRE(std::string(database_error(file, SQLITE_BUSY, "").what()).find("locked") != std::string::npos);
        REQUIRE(std::string(database_error(file, SQLITE_CORRUPT, "malformed").what()).find("damaged") != std::string::npos);
        REQUIRE(std::string(database_error(file, SQLITE_IOERR, "disk I/O error").what()).find("disk I/O error") != std::string::npos);
    }
    SECTION("a file without write permission") {
        if (geteuid() != 0) {  // root may write everything
            std::filesystem::permissions(file, std::filesystem::perms::owner_read);
            require_error([&] { Store store(file); }, ErrorKind::database, {file.string(), "read-only"});
        }
    }
}
