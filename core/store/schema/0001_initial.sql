-- Version 1. Times are seconds since 1970 (UTC). A number that may be "not a number" is NULL with its flag set, because SQL has no NaN.

CREATE TABLE bases (
    name        TEXT PRIMARY KEY NOT NULL,
    path        TEXT NOT NULL,
    family      TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    parameters  INTEGER NOT NULL,
    languages   TEXT NOT NULL,              -- JSON array of codes
    added       REAL NOT NULL
);

CREATE TABLE corpora (
    name            TEXT PRIMARY KEY NOT NULL,
    source_language TEXT NOT NULL,
    target_language TEXT NOT NULL,
    path            TEXT NOT NULL,
    fingerprint     TEXT NOT NULL,
    train_sentences INTEGER NOT NULL,
    valid_sentences INTEGER NOT NULL,
    test_sentences  INTEGER NOT NULL,
    licence         TEXT NOT NULL,
    details         TEXT NOT NULL,          -- JSON object: origin, checksums, counts per cleaning reason
    added           REAL NOT NULL
);

CREATE TABLE studies (
    id    INTEGER PRIMARY KEY,
    name  TEXT NOT NULL UNIQUE,             -- '' gathers the single runs
    yaml  TEXT NOT NULL,
    added REAL NOT NULL
);

CREATE TABLE runs (
    id                   INTEGER PRIMARY KEY,
    study                INTEGER NOT NULL REFERENCES studies (id),
    key                  TEXT NOT NULL,     -- RunSpec::key()
    spec                 TEXT NOT NULL,     -- JSON, all that is needed to repeat the run
    base                 TEXT NOT NULL,     -- base to seed: copies out of the spec, for queries
    corpus               TEXT NOT NULL,
    source_language      TEXT NOT NULL,
    target_language      TEXT NOT NULL,
    method               TEXT NOT NULL,
    budget_percent       REAL,
    seed                 INTEGER NOT NULL,
    state                TEXT NOT NULL DEFAULT 'queued'
                         CHECK (state IN ('queued', 'running', 'interrupted', 'finished', 'failed', 'cancelled', 'skipped')),
    reason               TEXT NOT NULL DEFAULT '',
    stop_requested       INTEGER NOT NULL DEFAULT 0,
    host                 TEXT NOT NULL DEFAULT '',
    process              INTEGER NOT NULL DEFAULT 0,
    heartbeat            REAL NOT NULL DEFAULT 0,
    settings             TEXT NOT NULL DEFAULT '{}',  -- knobs as solved
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
    UNIQUE (study, key)
);
CREATE INDEX runs_by_state ON runs (state);

CREATE TABLE step_metrics (
    run          INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    step         INTEGER NOT NULL,
    value        REAL,
    not_a_number INTEGER NOT NULL CHECK (not_a_number = (value IS NULL)),
    PRIMARY KEY (run, name, step)
) WITHOUT ROWID;

-- Sources and references of a translated test set, once for all evaluations on it.
CREATE TABLE test_sets (
    fingerprint TEXT PRIMARY KEY NOT NULL,  -- sha256 of every source NUL reference NUL
    sentences   INTEGER NOT NULL
);

CREATE TABLE segments (
    test_set  TEXT NOT NULL REFERENCES test_sets (fingerprint) ON DELETE CASCADE,
    line      INTEGER NOT NULL,             -- from 1
    source    TEXT NOT NULL,
    reference TEXT NOT NULL,
    PRIMARY KEY (test_set, line)
) WITHOUT ROWID;

CREATE TABLE evaluations (
    id        INTEGER PRIMARY KEY,
    run       INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    split     TEXT NOT NULL,
    test_set  TEXT NOT NULL REFERENCES test_sets (fingerprint),
    sentences INTEGER NOT NULL,
    seconds   REAL NOT NULL,
    added     REAL NOT NULL,
    UNIQUE (run, split)
);

CREATE TABLE scores (
    evaluation   INTEGER NOT NULL REFERENCES evaluations (id) ON DELETE CASCADE,
    metric       TEXT NOT NULL,
    position     INTEGER NOT NULL,          -- 0: the main metric
    signature    TEXT NOT NULL,
    score        REAL,
    not_a_number INTEGER NOT NULL CHECK (not_a_number = (score IS NULL)),
    low          REAL,
    high         REAL,
    statistics   TEXT NOT NULL DEFAULT '[]',  -- JSON: per sentence the metric's own list of figures
    PRIMARY KEY (evaluation, metric)
);

CREATE TABLE hypotheses (
    evaluation      INTEGER NOT NULL REFERENCES evaluations (id) ON DELETE CASCADE,
    line            INTEGER NOT NULL,       -- that of the segment
    text            TEXT NOT NULL,
    log_probability REAL,
    PRIMARY KEY (evaluation, line)
) WITHOUT ROWID;

CREATE TABLE artifacts (
    run    INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    kind   TEXT NOT NULL,
    path   TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    bytes  INTEGER NOT NULL,
    added  REAL NOT NULL,
    PRIMARY KEY (run, kind, path)
);
