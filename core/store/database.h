// One open connection, and SQLite's failures turned into messages for people. Only for the sources of this folder.
#pragma once

#include <SQLiteCpp/Database.h>
#include <SQLiteCpp/Statement.h>
#include <SQLiteCpp/Transaction.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "core/base/error.h"
#include "core/base/json.h"
#include "core/store/migrations.h"
#include "core/store/store.h"

namespace permille {

// What an SQLite result code means for the user of this file.
Error database_error(const std::filesystem::path& file, int code, const std::string& message);

class Database {
public:
    Database(const std::filesystem::path& file, Store::Open mode, const std::vector<Migration>& steps = migrations());

    const std::filesystem::path& file() const { return file_; }
    SQLite::Database& connection() { return *connection_; }

    // Runs fn(connection); SQLite's exceptions become Error(database).
    template <class Function>
    auto read(Function&& fn) {
        try {
            return fn(*connection_);
        } catch (const SQLite::Exception& error) {
            throw database_error(file_, error.getErrorCode(), error.what());
        } catch (const Json::exception& error) {
            throw Error(ErrorKind::database, file_.string(), std::string("holds a value of the wrong kind (") + error.what() + ")",
                        "restore a copy");
        }
    }

    // The same in a transaction that takes the write lock at its start, so that what fn reads cannot change before it writes.
    template <class Function>
    auto write(Function&& fn) {
        return read([&](SQLite::Database& connection) {
            SQLite::Transaction transaction(connection, SQLite::TransactionBehavior::IMMEDIATE);
            if constexpr (std::is_void_v<decltype(fn(connection))>) {
                fn(connection);
                transaction.commit();
            } else {
                auto result = fn(connection);
                transaction.commit();
                return result;
            }
        });
    }

private:
    void open(const std::string& name, int flags);
    std::filesystem::path file_;
    std::unique_ptr<SQLite::Database> connection_;
};

// Inside a transaction: the id of the study, added when it is new; a text that is not empty replaces its YAML.
std::int64_t study_id(SQLite::Database& db, const std::string& name, const std::string& yaml);

// Throws ClaimLost when the claim does not give the right to write into its run. Inside a transaction that writes, what it found holds
// until the end.
void require_claim(SQLite::Database& db, const Claim& claim);

// Values into and out of columns.
void bind_number(SQLite::Statement& statement, int index, double value);  // NaN becomes NULL
void bind_optional(SQLite::Statement& statement, int index, const std::optional<double>& value);
double number_or_nan(const SQLite::Column& column);
std::optional<double> optional_number(const SQLite::Column& column);
std::string dumped(const Json& json);  // on one line; never throws for text that is not UTF-8

}  // namespace permille
