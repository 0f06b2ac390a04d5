-- The life of this data, over restarts and upgrades: one row.
CREATE TABLE instance (
    one             INTEGER PRIMARY KEY CHECK (one = 1),
    id              TEXT NOT NULL,     -- 32 hex digits
    created_at      INTEGER NOT NULL,  -- Unix milliseconds
    last_started_at INTEGER NOT NULL,  -- Unix milliseconds
    version         TEXT NOT NULL      -- of the replayd that started last
) STRICT;
