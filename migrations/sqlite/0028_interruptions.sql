-- The times in which nothing could be sent to a destination.
CREATE TABLE interruptions (
    number      INTEGER PRIMARY KEY, -- ascending in the order in which they began
    destination TEXT    NOT NULL,
    kind        TEXT    NOT NULL,    -- 'paused_by_person', 'paused_by_answer', 'no_token', 'backoff' or 'breaker'
    reason      TEXT    NOT NULL,
    began_at    INTEGER NOT NULL,
    ended_at    INTEGER,             -- null: it goes on; of a backoff, when it is to end
    waiting     INTEGER NOT NULL     -- queued events of the destination's sources when it was last written
) STRICT;
CREATE INDEX interruptions_of ON interruptions (destination, number);
