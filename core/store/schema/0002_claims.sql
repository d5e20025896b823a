-- Version 2. Every claim of a run has a number, and a run that a person stopped has a state of its own. The list of states is a constraint of
-- the table, which SQLite can only change by making the table anew; foreign keys are off meanwhile.

CREATE TABLE runs_new (
    id                   INTEGER PRIMARY KEY,
    study                INTEGER NOT NULL REFERENCES studies (id),
    key                  TEXT NOT NULL,
    spec                 TEXT NOT NULL,
    base                 TEXT NOT NULL,
    corpus               TEXT NOT NULL,
    source_language      TEXT NOT NULL,
    target_language      TEXT NOT NULL,
    method               TEXT NOT NULL,
    budget_percent       REAL,
    seed                 INTEGER NOT NULL,
    state                TEXT NOT NULL DEFAULT 'queued'
                         CHECK (state IN ('queued', 'running', 'interrupted', 'stopped', 'finished', 'failed', 'cancelled', 'skipped')),
    reason               TEXT NOT NULL DEFAULT '',
    stop_requested       INTEGER NOT NULL DEFAULT 0,
    host                 TEXT NOT NULL DEFAULT '',
    process              INTEGER NOT NULL DEFAULT 0,
    heartbeat            REAL NOT NULL DEFAULT 0,
    settings             TEXT NOT NULL DEFAULT '{}',
    trainable            INTEGER NOT NULL DEFAULT 0,
    percent_base         REAL NOT NULL DEFAULT 0,
    train_sentences      INTEGER NOT NULL DEFAULT 0,
    base_fingerprint     TEXT NOT NULL DEFAULT '',
    corpus_fingerprint   TEXT NOT NULL DEFAULT '',
    device               TEXT NOT NULL DEFAULT '',
    versions             TEXT NOT NULL DEFAULT '{}',
    folder               TEXT NOT NULL DEFAULT '',
    progress_doing       TEXT NOT NULL DEFAULT '',
    progress_done        INTEGER NOT NULL DEFAULT 0,
    progress_total       INTEGER NOT NULL DEFAULT 0,
    eta_seconds          REAL NOT NULL DEFAULT -1,
    updates_done         INTEGER NOT NULL DEFAULT 0,
    best_step            INTEGER,
    seconds              REAL NOT NULL DEFAULT 0,
    peak_memory_bytes    INTEGER NOT NULL DEFAULT 0,
    added                REAL NOT NULL,
    started              REAL,
    finished             REAL,
    claim                INTEGER NOT NULL DEFAULT 0,  -- number of the newest one; 0: never claimed since version 2
    UNIQUE (study, key)
);
INSERT INTO runs_new SELECT *, 0 FROM runs;
DROP TABLE runs;
ALTER TABLE runs_new RENAME TO runs;
CREATE INDEX runs_by_state ON runs (state);
