-- Webhooks that were rejected: equal ones that came within a minute are one row. No row has a word of a body or the value of
-- a header.
CREATE TABLE rejections (
    number   INTEGER PRIMARY KEY,
    source   TEXT    NOT NULL,
    first_at INTEGER NOT NULL,
    at       INTEGER NOT NULL, -- the last of them
    status   INTEGER NOT NULL,
    error    TEXT    NOT NULL,
    reason   TEXT    NOT NULL,
    hint     TEXT    NOT NULL, -- for the operator only; '' for none
    client   TEXT    NOT NULL, -- '' for none
    bytes    INTEGER NOT NULL, -- of the first one's body
    headers  TEXT    NOT NULL, -- a JSON array of the names of the first one's headers
    count    INTEGER NOT NULL,
    UNIQUE (source, first_at, error, hint, client) -- what a row is: one that is written again replaces itself
) STRICT;
CREATE INDEX rejections_listed ON rejections (at);
CREATE INDEX rejections_of ON rejections (source, at);
