-- Lists events by time of receipt, for each source and state, without reading their webhooks.
ALTER TABLE events ADD COLUMN received_at INTEGER NOT NULL DEFAULT 0;
UPDATE events SET received_at = (SELECT received_at FROM webhooks WHERE number = webhook);
CREATE INDEX events_listed ON events (source, state, received_at);

ALTER TABLE events ADD COLUMN replay INTEGER NOT NULL DEFAULT 0;   -- 1: replayed by a person; marks the next attempts
ALTER TABLE attempts ADD COLUMN replay INTEGER NOT NULL DEFAULT 0;

-- Replays that were requested. They are executed in steps, from the oldest event to the newest.
CREATE TABLE replays (
    number            INTEGER PRIMARY KEY,
    id                BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    ids               TEXT    NOT NULL, -- the filter: a JSON array of ids; [] means all
    state             TEXT,
    source            TEXT,
    since             INTEGER,
    until             INTEGER,
    text              TEXT,
    up_to             INTEGER NOT NULL, -- number of the last event at the time of the request; later events are excluded
    every             INTEGER NOT NULL, -- microseconds between two events
    begun_at          INTEGER NOT NULL,
    matched           INTEGER NOT NULL DEFAULT 0,
    replayed          INTEGER NOT NULL DEFAULT 0,
    waiting           INTEGER NOT NULL DEFAULT 0, -- number of rows in `replayed`, maintained incrementally
    given_back        INTEGER NOT NULL DEFAULT 0,
    after_received_at INTEGER,          -- position: the last event that was processed
    after_number      INTEGER,
    canceled_at       INTEGER,
    ended             INTEGER NOT NULL DEFAULT 0 -- 0: steps remain
) STRICT;

CREATE INDEX replays_open ON replays (number) WHERE ended = 0;

-- Events of a replay that have not been started, with their previous state, to restore it on cancellation.
CREATE TABLE replayed (
    event      INTEGER PRIMARY KEY REFERENCES events (number) ON DELETE CASCADE,
    replay     INTEGER NOT NULL REFERENCES replays (number),
    state      TEXT    NOT NULL,
    reason     TEXT,
    queued_at  INTEGER NOT NULL,
    tries      INTEGER NOT NULL,
    settled_at INTEGER,
    replayed   INTEGER NOT NULL -- previous value of `events.replay`
) STRICT;

CREATE INDEX replayed_of ON replayed (replay, event);
