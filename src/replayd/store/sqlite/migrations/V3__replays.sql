-- Replays. What they were asked and how far they are is the application's, as JSON.
CREATE TABLE replays (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    target     TEXT NOT NULL,     -- the origin of the target's URL
    holds      INTEGER NOT NULL,  -- 1 = it has the target: it runs, or will without being asked again
    state      TEXT NOT NULL,
    spec       TEXT NOT NULL,     -- JSON
    progress   TEXT NOT NULL,     -- JSON
    started_by TEXT NOT NULL,
    created_at INTEGER NOT NULL   -- Unix milliseconds
) STRICT;
-- One replay a target.
CREATE UNIQUE INDEX replays_lease ON replays (target) WHERE holds = 1;

-- Steps, in the order in which they were planned.
CREATE TABLE steps (
    replay          INTEGER NOT NULL,
    at              INTEGER NOT NULL,  -- counts from 0
    capture         INTEGER NOT NULL,
    method          TEXT NOT NULL,
    target          TEXT NOT NULL,
    recorded_status INTEGER NOT NULL,  -- 0 = none
    began_us        INTEGER NOT NULL,  -- when it began, by the clock `clock`
    ended_us        INTEGER NOT NULL,  -- 0 = not seen
    clock           INTEGER NOT NULL,
    keyed           INTEGER NOT NULL,  -- what mode per_key keeps in order: a hash, as signed number
    state           INTEGER NOT NULL,  -- 0 planned, 1 sent, 2 answered, 3 in doubt, 4 skipped
    attempt         INTEGER NOT NULL,
    status          INTEGER NOT NULL,  -- 0 = none
    matched         INTEGER NOT NULL,  -- 0 = unknown, 1 = as it was, 2 = differs
    late_us         INTEGER NOT NULL,  -- -1 = unknown
    latency_us      INTEGER NOT NULL,  -- -1 = unknown
    detail          TEXT NOT NULL,     -- JSON array of strings, or empty
    PRIMARY KEY (replay, at)
) STRICT, WITHOUT ROWID;

-- What the automatic mapping learned from a step's response.
CREATE TABLE bindings (
    replay INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    value  BLOB NOT NULL,
    PRIMARY KEY (replay, at)
) STRICT, WITHOUT ROWID;

-- The ledger: what a boot of a target has from restores, or may have, so that it does not get it again.
CREATE TABLE restored (
    target  TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    capture INTEGER NOT NULL,
    is_sure INTEGER NOT NULL,  -- 0 = it was sent, and nobody saw the response
    PRIMARY KEY (target, boot_id, capture)
) STRICT, WITHOUT ROWID;

-- Boots of targets, and when replays heard of them first.
CREATE TABLE target_boots (
    target  TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    seen_at INTEGER NOT NULL,  -- Unix milliseconds
    PRIMARY KEY (target, boot_id)
) STRICT, WITHOUT ROWID;
