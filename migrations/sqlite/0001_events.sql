-- Times are microseconds since 1970, UTC: SELECT datetime(queued_at / 1000000, 'unixepoch') FROM events;
-- Ids are 16 bytes: SELECT hex(id) FROM events;

PRAGMA application_id = 0x53617652; -- "SavR": tells this file from those of other programs

CREATE TABLE webhooks (
    number      INTEGER PRIMARY KEY,
    source      TEXT    NOT NULL,
    received_at INTEGER NOT NULL,
    headers     TEXT    NOT NULL, -- a JSON object
    decoded     TEXT,             -- the body as JSON, where it came as something else
    body        BLOB    NOT NULL
) STRICT;

CREATE TABLE events (
    number        INTEGER PRIMARY KEY, -- in order of receipt
    id            BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    webhook       INTEGER NOT NULL REFERENCES webhooks (number),
    payload_start INTEGER NOT NULL,    -- bytes of the webhook's decoded, else of its body
    payload_end   INTEGER NOT NULL,
    source        TEXT    NOT NULL,
    type          TEXT,
    delivery_id   TEXT,
    state         TEXT    NOT NULL CHECK (state IN ('queued', 'delivered', 'ignored', 'held', 'dead')),
    reason        TEXT,
    notes         TEXT    NOT NULL DEFAULT '[]', -- a JSON array of texts
    queued_at     INTEGER NOT NULL,    -- giving up counts from here
    due_at        INTEGER,
    tries         INTEGER NOT NULL DEFAULT 0, -- attempts that failed in a row
    token         INTEGER NOT NULL DEFAULT 0, -- of the last claim
    lease_until   INTEGER,             -- null: nobody works on it
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

-- What the mapping made of an event; none before it was applied. Written once, apart from what changes often.
CREATE TABLE plans (
    event    INTEGER PRIMARY KEY REFERENCES events (number) ON DELETE CASCADE,
    requests TEXT    NOT NULL -- [{"request": "feedback", "body": {...}}, ...]
) STRICT;

CREATE TABLE requests (
    event      INTEGER NOT NULL REFERENCES plans (event) ON DELETE CASCADE,
    position   INTEGER NOT NULL, -- in the plan, from 0
    state      TEXT    NOT NULL CHECK (state IN ('waiting', 'sending', 'done', 'refused')),
    sent_at    INTEGER,          -- when the last send began
    savio_id   TEXT,             -- JSON
    may_repeat INTEGER NOT NULL DEFAULT 0, -- an earlier send may have arrived
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

-- How many events a source has in a state: kept up to date, since counting takes long.
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
