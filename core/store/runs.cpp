// The runs of a Store: queue, claim, heartbeat, end, and what they measured step by step.
#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "core/store/database.h"

namespace permille {

namespace {

constexpr std::array<std::string_view, 7> kStates = {"queued", "running", "interrupted", "finished", "failed", "cancelled", "skipped"};

bool process_is_gone(std::int64_t process) { return process > 0 && kill(static_cast<pid_t>(process), 0) != 0 && errno == ESRCH; }

// How the score of a run is found; the rest of the query follows.
constexpr const char* kSelectRuns =
    "SELECT runs.*, scores.metric, scores.signature, scores.score AS run_score, scores.low, scores.high, scores.evaluation AS scored "
    "FROM runs JOIN studies ON studies.id = runs.study "
    "LEFT JOIN evaluations ON evaluations.run = runs.id AND evaluations.split = 'test' "
    "LEFT JOIN scores ON scores.evaluation = evaluations.id AND scores.position = 0 ";

RunRow row_from(SQLite::Statement& get, const std::filesystem::path& file) {
    const auto text = [&](const char* column) { return get.getColumn(column).getString(); };
    const auto whole = [&](const char* column) { return get.getColumn(column).getInt64(); };
    const auto real = [&](const char* column) { return get.getColumn(column).getDouble(); };
    RunRow row;
    row.id = whole("id");
    const std::string where = file.string() + ", run " + std::to_string(row.id);
    row.spec = RunSpec::from_json(parse_json(text("spec"), where), where);
    row.key = text("key");
    row.state = run_state(text("state"), where);
    row.reason = text("reason");
    row.facts = {parse_json(text("settings"), where),
                 whole("trainable"),
                 real("percent_base"),
                 whole("train_sentences"),
                 text("base_fingerprint"),
                 text("corpus_fingerprint"),
                 text("device"),
                 parse_json(text("versions"), where),
                 text("folder")};
    row.progress = {text("progress_doing"), whole("progress_done"), whole("progress_total"), real("eta_seconds")};
    row.updates_done = whole("updates_done");
    if (!get.getColumn("best_step").isNull()) row.best_step = whole("best_step");
    if (!get.getColumn("scored").isNull())
        row.score = Score{text("metric"), text("signature"), number_or_nan(get.getColumn("run_score")),
                          optional_number(get.getColumn("low")), optional_number(get.getColumn("high"))};
    row.added = real("added");
    row.heartbeat = real("heartbeat");
    row.started = optional_number(get.getColumn("started"));
    row.finished = optional_number(get.getColumn("finished"));
    row.seconds = real("seconds");
    row.peak_memory_bytes = whole("peak_memory_bytes");
    row.host = text("host");
    row.process = whole("process");
    return row;
}

std::int64_t find_or_add_run(SQLite::Database& db, const RunSpec& spec) {
    const std::int64_t study = study_id(db, spec.study, {});
    const std::string key = spec.key();
    SQLite::Statement find(db, "SELECT id FROM runs WHERE study = ? AND key = ?");
    find.bind(1, study);
    find.bind(2, key);
    if (find.executeStep()) return find.getColumn(0).getInt64();
    SQLite::Statement add(
        db,
        "INSERT INTO runs (study, key, spec, base, corpus, source_language, target_language, method, budget_percent, seed, added) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    add.bind(1, study);
    add.bind(2, key);
    add.bind(3, dumped(spec.to_json()));
    add.bind(4, spec.base);
    add.bind(5, spec.corpus);
    add.bind(6, spec.source_language);
    add.bind(7, spec.target_language);
    add.bind(8, spec.method);
    bind_optional(add, 9, spec.budget_percent);
    add.bind(10, spec.seed);
    add.bind(11, unix_now());
    add.exec();
    return db.getLastInsertRowid();
}

}  // namespace

std::string_view to_string(RunState state) { return kStates[static_cast<std::size_t>(state)]; }

RunState run_state(const std::string& name, const std::string& where) {
    const auto found = std::find(kStates.begin(), kStates.end(), name);
    if (found == kStates.end())
        throw Error(ErrorKind::config, where, "'" + name + "' is not a state of a run",
                    "the states are " + list_some({kStates.begin(), kStates.end()}));
    return static_cast<RunState>(found - kStates.begin());
}

WorkerId WorkerId::here() {
    char host[256] = {};
    gethostname(host, sizeof host - 1);
    return {host, getpid()};
}

std::int64_t Store::add_run(const RunSpec& spec) { return add_runs({spec}).front(); }

std::vector<std::int64_t> Store::add_runs(const std::vector<RunSpec>& specs) {
    return database_->write([&](SQLite::Database& db) {
        std::vector<std::int64_t> ids;
        for (const auto& spec : specs) ids.push_back(find_or_add_run(db, spec));
        return ids;
    });
}

RunRow Store::run(std::int64_t id) const {
    return database_->read([&](SQLite::Database& db) {
        SQLite::Statement get(db, std::string(kSelectRuns) + "WHERE runs.id = ?");
        get.bind(1, id);
        if (!get.executeStep())
            throw Error(ErrorKind::database, file().string(), "there is no run " + std::to_string(id), "permille results lists the runs");
        return row_from(get, file());
    });
}

std::vector<RunRow> Store::runs(const RunFilter& filter) const {
    return database_->read([&](SQLite::Database& db) {
        std::string condition = "WHERE 1";
        std::vector<std::string> values;
        const auto equals = [&](const char* column, const std::string& value) {
            condition += std::string(" AND ") + column + " = ?";
            values.push_back(value);
        };
        if (filter.study) equals("studies.name", *filter.study);
        if (!filter.base.empty()) equals("runs.base", filter.base);
        if (!filter.corpus.empty()) equals("runs.corpus", filter.corpus);
        if (!filter.method.empty()) equals("runs.method", filter.method);
        if (!filter.states.empty()) {
            condition += " AND runs.state IN (";
            for (std::size_t i = 0; i < filter.states.size(); ++i)
                condition += (i ? ", '" : "'") + std::string(to_string(filter.states[i])) + "'";
            condition += ")";
        }
        if (filter.after_id) condition += " AND runs.id > " + std::to_string(*filter.after_id);
        SQLite::Statement get(db, kSelectRuns + condition + " ORDER BY runs.id");
        for (std::size_t i = 0; i < values.size(); ++i) get.bind(static_cast<int>(i + 1), values[i]);
        std::vector<RunRow> rows;
        while (get.executeStep()) rows.push_back(row_from(get, file()));
        return rows;
    });
}

bool Store::claim(std::int64_t id, const WorkerId& worker) {
    return database_->read([&](SQLite::Database& db) {
        SQLite::Statement take(
            db,
            "UPDATE runs SET state = 'running', reason = '', stop_requested = 0, host = ?2, process = ?3, heartbeat = ?4, "
            "started = COALESCE(started, ?4), finished = NULL, progress_doing = '', progress_done = 0, progress_total = 0, "
            "eta_seconds = -1 WHERE id = ?1 AND state IN ('queued', 'interrupted')");
        take.bind(1, id);
        take.bind(2, worker.host);
        take.bind(3, worker.process);
        take.bind(4, unix_now());
        return take.exec() == 1;
    });
}

bool Store::requeue(std::int64_t id) {
    return database_->read([&](SQLite::Database& db) {
        SQLite::Statement change(db,
                                 "UPDATE runs SET state = 'queued', reason = '', stop_requested = 0, process = 0, finished = NULL "
                                 "WHERE id = ? AND state IN ('failed', 'cancelled', 'skipped', 'interrupted')");
        change.bind(1, id);
        return change.exec() == 1;
    });
}

bool Store::set_state(std::int64_t id, RunState state, const std::string& reason) {
    if (state != RunState::cancelled && state != RunState::skipped)
        throw Error(ErrorKind::internal, "Store::set_state", "a run cannot be set to " + std::string(to_string(state)));
    return database_->read([&](SQLite::Database& db) {
        SQLite::Statement change(db,
                                 "UPDATE runs SET state = ?2, reason = ?3, process = 0, finished = ?4 "
                                 "WHERE id = ?1 AND state IN ('queued', 'interrupted')");
        change.bind(1, id);
        change.bind(2, std::string(to_string(state)));
        change.bind(3, reason);
        change.bind(4, unix_now());
        return change.exec() == 1;
    });
}

bool Store::heartbeat(std::int64_t id, const Progress& progress, std::int64_t updates_done, const WorkerId& worker) {
    return database_->read([&](SQLite::Database& db) {
        SQLite::Statement beat(
            db,
            "UPDATE runs SET state = 'running', reason = '', heartbeat = ?4, progress_doing = ?5, progress_done = ?6, "
            "progress_total = ?7, eta_seconds = ?8, updates_done = ?9 "
            "WHERE id = ?1 AND host = ?2 AND process = ?3 AND state IN ('running', 'interrupted') RETURNING stop_requested");
        beat.bind(1, id);
        beat.bind(2, worker.host);
        beat.bind(3, worker.process);
        beat.bind(4, unix_now());
        beat.bind(5, progress.doing);
        beat.bind(6, progress.done);
        beat.bind(7, progress.total);
        beat.bind(8, progress.eta_seconds);
        beat.bind(9, updates_done);
        if (!beat.executeStep()) return false;
        const bool stop = beat.getColumn(0).getInt() != 0;
        beat.executeStep();
        return !stop;
    });
}

void Store::request_stop(std::int64_t id) {
    database_->read([&](SQLite::Database& db) {
        SQLite::Statement change(db, "UPDATE runs SET stop_requested = 1 WHERE id = ? AND state = 'running'");
        change.bind(1, id);
        change.exec();
    });
}

void Store::describe_run(std::int64_t id, const RunFacts& facts) {
    database_->read([&](SQLite::Database& db) {
        SQLite::Statement change(
            db,
            "UPDATE runs SET settings = ?2, trainable = ?3, percent_base = ?4, train_sentences = ?5, base_fingerprint = ?6, "
            "corpus_fingerprint = ?7, device = ?8, versions = ?9, folder = ?10 WHERE id = ?1");
        change.bind(1, id);
        change.bind(2, dumped(facts.settings));
        change.bind(3, facts.trainable);
        change.bind(4, facts.percent_base);
        change.bind(5, facts.train_sentences);
        change.bind(6, facts.base_fingerprint);
        change.bind(7, facts.corpus_fingerprint);
        change.bind(8, facts.device);
        change.bind(9, dumped(facts.versions));
        change.bind(10, facts.folder);
        change.exec();
    });
}

bool Store::end_run(std::int64_t id, const RunOutcome& outcome, const WorkerId& worker) {
    if (outcome.state == RunState::queued || outcome.state == RunState::running)
        throw Error(ErrorKind::internal, "Store::end_run", "a run cannot end as " + std::string(to_string(outcome.state)));
    return database_->read([&](SQLite::Database& db) {
        SQLite::Statement change(
            db,
            "UPDATE runs SET state = ?4, reason = ?5, updates_done = ?6, best_step = ?7, seconds = seconds + ?8, "
            "peak_memory_bytes = MAX(peak_memory_bytes, ?9), finished = ?10, stop_requested = 0, process = 0, eta_seconds = -1 "
            "WHERE id = ?1 AND host = ?2 AND process = ?3 AND state IN ('running', 'interrupted')");
        change.bind(1, id);
        change.bind(2, worker.host);
        change.bind(3, worker.process);
        change.bind(4, std::string(to_string(outcome.state)));
        change.bind(5, outcome.reason);
        change.bind(6, outcome.updates_done);
        if (outcome.best_step) change.bind(7, *outcome.best_step);
        else change.bind(7);
        change.bind(8, outcome.seconds);
        change.bind(9, outcome.peak_memory_bytes);
        if (outcome.state == RunState::interrupted) change.bind(10);
        else change.bind(10, unix_now());
        return change.exec() == 1;
    });
}

int Store::mark_interrupted(double after_seconds) {
    return database_->write([&](SQLite::Database& db) {
        const std::string here = WorkerId::here().host;
        const double oldest = unix_now() - after_seconds;
        SQLite::Statement running(db, "SELECT id, host, process, heartbeat FROM runs WHERE state = 'running'");
        SQLite::Statement change(db, "UPDATE runs SET state = 'interrupted', reason = ?2, eta_seconds = -1 WHERE id = ?1");
        int changed = 0;
        while (running.executeStep()) {
            const bool gone = running.getColumn(1).getString() == here && process_is_gone(running.getColumn(2).getInt64());
            if (!gone && running.getColumn(3).getDouble() >= oldest) continue;
            change.bind(1, running.getColumn(0).getInt64());
            change.bind(2, std::string(gone ? "its process ended without a word" : "its process gives no sign of life"));
            change.exec();
            change.reset();
            ++changed;
        }
        return changed;
    });
}

void Store::add_step_metrics(std::int64_t run, const std::vector<StepMetric>& metrics) {
    if (metrics.empty()) return;
    database_->write([&](SQLite::Database& db) {
        SQLite::Statement put(
            db, "INSERT OR REPLACE INTO step_metrics (run, name, step, value, not_a_number) VALUES (?1, ?2, ?3, ?4, ?4 IS NULL)");
        for (const auto& metric : metrics) {
            put.bind(1, run);
            put.bind(2, metric.name);
            put.bind(3, metric.step);
            bind_number(put, 4, metric.value);
            put.exec();
            put.reset();
        }
    });
}

void Store::drop_step_metrics(std::int64_t run, std::int64_t after_step) {
    database_->read([&](SQLite::Database& db) {
        SQLite::Statement drop(db, "DELETE FROM step_metrics WHERE run = ? AND step > ?");
        drop.bind(1, run);
        drop.bind(2, after_step);
        drop.exec();
    });
}

std::vector<StepMetric> Store::step_metrics(std::int64_t run, const std::string& name, std::int64_t after_step) const {
    return database_->read([&](SQLite::Database& db) {
        SQLite::Statement get(db,
                              "SELECT step, name, value FROM step_metrics WHERE run = ?1 AND (?2 = '' OR name = ?2) AND step > ?3 "
                              "ORDER BY step, name");
        get.bind(1, run);
        get.bind(2, name);
        get.bind(3, after_step);
        std::vector<StepMetric> metrics;
        while (get.executeStep())
            metrics.push_back({get.getColumn(0).getInt64(), get.getColumn(1).getString(), number_or_nan(get.getColumn(2))});
        return metrics;
    });
}

}  // namespace permille
