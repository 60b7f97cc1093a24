-- The causes for which events died: where they stopped, Savio's status, and the reason without what differs between events or
-- is quoted. No row has a word of a payload.
CREATE TABLE causes (
    number INTEGER PRIMARY KEY,
    kind   TEXT    NOT NULL UNIQUE, -- digest of the rest
    stage  TEXT,
    status INTEGER,
    reason TEXT    NOT NULL
) STRICT;
-- The cause of a dead event, and when it died by it. Another `settled_at`, or none here: a program that does not know causes
-- has written the event, and maintenance gives it its cause. Queued again, it keeps both until it is settled anew.
ALTER TABLE events ADD COLUMN cause INTEGER;
ALTER TABLE events ADD COLUMN cause_at INTEGER;
-- Each dead event has an entry in one of them; no other event has.
CREATE INDEX events_dead ON events (cause, source, settled_at, cause_at, state) WHERE state = 'dead' AND cause_at = settled_at;
CREATE INDEX events_without_cause ON events (number) WHERE state = 'dead' AND cause_at IS NOT settled_at;
CREATE INDEX replayed_dead ON replayed (event) WHERE state = 'dead';
