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

constexpr std::array<std::string_view, 8> kStates = {"queued",   "running", "interrupted", "stopped",
                                                     "finished", "failed",  "cancelled",   "skipped"};

bool process_is_gone(std::int64_t process) { return process > 0 && kill(static_cast<pid_t>(process), 0) != 0 && errno == ESRCH; }

// How the score of a run is found; the rest of the query follows. ?1: its metric, "" for the main one.
constexpr const char* kSelectRuns =
    "SELECT runs.*, scores.metric, scores.signature, scores.score AS run_score, scores.low, scores.high, scores.evaluation AS scored "
    "FROM runs JOIN studies ON studies.id = runs.study "
    "LEFT JOIN evaluations ON evaluations.run = runs.id AND evaluations.split = 'test' "
    "LEFT JOIN scores ON scores.evaluation = evaluations.id AND CASE ?1 WHEN '' THEN scores.position = 0 ELSE scores.metric = ?1 END ";

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
    row.claim = whole("claim");
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

void require_claim(SQLite::Database& db, const Claim& claim) {
    SQLite::Statement find(db, "SELECT 1 FROM runs WHERE id = ? AND claim = ? AND state IN ('running', 'interrupted')");
    find.bind(1, claim.run);
    find.bind(2, claim.number);
    if (!find.executeStep()) throw ClaimLost();
}

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
        SQLite::Statement get(db, std::string(kSelectRuns) + "WHERE runs.id = ?2");
        get.bind(1, "");
        get.bind(2, id);
        if (!get.executeStep())
            throw Error(ErrorKind::database, file().string(), "there is no run " + std::to_string(id), "permille results lists the runs");
        return row_from(get, file());
    });
}

std::vector<RunRow> Store::runs(const RunFilter& filter) const {
    return database_->read([&](SQLite::Database& db) {
        std::string condition = "WHERE 1";
        std::vector<std::string> values = {filter.metric};
        const auto equals = [&](const char* column, const std::string& value) {
            values.push_back(value);
            condition += std::string(" AND ") + column + " = ?" + std::to_string(values.size());
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

std::optional<Claim> Store::claim(std::int64_t id, const WorkerId& worker) {
    return database_->read([&](SQLite::Database& db) -> std::optional<Claim> {
        SQLite::Statement take(
            db,
            "UPDATE runs SET state = 'running', reason = '', claim = claim + 1, stop_requested = 0, host = ?2, process = ?3, "
            "heartbeat = ?4, started = COALESCE(started, ?4), finished = NULL, progress_doing = '', progress_done = 0, progress_total = 0, "
            "eta_seconds = -1 WHERE id = ?1 AND state IN ('queued', 'interrupted') RETURNING claim");
        take.bind(1, id);
        take.bind(2, worker.host);
        take.bind(3, worker.process);
        take.bind(4, unix_now());
        if (!take.executeStep()) return std::nullopt;
        const Claim claim{id, take.getColumn(0).getInt64()};
        take.executeStep();
        return claim;
    });
}

bool Store::requeue(std::int64_t id) {
    return database_->read([&](SQLite::Database& db) {
        SQLite::Statement change(db,
                                 "UPDATE runs SET state = 'queued', reason = '', stop_requested = 0, process = 0, finished = NULL "
                                 "WHERE id = ? AND state IN ('failed', 'cancelled', 'skipped', 'stopped', 'interrupted')");
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
                                 "WHERE id = ?1 AND state IN ('queued', 'interrupted', 'stopped')");
        change.bind(1, id);
        change.bind(2, std::string(to_string(state)));
        change.bind(3, reason);
        change.bind(4, unix_now());
        return change.exec() == 1;
    });
}

void Store::request_stop(std::int64_t id) {
    database_->read([&](SQLite::Database& db) {
        SQLite::Statement change(db,
                                 "UPDATE runs SET stop_requested = 1, "
                                 "state = CASE state WHEN 'interrupted' THEN 'stopped' ELSE state END "
                                 "WHERE id = ? AND state IN ('running', 'interrupted')");
        change.bind(1, id);
        change.exec();
    });
}

Beat Store::heartbeat(const Claim& claim, const Progress& progress, std::int64_t updates_done) {
    return database_->read([&](SQLite::Database& db) {
        SQLite::Statement beat(db,
                               "UPDATE runs SET state = 'running', reason = '', heartbeat = ?3, progress_doing = ?4, progress_done = ?5, "
                               "progress_total = ?6, eta_seconds = ?7, updates_done = ?8 "
                               "WHERE id = ?1 AND claim = ?2 AND state IN ('running', 'interrupted') RETURNING stop_requested");
        beat.bind(1, claim.run);
        beat.bind(2, claim.number);
        beat.bind(3, unix_now());
        beat.bind(4, progress.doing);
        beat.bind(5, progress.done);
        beat.bind(6, progress.total);
        beat.bind(7, progress.eta_seconds);
        beat.bind(8, updates_done);
        if (!beat.executeStep()) throw ClaimLost();
        const bool stop = beat.getColumn(0).getInt() != 0;
        beat.executeStep();
        return stop ? Beat::stop : Beat::go_on;
    });
}

void Store::describe_run(const Claim& claim, const RunFacts& facts) {
    database_->read([&](SQLite::Database& db) {
        SQLite::Statement change(
            db,
            "UPDATE runs SET settings = ?3, trainable = ?4, percent_base = ?5, train_sentences = ?6, base_fingerprint = ?7, "
            "corpus_fingerprint = ?8, device = ?9, versions = ?10, folder = ?11 "
            "WHERE id = ?1 AND claim = ?2 AND state IN ('running', 'interrupted')");
        change.bind(1, claim.run);
        change.bind(2, claim.number);
        change.bind(3, dumped(facts.settings));
        change.bind(4, facts.trainable);
        change.bind(5, facts.percent_base);
        change.bind(6, facts.train_sentences);
        change.bind(7, facts.base_fingerprint);
        change.bind(8, facts.corpus_fingerprint);
        change.bind(9, facts.device);
        change.bind(10, dumped(facts.versions));
        change.bind(11, facts.folder);
        if (change.exec() == 0) throw ClaimLost();
    });
}

void Store::end_run(const Claim& claim, const RunOutcome& outcome) {
    if (outcome.state == RunState::queued || outcome.state == RunState::running)
        throw Error(ErrorKind::internal, "Store::end_run", "a run cannot end as " + std::string(to_string(outcome.state)));
    database_->read([&](SQLite::Database& db) {
        SQLite::Statement change(
            db,
            "UPDATE runs SET state = ?3, reason = ?4, updates_done = ?5, best_step = COALESCE(?6, best_step), seconds = seconds + ?7, "
            "peak_memory_bytes = MAX(peak_memory_bytes, ?8), finished = ?9, stop_requested = 0, process = 0, eta_seconds = -1 "
            "WHERE id = ?1 AND claim = ?2 AND state IN ('running', 'interrupted')");
        change.bind(1, claim.run);
        change.bind(2, claim.number);
        change.bind(3, std::string(to_string(outcome.state)));
        change.bind(4, outcome.reason);
        change.bind(5, outcome.updates_done);
        if (outcome.best_step) change.bind(6, *outcome.best_step);
        else change.bind(6);
        change.bind(7, outcome.seconds);
        change.bind(8, outcome.peak_memory_bytes);
        if (outcome.state == RunState::interrupted || outcome.state == RunState::stopped) change.bind(9);
        else change.bind(9, unix_now());
        if (change.exec() == 0) throw ClaimLost();
    });
}

int Store::mark_interrupted(double after_seconds) {
    const std::string here = WorkerId::here().host;
    const double oldest = unix_now() - after_seconds;
    // Workers that wait ask every second: the write lock is for when there is something to write.
    const bool any = database_->read([&](SQLite::Database& db) {
        SQLite::Statement running(db, "SELECT host, process, heartbeat FROM runs WHERE state = 'running'");
        while (running.executeStep())
            if (running.getColumn(2).getDouble() < oldest ||
                (running.getColumn(0).getString() == here && process_is_gone(running.getColumn(1).getInt64())))
                return true;
        return false;
    });
    if (!any) return 0;
    return database_->write([&](SQLite::Database& db) {
        SQLite::Statement running(db, "SELECT id, host, process, heartbeat FROM runs WHERE state = 'running'");
        SQLite::Statement change(db,
                                 "UPDATE runs SET state = CASE stop_requested WHEN 1 THEN 'stopped' ELSE 'interrupted' END, reason = ?2, "
                                 "eta_seconds = -1 WHERE id = ?1");
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

void Store::add_step_metrics(const Claim& claim, const std::vector<StepMetric>& metrics) {
    if (metrics.empty()) return;
    database_->write([&](SQLite::Database& db) {
        require_claim(db, claim);
        SQLite::Statement put(
            db, "INSERT OR REPLACE INTO step_metrics (run, name, step, value, not_a_number) VALUES (?1, ?2, ?3, ?4, ?4 IS NULL)");
        for (const auto& metric : metrics) {
            put.bind(1, claim.run);
            put.bind(2, std::string(to_string(metric.figure)));
            put.bind(3, metric.step);
            bind_number(put, 4, metric.value);
            put.exec();
            put.reset();
        }
    });
}

void Store::drop_step_metrics(const Claim& claim, std::int64_t after_step) {
    database_->write([&](SQLite::Database& db) {
        require_claim(db, claim);
        SQLite::Statement drop(db, "DELETE FROM step_metrics WHERE run = ? AND step > ?");
        drop.bind(1, claim.run);
        drop.bind(2, after_step);
        drop.exec();
    });
}

std::vector<StepMetric> Store::step_metrics(std::int64_t run, std::optional<StepFigure> figure, std::int64_t after_step) const {
    return database_->read([&](SQLite::Database& db) {
        SQLite::Statement get(db,
                              "SELECT step, name, value FROM step_metrics WHERE run = ?1 AND (?2 = '' OR name = ?2) AND step > ?3 "
                              "ORDER BY step, name");
        get.bind(1, run);
        get.bind(2, figure ? std::string(to_string(*figure)) : std::string());
        get.bind(3, after_step);
        std::vector<StepMetric> metrics;
        while (get.executeStep())
            if (const auto known = step_figure(get.getColumn(1).getString()))
                metrics.push_back({get.getColumn(0).getInt64(), *known, number_or_nan(get.getColumn(2))});
        return metrics;
    });
}

}  // namespace permille
