-- Who is sent alerts, and what each was sent of which issue: so that nothing is sent twice.
CREATE TABLE alert_targets (
    name       TEXT    PRIMARY KEY,
    scope      TEXT    NOT NULL, -- the issues that it gets; another scope is another target
    first_seen INTEGER NOT NULL,
    hour_began INTEGER NOT NULL,
    messages   INTEGER NOT NULL  -- in that hour
) STRICT, WITHOUT ROWID;

-- Rows go with their issue.
CREATE TABLE told_issues (
    issue    BLOB    NOT NULL CHECK (length(issue) = 16),
    target   TEXT    NOT NULL,
    is_open  INTEGER NOT NULL CHECK (is_open IN (0, 1)), -- whether the last message said so
    at       INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    PRIMARY KEY (issue, target)
) STRICT, WITHOUT ROWID;
