#include "core/store/migrations.h"

#include <SQLiteCpp/Backup.h>
#include <SQLiteCpp/Database.h>
#include <SQLiteCpp/Transaction.h>
#include <sqlite3.h>

#include <string>

#include "core/base/error.h"

namespace permille {

namespace {

constexpr int kApplicationId = 0x50726d6c;  // "Prml": tells our files from other SQLite databases

int pragma(SQLite::Database& database, const std::string& name) { return database.execAndGet("PRAGMA " + name).getInt(); }

// Through a connection of its own: SQLite does not copy through one that holds the write lock.
void back_up(const std::filesystem::path& file, int version) {
    const std::filesystem::path copy = file.string() + ".v" + std::to_string(version) + ".bak";
    const std::filesystem::path part = copy.string() + ".part";
    std::filesystem::remove(part);
    try {
        SQLite::Database source(file.string(), SQLite::OPEN_READONLY);
        SQLite::Database target(part.string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
        SQLite::Backup backup(target, source);
        if (backup.executeStep() != SQLITE_DONE)
            throw Error(ErrorKind::database, file.string(), "its copy before migration cannot be made: another program uses it",
                        "close that program and try again");
    } catch (...) {
        std::error_code ignored;
        std::filesystem::remove(part, ignored);
        throw;
    }
    std::filesystem::rename(part, copy);
}

// The version of the file, after refusing what is not ours to open.
int accepted_version(SQLite::Database& database, const std::filesystem::path& file, int newest) {
    const int version = pragma(database, "user_version");
    const bool empty = database.execAndGet("SELECT COUNT(*) FROM sqlite_schema").getInt() == 0;
    if (pragma(database, "application_id") != kApplicationId && !(empty && version == 0))
        throw Error(ErrorKind::database, file.string(), "is an SQLite database, but not one of Permille", "name another file with --db");
    if (version > newest)
        throw Error(
            ErrorKind::database, file.string(),
            "has version " + std::to_string(version) + " of the database, this program knows versions up to " + std::to_string(newest),
            "use a newer Permille, or name another file with --db");
    return version;
}

}  // namespace

void migrate(SQLite::Database& database, const std::filesystem::path& file, const std::vector<Migration>& steps, bool may_write) {
    const int newest = steps.back().number;
    const int found = accepted_version(database, file, newest);
    if (found == newest) return;
    if (!may_write)
        throw Error(ErrorKind::database, file.string(),
                    found == 0
                        ? "is empty"
                        : "has version " + std::to_string(found) + " of the database and this program needs " + std::to_string(newest),
                    "open it once where it can be written");
    SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
    // Another process may have been quicker.
    const int version = accepted_version(database, file, newest);
    if (version == newest) return;
    if (version > 0) back_up(file, version);
    for (const auto& step : steps)
        if (step.number > version) database.exec(std::string(step.sql));
    database.exec("PRAGMA application_id = " + std::to_string(kApplicationId));
    database.exec("PRAGMA user_version = " + std::to_string(newest));
    transaction.commit();
}

}  // namespace permille
