// The schema of a Faultline database, as numbered migrations. Migration n takes user_version n-1 to n;
// a published one never changes, the next one is appended.
#pragma once

#include <array>

namespace faultline::harness {

/// PRAGMA application_id of our databases ("FLTL"), so that another program's SQLite file is refused.
inline constexpr int application_id = 0x464C544C;

inline constexpr std::array migrations = {
    // 1: subjects, runs, cases, results, divergences, and what a run counted.
    R"sql(
CREATE TABLE subjects (
    id                INTEGER PRIMARY KEY,
    backend           TEXT NOT NULL,
    version           TEXT NOT NULL,
    module            TEXT NOT NULL,
    module_parameters TEXT NOT NULL,
    cpu               TEXT NOT NULL,
    UNIQUE (backend, version, module, module_parameters, cpu)
);
CREATE TABLE runs (
    id              INTEGER PRIMARY KEY,
    command         TEXT NOT NULL,            -- "explore" or "run"
    seed            TEXT NOT NULL,            -- decimal; SQLite has no unsigned 64-bit integer
    weights_version INTEGER NOT NULL,
    stage_version   INTEGER NOT NULL,
    shard_index     INTEGER NOT NULL DEFAULT 0,
    shard_count     INTEGER NOT NULL DEFAULT 1,
    programs        INTEGER NOT NULL DEFAULT 0,
    started         TEXT NOT NULL,            -- UTC, ISO 8601
    finished        TEXT,                     -- null while running, or when killed
    status          TEXT NOT NULL             -- "running", "complete", "interrupted"
);
CREATE TABLE cases (
    id    INTEGER PRIMARY KEY,
    hash  TEXT NOT NULL UNIQUE,
    world TEXT NOT NULL,
    mode  TEXT NOT NULL,
    text  TEXT NOT NULL
);
CREATE TABLE results (
    id         INTEGER PRIMARY KEY,
    run_id     INTEGER NOT NULL REFERENCES runs,
    case_id    INTEGER NOT NULL REFERENCES cases,
    subject_id INTEGER NOT NULL REFERENCES subjects,
    case_index INTEGER NOT NULL,
    verdict    TEXT NOT NULL,
    signature  TEXT,                          -- the first divergence's
    reason     TEXT,
    outcome    TEXT NOT NULL,
    tape       TEXT NOT NULL
);
CREATE INDEX results_run ON results (run_id, verdict);
CREATE TABLE divergences (
    id              INTEGER PRIMARY KEY,
    run_id          INTEGER NOT NULL REFERENCES runs,
    case_id         INTEGER NOT NULL REFERENCES cases,
    subject_id      INTEGER NOT NULL REFERENCES subjects,
    rule            TEXT NOT NULL,
    other_rules     TEXT NOT NULL,            -- blank separated
    signature       TEXT NOT NULL,
    title           TEXT NOT NULL,
    expected        TEXT NOT NULL,
    seen            TEXT NOT NULL,
    minimal_case_id INTEGER NOT NULL REFERENCES cases,
    minimal_tape    TEXT NOT NULL,            -- of the minimal case, on a fresh machine
    case_index      INTEGER NOT NULL,
    occurrences     INTEGER NOT NULL,
    first_seen      TEXT NOT NULL,
    last_seen       TEXT NOT NULL,
    status          TEXT NOT NULL,            -- "new" or "known"
    known           TEXT,                     -- the entry of corpora/known that accepts it
    UNIQUE (run_id, subject_id, signature)
);
CREATE TABLE tallies (                        -- how many programs got which verdict, passes included
    run_id     INTEGER NOT NULL REFERENCES runs,
    subject_id INTEGER NOT NULL REFERENCES subjects,
    verdict    TEXT NOT NULL,
    programs   INTEGER NOT NULL,
    PRIMARY KEY (run_id, subject_id, verdict)
) WITHOUT ROWID;
CREATE TABLE rule_use (
    run_id     INTEGER NOT NULL REFERENCES runs,
    subject_id INTEGER NOT NULL REFERENCES subjects,
    rule       TEXT NOT NULL,
    applied    INTEGER NOT NULL,
    decisive   INTEGER NOT NULL,
    PRIMARY KEY (run_id, subject_id, rule)
) WITHOUT ROWID;
)sql",
    // 2: what a run's programs are about, and which ops go with which rule: the next run's weights follow it.
    R"sql(
ALTER TABLE runs ADD COLUMN profile TEXT NOT NULL DEFAULT 'long64 cpl0 cpl3';
ALTER TABLE runs ADD COLUMN steering TEXT NOT NULL DEFAULT '';   -- JSON: weights other than the version's own
CREATE TABLE rule_ops (                       -- of sampled programs: rule decisive, op in the program
    run_id   INTEGER NOT NULL REFERENCES runs,
    rule     TEXT NOT NULL,
    op       TEXT NOT NULL,                   -- mnemonic, or "mode:prot32"
    programs INTEGER NOT NULL,
    PRIMARY KEY (run_id, rule, op)
) WITHOUT ROWID;
)sql",
    // 3: several known causes may look alike, and what none of them explains may look like them.
    R"sql(
CREATE TABLE divergences_3 (
    id              INTEGER PRIMARY KEY,
    run_id          INTEGER NOT NULL REFERENCES runs,
    case_id         INTEGER NOT NULL REFERENCES cases,
    subject_id      INTEGER NOT NULL REFERENCES subjects,
    rule            TEXT NOT NULL,
    other_rules     TEXT NOT NULL,            -- blank separated
    signature       TEXT NOT NULL,
    title           TEXT NOT NULL,
    expected        TEXT NOT NULL,
    seen            TEXT NOT NULL,
    minimal_case_id INTEGER NOT NULL REFERENCES cases,
    minimal_tape    TEXT NOT NULL,            -- of the minimal case, on a fresh machine
    case_index      INTEGER NOT NULL,
    occurrences     INTEGER NOT NULL,
    first_seen      TEXT NOT NULL,
    last_seen       TEXT NOT NULL,
    status          TEXT NOT NULL,            -- "new" or "known"
    known           TEXT                      -- the entry of corpora/known that accepts it
);
INSERT INTO divergences_3 SELECT * FROM divergences;
DROP TABLE divergences;
ALTER TABLE divergences_3 RENAME TO divergences;
CREATE UNIQUE INDEX divergences_cause ON divergences (run_id, subject_id, signature, ifnull(known, ''));
)sql",
};

inline constexpr int schema_version = static_cast<int>(migrations.size());

}  // namespace faultline::harness
