-- Events are listed by when they were received: of each source and state in order, without their bodies.
ALTER TABLE events ADD COLUMN received_at INTEGER NOT NULL DEFAULT 0;
UPDATE events SET received_at = (SELECT received_at FROM webhooks WHERE number = webhook);
CREATE INDEX events_listed ON events (source, state, received_at);

ALTER TABLE events ADD COLUMN replay INTEGER NOT NULL DEFAULT 0;   -- a person had it replayed: its next attempts say so
ALTER TABLE attempts ADD COLUMN replay INTEGER NOT NULL DEFAULT 0;

-- What a person ordered. It is carried out in steps, from the oldest event to the newest.
CREATE TABLE replays (
    number            INTEGER PRIMARY KEY,
    id                BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    ids               TEXT    NOT NULL, -- the filter: a JSON array of ids; [] means all
    state             TEXT,
    source            TEXT,
    since             INTEGER,
    until             INTEGER,
    text              TEXT,
    up_to             INTEGER NOT NULL, -- the last event's number then: what came after the order is not meant
    every             INTEGER NOT NULL, -- microseconds between two events
    begun_at          INTEGER NOT NULL,
    matched           INTEGER NOT NULL DEFAULT 0,
    replayed          INTEGER NOT NULL DEFAULT 0,
    waiting           INTEGER NOT NULL DEFAULT 0, -- rows of `replayed`: kept up to date
    given_back        INTEGER NOT NULL DEFAULT 0,
    after_received_at INTEGER,          -- the last event that was looked at
    after_number      INTEGER,
    canceled_at       INTEGER,
    ended             INTEGER NOT NULL DEFAULT 0 -- 0: there are steps to do
) STRICT;

CREATE INDEX replays_open ON replays (number) WHERE ended = 0;

-- Events of a replay that were not begun yet, and what they were before.
CREATE TABLE replayed (
    event      INTEGER PRIMARY KEY REFERENCES events (number) ON DELETE CASCADE,
    replay     INTEGER NOT NULL REFERENCES replays (number),
    state      TEXT    NOT NULL,
    reason     TEXT,
    queued_at  INTEGER NOT NULL,
    tries      INTEGER NOT NULL,
    settled_at INTEGER,
    replayed   INTEGER NOT NULL -- what `events.replay` was
) STRICT;

CREATE INDEX replayed_of ON replayed (replay, event);
