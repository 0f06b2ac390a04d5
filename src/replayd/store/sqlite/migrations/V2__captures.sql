-- Streams: what a worker of a proxy sends, in numbers without gaps. They outlive their captures.
CREATE TABLE streams (
    id         INTEGER PRIMARY KEY,
    epoch      BLOB NOT NULL UNIQUE,  -- 16 random bytes
    instance   TEXT NOT NULL,
    worker     INTEGER NOT NULL,
    first_at   INTEGER NOT NULL,      -- Unix milliseconds
    last_at    INTEGER NOT NULL,      -- Unix milliseconds
    ledger     BLOB NOT NULL,         -- wire: Ledger
    duplicates INTEGER NOT NULL,
    ended      INTEGER NOT NULL       -- 1 = it said goodbye
) STRICT;

-- Numbers of a stream that were stored once, whatever became of them since; ranges neither touch nor overlap.
CREATE TABLE ranges (
    stream INTEGER NOT NULL,
    first  INTEGER NOT NULL,
    last   INTEGER NOT NULL,
    PRIMARY KEY (stream, first)
) STRICT, WITHOUT ROWID;

-- What lists show; bodies and headers are in payloads, so that a list reads little.
CREATE TABLE captures (
    id             INTEGER PRIMARY KEY,
    stream         INTEGER,            -- null = imported
    seq            INTEGER NOT NULL,
    exchange       INTEGER NOT NULL,   -- an ending's beginning that did not come yet; 0 = none
    state          INTEGER NOT NULL,   -- wire: State
    reason         TEXT NOT NULL,
    method         TEXT NOT NULL,
    scheme         TEXT NOT NULL,
    authority      TEXT NOT NULL,
    target         TEXT NOT NULL,
    status         INTEGER NOT NULL,   -- 0 = none
    began_at       INTEGER NOT NULL,   -- Unix milliseconds
    began_us       INTEGER NOT NULL,   -- microseconds of the stream's clock
    ended_us       INTEGER NOT NULL,   -- 0 = not seen
    route          TEXT NOT NULL,
    cluster        TEXT NOT NULL,
    principal      TEXT NOT NULL,
    client         TEXT NOT NULL,
    peer           TEXT NOT NULL,
    protocol       TEXT NOT NULL,
    request_id     TEXT NOT NULL,
    labels         TEXT NOT NULL,      -- JSON array of strings
    boot_id        TEXT NOT NULL,
    not_replayable TEXT NOT NULL,
    request_bytes  INTEGER NOT NULL,
    response_bytes INTEGER NOT NULL,
    truncated      INTEGER NOT NULL,
    redacted       INTEGER NOT NULL,
    received_at    INTEGER NOT NULL,   -- Unix milliseconds
    bytes          INTEGER NOT NULL,   -- of the payload
    origin         BLOB,               -- of an imported one, where it was seen first: epoch | u64be seq; null = unknown
    sealed         INTEGER NOT NULL    -- values in the payload
) STRICT;

CREATE INDEX captures_began_at ON captures (began_at);
CREATE INDEX captures_status ON captures (status);
-- Those whose end may still come: begun, forwarded, unknown.
CREATE INDEX captures_open ON captures (stream, seq) WHERE state IN (1, 2, 5);
CREATE UNIQUE INDEX captures_origin ON captures (origin) WHERE origin IS NOT NULL;
CREATE INDEX captures_lone ON captures (stream, exchange) WHERE exchange > 0;

-- Both halves of a capture.
CREATE TABLE payloads (
    id      INTEGER PRIMARY KEY,  -- of the capture
    payload BLOB NOT NULL         -- protobuf: 1 request, 2 response, 3 sealed
) STRICT;

-- One row: sums over captures, and the last number that was given.
CREATE TABLE capture_totals (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    count   INTEGER NOT NULL,
    bytes   INTEGER NOT NULL,
    last_id INTEGER NOT NULL
) STRICT;
INSERT INTO capture_totals VALUES (1, 0, 0, 0);

-- Captures that a replay still needs: they are not deleted.
CREATE TABLE pins (
    replay  INTEGER NOT NULL,
    capture INTEGER NOT NULL,
    PRIMARY KEY (capture, replay)
) STRICT, WITHOUT ROWID;
CREATE INDEX pins_replay ON pins (replay);

-- Secrets of this installation that all filters get.
CREATE TABLE secrets (
    id         INTEGER PRIMARY KEY,
    kind       TEXT NOT NULL,     -- redaction or signature
    value      BLOB NOT NULL,     -- 32 random bytes
    created_at INTEGER NOT NULL   -- Unix milliseconds
) STRICT;

-- Every boot of an upstream cluster that was heard of; the last one counts.
CREATE TABLE boots (
    id      INTEGER PRIMARY KEY,
    cluster TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    seen_at INTEGER NOT NULL,     -- Unix milliseconds
    closed  INTEGER NOT NULL,     -- 1 = not restored yet
    UNIQUE (cluster, boot_id)
) STRICT;
