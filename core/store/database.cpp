#include "core/store/database.h"

#include <sqlite3.h>
#include <sys/vfs.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <thread>

#include "core/base/files.h"

namespace permille {

namespace {

constexpr int kBusyMilliseconds = 10000;

// "file:" with the characters that have a meaning there written as %XX.
std::string uri(const std::filesystem::path& file) {
    std::string text = "file:";
    for (const char c : file.string()) {
        if (c == '%') text += "%25";
        else if (c == '?') text += "%3f";
        else if (c == '#') text += "%23";
        else text += c;
    }
    return text;
}

// The write-ahead log shares memory between processes, which those of two machines do not have: on a network's file system (several nodes
// of a cluster at one study) the older rollback journal takes its place, where readers and writers wait for each other.
const char* fitting_journal(const std::filesystem::path& file) {
    struct statfs system = {};
    if (statfs(file.c_str(), &system) != 0) return "wal";
    switch (static_cast<std::uint32_t>(system.f_type)) {
        case 0x6969u:      // NFS
        case 0x517bu:      // SMB
        case 0xfe534d42u:  // SMB2
        case 0xff534d42u:  // CIFS
        case 0x0bd00bd0u:  // Lustre
        case 0x47504653u:  // GPFS
        case 0x19830326u:  // BeeGFS
        case 0x00c36400u:  // Ceph
        case 0x01021997u:  // 9p
            return "delete";
        default: return "wal";
    }
}

// SQLite does not wait for its turn when it changes the journal; two programs that make the same database at once meet here.
void use_journal(SQLite::Database& connection, const std::string& journal) {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::milliseconds(kBusyMilliseconds);
    while (true) {
        try {
            if (connection.execAndGet("PRAGMA journal_mode").getString() != journal) connection.exec("PRAGMA journal_mode = " + journal);
            return;
        } catch (const SQLite::Exception& error) {
            if ((error.getErrorCode() & 0xff) != SQLITE_BUSY || std::chrono::steady_clock::now() > give_up) throw;
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
    }
}

}  // namespace

Error database_error(const std::filesystem::path& file, int code, const std::string& message) {
    const std::string where = file.string();
    switch (code & 0xff) {
        case SQLITE_NOTADB: return {ErrorKind::database, where, "is not a database of Permille", "name another file with --db"};
        case SQLITE_CORRUPT:
            return {ErrorKind::database, where, "is damaged (" + message + ")", "restore a copy, or rescue it with sqlite3's .recover"};
        case SQLITE_FULL:
            return Error(ErrorKind::database, where, "the disk is full", "free some space and start again; what was recorded is kept")
                .make_temporary();
        case SQLITE_READONLY:
            return {ErrorKind::database, where, "cannot be written: the file or its folder is read-only",
                    "change its permissions, or name another file with --db"};
        case SQLITE_PERM:
        case SQLITE_AUTH:
            return {ErrorKind::database, where, "access is not permitted", "change its permissions, or name another file with --db"};
        case SQLITE_CANTOPEN:
            return {ErrorKind::database, where, "cannot be opened: it, or its folder, does not exist or may not be used",
                    "check the path and its permissions, or name another file with --db"};
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
            return Error(ErrorKind::database, where, "another program keeps it locked", "close that program and try again")
                .make_temporary();
        case SQLITE_IOERR:
            return Error(ErrorKind::database, where, "reading or writing failed (" + message + ")",
                         "check the disk, its free space and quota")
                .make_temporary();
        case SQLITE_NOMEM: return Error(ErrorKind::database, where, "not enough memory", "close other programs").make_temporary();
        default: return {ErrorKind::database, where, message, {}};
    }
}

void Database::open(const std::string& name, int flags) {
    connection_ = std::make_unique<SQLite::Database>(name, flags, kBusyMilliseconds);
    // The first look at the file: what is not a database fails here.
    connection_->execAndGet("SELECT COUNT(*) FROM sqlite_schema");
}

Database::Database(const std::filesystem::path& file, Store::Open mode, const std::vector<Migration>& steps) : file_(file) {
    const bool writes = mode != Store::Open::read_only;
    if (std::filesystem::is_directory(file_))
        throw Error(ErrorKind::database, file_.string(), "is a folder, not a database", "name a file");
    if (mode == Store::Open::create) {
        if (file_.has_parent_path() && !std::filesystem::is_directory(file_.parent_path())) {
            try {
                make_folder(file_.parent_path());
            } catch (const Error& error) {
                throw Error(ErrorKind::database, file_.string(), "its folder cannot be made (" + error.found() + ")",
                            "name another file with --db");
            }
        }
    } else if (!std::filesystem::exists(file_)) {
        throw Error(ErrorKind::database, file_.string(), "there is no such database",
                    "check the path given with --db, or start a study to make one");
    }
    try {
        try {
            open(file_.string(), writes ? SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE : SQLite::OPEN_READONLY);
        } catch (const SQLite::Exception& error) {
            // A reader in a folder that it may not write cannot make the index file of the write-ahead log; without a log it needs none.
            const bool log_pending = std::filesystem::exists(file_.string() + "-wal");
            if (writes || log_pending || (error.getErrorCode() != SQLITE_CANTOPEN && error.getErrorCode() != SQLITE_READONLY)) throw;
            open(uri(file_) + "?immutable=1", SQLite::OPEN_READONLY | SQLite::OPEN_URI);
        }
        // SQLite opens a file that it may not write for reading, without a word.
        if (writes && sqlite3_db_readonly(connection_->getHandle(), "main") == 1) throw database_error(file_, SQLITE_READONLY, {});
        migrate(*connection_, file_, steps, writes);  // with foreign keys off, as SQLite has them at first: a step may make a table anew
        connection_->exec("PRAGMA foreign_keys = ON");
        if (writes) {
            const std::string journal = fitting_journal(file_);
            use_journal(*connection_, journal);
            if (journal == "wal")
                connection_->exec("PRAGMA synchronous = NORMAL");  // without one, only the default keeps a power cut harmless
        }
    } catch (const SQLite::Exception& error) {
        throw database_error(file_, error.getErrorCode(), error.what());
    } catch (const std::filesystem::filesystem_error& error) {
        throw Error(ErrorKind::database, file_.string(), "its copy before migration cannot be made (" + error.code().message() + ")",
                    "make its folder writable and free some space");
    }
}

void bind_number(SQLite::Statement& statement, int index, double value) {
    if (std::isnan(value)) statement.bind(index);
    else statement.bind(index, value);
}

void bind_optional(SQLite::Statement& statement, int index, const std::optional<double>& value) {
    bind_number(statement, index, value.value_or(std::numeric_limits<double>::quiet_NaN()));
}

double number_or_nan(const SQLite::Column& column) {
    return column.isNull() ? std::numeric_limits<double>::quiet_NaN() : column.getDouble();
}

std::optional<double> optional_number(const SQLite::Column& column) {
    if (column.isNull()) return {};
    return column.getDouble();
}

std::string dumped(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace permille
