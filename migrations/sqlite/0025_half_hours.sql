-- What happened in each half hour, and what became of the events that were received in it. Both are written in the commit
-- that changes the events. Programs that do not know the table leave it behind the events; the next start corrects it.
CREATE TABLE half_hours (
    at            INTEGER NOT NULL, -- begin of the half hour
    source        TEXT    NOT NULL,
    -- What happened in it, never lowered. A state is counted in the half hour in which an event reached it.
    accepted      INTEGER NOT NULL DEFAULT 0, -- events that were stored
    delivered     INTEGER NOT NULL DEFAULT 0,
    ignored       INTEGER NOT NULL DEFAULT 0,
    held          INTEGER NOT NULL DEFAULT 0,
    dead          INTEGER NOT NULL DEFAULT 0,
    rejected      INTEGER NOT NULL DEFAULT 0, -- webhooks
    duplicates    INTEGER NOT NULL DEFAULT 0, -- events that had been stored before
    webhooks      INTEGER NOT NULL DEFAULT 0, -- verified webhooks of the sender, also those without a new event
    -- The events that were received in it and are stored, by their present state.
    now_queued    INTEGER NOT NULL DEFAULT 0,
    now_delivered INTEGER NOT NULL DEFAULT 0,
    now_ignored   INTEGER NOT NULL DEFAULT 0,
    now_held      INTEGER NOT NULL DEFAULT 0,
    now_dead      INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (at, source)
) STRICT, WITHOUT ROWID;
-- A new entry for each new row only: no change of a row touches it.
CREATE INDEX half_hours_of ON half_hours (source, at);
