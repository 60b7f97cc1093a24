-- Times are microseconds since the Unix epoch (UTC): SELECT datetime(queued_at / 1000000, 'unixepoch') FROM events;
-- Ids are 16 bytes: SELECT hex(id) FROM events;

PRAGMA application_id = 0x53617652; -- "SavR": identifies the file as a savio-relay database

CREATE TABLE webhooks (
    number      INTEGER PRIMARY KEY,
    source      TEXT    NOT NULL,
    received_at INTEGER NOT NULL,
    headers     TEXT    NOT NULL, -- a JSON object
    decoded     TEXT,             -- the body converted to JSON; null if it was JSON
    body        BLOB    NOT NULL
) STRICT;

CREATE TABLE events (
    number        INTEGER PRIMARY KEY, -- ascending in order of receipt
    id            BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    webhook       INTEGER NOT NULL REFERENCES webhooks (number),
    payload_start INTEGER NOT NULL,    -- byte offset in the webhook's decoded, otherwise in its body
    payload_end   INTEGER NOT NULL,
    source        TEXT    NOT NULL,
    type          TEXT,
    delivery_id   TEXT,
    state         TEXT    NOT NULL CHECK (state IN ('queued', 'delivered', 'ignored', 'held', 'dead')),
    reason        TEXT,
    notes         TEXT    NOT NULL DEFAULT '[]', -- a JSON array of texts
    queued_at     INTEGER NOT NULL,    -- only attempts since then count for giving up
    due_at        INTEGER,
    tries         INTEGER NOT NULL DEFAULT 0, -- consecutive failed attempts
    token         INTEGER NOT NULL DEFAULT 0, -- fencing token of the last claim
    lease_until   INTEGER,             -- null: not claimed
    settled_at    INTEGER,
    CHECK ((state = 'queued') = (due_at IS NOT NULL)),
    CHECK (state = 'queued' OR lease_until IS NULL),
    CHECK ((state IN ('delivered', 'ignored', 'dead')) = (settled_at IS NOT NULL))
) STRICT;

CREATE UNIQUE INDEX events_delivery ON events (source, delivery_id) WHERE delivery_id IS NOT NULL;
CREATE INDEX events_due ON events (source, due_at) WHERE state = 'queued' AND lease_until IS NULL;
CREATE INDEX events_leased ON events (lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX events_settled ON events (settled_at) WHERE settled_at IS NOT NULL;
CREATE INDEX events_webhook ON events (webhook);

-- The mapped requests of an event; no row before it is mapped. They are written once, so they are separate from
-- columns that change often.
CREATE TABLE plans (
    event    INTEGER PRIMARY KEY REFERENCES events (number) ON DELETE CASCADE,
    requests TEXT    NOT NULL -- [{"request": "feedback", "body": {...}}, ...]
) STRICT;

CREATE TABLE requests (
    event      INTEGER NOT NULL REFERENCES plans (event) ON DELETE CASCADE,
    position   INTEGER NOT NULL, -- index in the plan, from 0
    state      TEXT    NOT NULL CHECK (state IN ('waiting', 'sending', 'done', 'refused')),
    sent_at    INTEGER,          -- start of the last attempt
    savio_id   TEXT,             -- JSON
    may_repeat INTEGER NOT NULL DEFAULT 0, -- 1: an earlier attempt may have succeeded
    PRIMARY KEY (event, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempts (
    event      INTEGER NOT NULL REFERENCES events (number) ON DELETE CASCADE,
    number     INTEGER NOT NULL, -- from 1
    position   INTEGER NOT NULL, -- of the request
    at         INTEGER NOT NULL,
    outcome    TEXT    NOT NULL,
    status     INTEGER,
    ms         INTEGER NOT NULL,
    detail     TEXT,
    savio_id   TEXT,             -- JSON
    may_repeat INTEGER NOT NULL,
    PRIMARY KEY (event, number)
) STRICT, WITHOUT ROWID;

-- Number of events per source and state, maintained incrementally because counting rows is slow.
CREATE TABLE counts (
    source TEXT    NOT NULL,
    state  TEXT    NOT NULL,
    events INTEGER NOT NULL,
    PRIMARY KEY (source, state)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER events_counted AFTER INSERT ON events BEGIN
    INSERT INTO counts VALUES (new.source, new.state, 1) ON CONFLICT DO UPDATE SET events = events + 1;
END;

CREATE TRIGGER events_recounted AFTER UPDATE OF state ON events WHEN new.state <> old.state BEGIN
    UPDATE counts SET events = events - 1 WHERE source = old.source AND state = old.state;
    INSERT INTO counts VALUES (new.source, new.state, 1) ON CONFLICT DO UPDATE SET events = events + 1;
END;

CREATE TRIGGER events_discounted AFTER DELETE ON events BEGIN
    UPDATE counts SET events = events - 1 WHERE source = old.source AND state = old.state;
END;
