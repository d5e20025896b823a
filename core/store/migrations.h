// The numbered steps of the schema (schema/NNNN_name.sql, built into the program). A step is never edited once released; the next one
// follows.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

namespace SQLite {
class Database;
}

namespace permille {

struct Migration {
    int number;  // the version it leads to
    std::string_view name;
    std::string_view sql;
};

// In order: 1, 2, ...
const std::vector<Migration>& migrations();

// Brings the open database to the last of the steps, all in one transaction. A database that already has tables is first copied to
// FILE.v<its version>.bak. Throws Error(database) for a newer version and for a database that is not Permille's.
// may_write = false: an older one is an error instead.
void migrate(SQLite::Database& database, const std::filesystem::path& file, const std::vector<Migration>& steps, bool may_write);

}  // namespace permille
