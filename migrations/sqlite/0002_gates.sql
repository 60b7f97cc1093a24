-- State of each destination (pause, backoff, circuit breaker, rate limit), and the sources paused by a person.
CREATE TABLE gates (
    name  TEXT PRIMARY KEY, -- 'destination NAME' or 'sources'
    state TEXT NOT NULL     -- JSON
) STRICT, WITHOUT ROWID;
