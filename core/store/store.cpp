#include "core/store/store.h"

#include <chrono>
#include <ctime>

#include "core/base/files.h"
#include "core/store/database.h"

namespace permille {

Store::Store(const std::filesystem::path& file, Open mode) : database_(std::make_unique<Database>(file, mode)) {}
Store::~Store() = default;
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;

std::filesystem::path Store::default_file() { return data_home() / "permille.db"; }
int Store::newest_version() { return migrations().back().number; }
const std::filesystem::path& Store::file() const { return database_->file(); }

void Store::wait_for_locks(std::chrono::milliseconds time) { database_->connection().setBusyTimeout(static_cast<int>(time.count())); }

std::int64_t Store::data_version() const {
    return database_->read([](SQLite::Database& db) { return db.execAndGet("PRAGMA data_version").getInt64(); });
}

void Store::put_base(const BaseRow& base) {
    database_->read([&](SQLite::Database& db) {
        SQLite::Statement put(
            db,
            "INSERT INTO bases (name, path, family, fingerprint, parameters, languages, added) VALUES (?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (name) DO UPDATE SET path = excluded.path, family = excluded.family, fingerprint = excluded.fingerprint, "
            "parameters = excluded.parameters, languages = CASE excluded.languages WHEN '[]' THEN languages ELSE excluded.languages END, "
            "added = excluded.added");
        put.bind(1, base.name);
        put.bind(2, base.path);
        put.bind(3, base.family);
        put.bind(4, base.fingerprint);
        put.bind(5, base.parameters);
        put.bind(6, dumped(Json(base.languages)));
        put.bind(7, unix_now());
        put.exec();
    });
}

void Store::remove_base(const std::string& name) {
    database_->read([&](SQLite::Database& db) {
        SQLite::Statement remove(db, "DELETE FROM bases WHERE name = ?");
        remove.bind(1, name);
        remove.exec();
    });
}

std::vector<BaseRow> Store::bases() const {
    return database_->read([&](SQLite::Database& db) {
        SQLite::Statement get(db, "SELECT name, path, family, fingerprint, parameters, languages, added FROM bases ORDER BY name");
        std::vector<BaseRow> rows;
        while (get.executeStep()) {
            BaseRow row;
            row.name = get.getColumn(0).getString();
            row.path = get.getColumn(1).getString();
            row.family = get.getColumn(2).getString();
            row.fingerprint = get.getColumn(3).getString();
            row.parameters = get.getColumn(4).getInt64();
            row.languages =
                parse_json(get.getColumn(5).getString(), file().string() + ", base " + row.name).get<std::vector<std::string>>();
            row.added = get.getColumn(6).getDouble();
            rows.push_back(std::move(row));
        }
        return rows;
    });
}

std::optional<BaseRow> Store::base(const std::string& name) const {
    for (auto& row : bases())
        if (row.name == name) return std::move(row);
    return {};
}

void Store::put_corpus(const CorpusRow& corpus) {
    database_->read([&](SQLite::Database& db) {
        SQLite::Statement put(
            db,
            "INSERT INTO corpora (name, source_language, target_language, path, fingerprint, train_sentences, valid_sentences, "
            "test_sentences, "
            "licence, details, added) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (name) DO UPDATE SET source_language = excluded.source_language, target_language = excluded.target_language, "
            "path = excluded.path, fingerprint = excluded.fingerprint, train_sentences = excluded.train_sentences, "
            "valid_sentences = excluded.valid_sentences, test_sentences = excluded.test_sentences, licence = excluded.licence, "
            "details = excluded.details, added = excluded.added");
        put.bind(1, corpus.name);
        put.bind(2, corpus.source_language);
        put.bind(3, corpus.target_language);
        put.bind(4, corpus.path);
        put.bind(5, corpus.fingerprint);
        put.bind(6, corpus.train_sentences);
        put.bind(7, corpus.valid_sentences);
        put.bind(8, corpus.test_sentences);
        put.bind(9, corpus.licence);
        put.bind(10, dumped(corpus.details));
        put.bind(11, unix_now());
        put.exec();
    });
}

std::vector<CorpusRow> Store::corpora() const {
    return database_->read([&](SQLite::Database& db) {
        SQLite::Statement get(db,
                              "SELECT name, source_language, target_language, path, fingerprint, train_sentences, valid_sentences, "
                              "test_sentences, licence, details, added FROM corpora ORDER BY name");
        std::vector<CorpusRow> rows;
        while (get.executeStep()) {
            CorpusRow row;
            row.name = get.getColumn(0).getString();
            row.source_language = get.getColumn(1).getString();
            row.target_language = get.getColumn(2).getString();
            row.path = get.getColumn(3).getString();
            row.fingerprint = get.getColumn(4).getString();
            row.train_sentences = get.getColumn(5).getInt64();
            row.valid_sentences = get.getColumn(6).getInt64();
            row.test_sentences = get.getColumn(7).getInt64();
            row.licence = get.getColumn(8).getString();
            row.details = parse_json(get.getColumn(9).getString(), file().string() + ", corpus " + row.name);
            row.added = get.getColumn(10).getDouble();
            rows.push_back(std::move(row));
        }
        return rows;
    });
}

std::optional<CorpusRow> Store::corpus(const std::string& name) const {
    for (auto& row : corpora())
        if (row.name == name) return std::move(row);
    return {};
}

std::int64_t Store::find_or_add_study(const std::string& name, const std::string& yaml) {
    return database_->write([&](SQLite::Database& db) { return study_id(db, name, yaml); });
}

std::vector<StudyRow> Store::studies() const {
    return database_->read([&](SQLite::Database& db) {
        SQLite::Statement get(
            db,
            "SELECT studies.id, name, yaml, studies.added, COUNT(runs.id), COUNT(CASE WHEN state = 'finished' THEN 1 END) "
            "FROM studies LEFT JOIN runs ON runs.study = studies.id GROUP BY studies.id ORDER BY studies.id");
        std::vector<StudyRow> rows;
        while (get.executeStep()) {
            StudyRow row;
            row.id = get.getColumn(0).getInt64();
            row.name = get.getColumn(1).getString();
            row.yaml = get.getColumn(2).getString();
            row.added = get.getColumn(3).getDouble();
            row.runs = get.getColumn(4).getInt64();
            row.finished = get.getColumn(5).getInt64();
            rows.push_back(std::move(row));
        }
        return rows;
    });
}

std::int64_t study_id(SQLite::Database& db, const std::string& name, const std::string& yaml) {
    SQLite::Statement put(db,
                          "INSERT INTO studies (name, yaml, added) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE "
                          "SET yaml = CASE WHEN excluded.yaml = '' THEN yaml ELSE excluded.yaml END RETURNING id");
    put.bind(1, name);
    put.bind(2, yaml);
    put.bind(3, unix_now());
    put.executeStep();
    const std::int64_t id = put.getColumn(0).getInt64();
    put.reset();
    return id;
}

double unix_now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

std::string iso_time(double unix_seconds) {
    const auto whole = static_cast<std::time_t>(unix_seconds);
    std::tm parts{};
    gmtime_r(&whole, &parts);
    char text[32];
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return text;
}

}  // namespace permille
