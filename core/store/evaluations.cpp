// The evaluations of a Store: translations, the test sets they belong to, scores; and artifacts.
#include "core/base/files.h"
#include "core/store/database.h"

namespace permille {

namespace {

std::string keep_test_set(SQLite::Database& db, const std::vector<Hypothesis>& hypotheses) {
    std::string content;
    for (const auto& h : hypotheses) content.append(h.source).append(1, '\0').append(h.reference).append(1, '\0');
    const std::string fingerprint = sha256(content);
    SQLite::Statement add_set(db, "INSERT OR IGNORE INTO test_sets (fingerprint, sentences) VALUES (?, ?)");
    add_set.bind(1, fingerprint);
    add_set.bind(2, static_cast<std::int64_t>(hypotheses.size()));
    if (add_set.exec() == 0) return fingerprint;
    SQLite::Statement add(db, "INSERT INTO segments (test_set, line, source, reference) VALUES (?, ?, ?, ?)");
    for (std::size_t i = 0; i < hypotheses.size(); ++i) {
        add.bind(1, fingerprint);
        add.bind(2, static_cast<std::int64_t>(i + 1));
        add.bind(3, hypotheses[i].source);
        add.bind(4, hypotheses[i].reference);
        add.exec();
        add.reset();
    }
    return fingerprint;
}

void write_score(SQLite::Database& db, std::int64_t evaluation, const Score& score, std::int64_t position) {
    SQLite::Statement put(
        db,
        "INSERT INTO scores (evaluation, metric, position, signature, score, not_a_number, low, high, statistics) "
        "VALUES (?1, ?2, ?3, ?4, ?5, ?5 IS NULL, ?6, ?7, ?8) ON CONFLICT (evaluation, metric) DO UPDATE SET "
        "signature = excluded.signature, score = excluded.score, not_a_number = excluded.not_a_number, low = excluded.low, "
        "high = excluded.high, statistics = excluded.statistics");
    put.bind(1, evaluation);
    put.bind(2, score.metric);
    put.bind(3, position);
    put.bind(4, score.signature);
    bind_number(put, 5, score.score);
    bind_optional(put, 6, score.low);
    bind_optional(put, 7, score.high);
    put.bind(8, dumped(Json(score.statistics)));
    put.exec();
}

}  // namespace

std::int64_t Store::add_evaluation(const Claim& claim, const Evaluation& evaluation, const std::vector<Hypothesis>& hypotheses) {
    return database_->write([&](SQLite::Database& db) {
        require_claim(db, claim);
        const std::int64_t run = claim.run;
        const std::string test_set = keep_test_set(db, hypotheses);
        SQLite::Statement drop(db, "DELETE FROM evaluations WHERE run = ? AND split = ?");
        drop.bind(1, run);
        drop.bind(2, evaluation.split);
        drop.exec();
        SQLite::Statement add(db, "INSERT INTO evaluations (run, split, test_set, sentences, seconds, added) VALUES (?, ?, ?, ?, ?, ?)");
        add.bind(1, run);
        add.bind(2, evaluation.split);
        add.bind(3, test_set);
        add.bind(4, static_cast<std::int64_t>(hypotheses.size()));
        add.bind(5, evaluation.seconds);
        add.bind(6, unix_now());
        add.exec();
        const std::int64_t id = db.getLastInsertRowid();
        for (std::size_t i = 0; i < evaluation.scores.size(); ++i) write_score(db, id, evaluation.scores[i], static_cast<std::int64_t>(i));
        SQLite::Statement keep(db, "INSERT INTO hypotheses (evaluation, line, text, log_probability) VALUES (?, ?, ?, ?)");
        for (std::size_t i = 0; i < hypotheses.size(); ++i) {
            keep.bind(1, id);
            keep.bind(2, static_cast<std::int64_t>(i + 1));
            keep.bind(3, hypotheses[i].text);
            bind_number(keep, 4, hypotheses[i].log_probability);
            keep.exec();
            keep.reset();
        }
        return id;
    });
}

void Store::put_score(std::int64_t evaluation, const Score& score) {
    database_->write([&](SQLite::Database& db) {
        SQLite::Statement count(db, "SELECT COUNT(*) FROM scores WHERE evaluation = ?");
        count.bind(1, evaluation);
        count.executeStep();
        write_score(db, evaluation, score, count.getColumn(0).getInt64());
    });
}

std::vector<Evaluation> Store::evaluations(std::int64_t run) const {
    return database_->read([&](SQLite::Database& db) {
        SQLite::Statement get(db, "SELECT id, split, test_set, sentences, seconds, added FROM evaluations WHERE run = ? ORDER BY id");
        SQLite::Statement scores(db, "SELECT metric, signature, score, low, high FROM scores WHERE evaluation = ? ORDER BY position");
        get.bind(1, run);
        std::vector<Evaluation> rows;
        while (get.executeStep()) {
            Evaluation row;
            row.id = get.getColumn(0).getInt64();
            row.run = run;
            row.split = get.getColumn(1).getString();
            row.test_set = get.getColumn(2).getString();
            row.sentences = get.getColumn(3).getInt64();
            row.seconds = get.getColumn(4).getDouble();
            row.added = get.getColumn(5).getDouble();
            scores.bind(1, row.id);
            while (scores.executeStep())
                row.scores.push_back({scores.getColumn(0).getString(), scores.getColumn(1).getString(), number_or_nan(scores.getColumn(2)),
                                      optional_number(scores.getColumn(3)), optional_number(scores.getColumn(4))});
            scores.reset();
            rows.push_back(std::move(row));
        }
        return rows;
    });
}

std::vector<Hypothesis> Store::hypotheses(std::int64_t evaluation) const {
    return database_->read([&](SQLite::Database& db) {
        SQLite::Statement get(db,
                              "SELECT segments.source, segments.reference, hypotheses.text, hypotheses.log_probability FROM hypotheses "
                              "JOIN evaluations ON evaluations.id = hypotheses.evaluation "
                              "JOIN segments ON segments.test_set = evaluations.test_set AND segments.line = hypotheses.line "
                              "WHERE hypotheses.evaluation = ? ORDER BY hypotheses.line");
        get.bind(1, evaluation);
        std::vector<Hypothesis> rows;
        while (get.executeStep())
            rows.push_back({get.getColumn(0).getString(), get.getColumn(1).getString(), get.getColumn(2).getString(),
                            number_or_nan(get.getColumn(3))});
        return rows;
    });
}

std::vector<std::vector<double>> Store::sentence_statistics(std::int64_t evaluation, const std::string& metric) const {
    return database_->read([&](SQLite::Database& db) {
        SQLite::Statement get(db, "SELECT statistics FROM scores WHERE evaluation = ? AND metric = ?");
        get.bind(1, evaluation);
        get.bind(2, metric);
        std::vector<std::vector<double>> statistics;
        if (get.executeStep())
            statistics = parse_json(get.getColumn(0).getString(), file().string() + ", evaluation " + std::to_string(evaluation))
                             .get<std::vector<std::vector<double>>>();
        return statistics;
    });
}

void Store::put_artifact(const Claim& claim, const Artifact& artifact) {
    database_->write([&](SQLite::Database& db) {
        require_claim(db, claim);
        SQLite::Statement put(db, "INSERT OR REPLACE INTO artifacts (run, kind, path, sha256, bytes, added) VALUES (?, ?, ?, ?, ?, ?)");
        put.bind(1, claim.run);
        put.bind(2, artifact.kind);
        put.bind(3, artifact.path);
        put.bind(4, artifact.sha256);
        put.bind(5, artifact.bytes);
        put.bind(6, unix_now());
        put.exec();
    });
}

std::vector<Artifact> Store::artifacts(std::int64_t run) const {
    return database_->read([&](SQLite::Database& db) {
        SQLite::Statement get(db, "SELECT kind, path, sha256, bytes, added FROM artifacts WHERE run = ? ORDER BY kind, path");
        get.bind(1, run);
        std::vector<Artifact> rows;
        while (get.executeStep())
            rows.push_back({get.getColumn(0).getString(), get.getColumn(1).getString(), get.getColumn(2).getString(),
                            get.getColumn(3).getInt64(), get.getColumn(4).getDouble()});
        return rows;
    });
}

}  // namespace permille
