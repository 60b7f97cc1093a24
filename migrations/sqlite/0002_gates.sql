-- The state of each destination (paused, held back, breaker, rate), and the sources that a person paused.
CREATE TABLE gates (
    name  TEXT PRIMARY KEY, -- 'destination NAME' or 'sources'
    state TEXT NOT NULL     -- JSON
) STRICT, WITHOUT ROWID;
