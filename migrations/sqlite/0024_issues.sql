-- What a person should know, from when it opens to when it closes. Closed ones are kept for a while. No row has a word of a
-- payload.
CREATE TABLE issues (
    number      INTEGER PRIMARY KEY,
    id          BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    kind        TEXT    NOT NULL,
    key         TEXT    NOT NULL, -- tells the issues of a kind apart
    open_as     TEXT UNIQUE,      -- 'KIND KEY' while it is open: one issue of a key is open at a time
    source      TEXT,
    destination TEXT,
    event_type  TEXT,
    block       TEXT,
    field       TEXT,
    text        TEXT    NOT NULL,
    reason      TEXT,
    hint        TEXT,
    advice      TEXT    NOT NULL,
    opened_at   INTEGER NOT NULL,
    last_at     INTEGER NOT NULL,
    count       INTEGER NOT NULL,
    unit        TEXT    NOT NULL,
    steps       TEXT    NOT NULL, -- [{"at": "...", "count": 3}, ...]: half hours
    muted_by    TEXT,             -- null: not muted
    muted_until INTEGER,          -- null: until it closes
    muted_note  TEXT,
    closed_at   INTEGER,
    outcome     TEXT
) STRICT;
CREATE INDEX issues_open ON issues (opened_at) WHERE closed_at IS NULL;
CREATE INDEX issues_closed ON issues (closed_at) WHERE closed_at IS NOT NULL;

-- The half hours in which the relay ran, with the sources that were live and not paused then: only in these can a source be
-- silent.
CREATE TABLE live_half_hours (
    at      INTEGER PRIMARY KEY,
    sources TEXT NOT NULL -- a JSON array of names
) STRICT;
