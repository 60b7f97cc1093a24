-- What people changed: one row for each action, kept for a year. No row has a word of a payload, a secret, or the address
-- of an erased person.
CREATE TABLE audit (
    number        INTEGER PRIMARY KEY,
    at            INTEGER NOT NULL,
    who           TEXT    NOT NULL, -- name of a token, of a person, or USER@HOST
    via           TEXT    NOT NULL, -- 'token', 'session', 'proxy' or 'cli'
    action        TEXT    NOT NULL,
    target        TEXT,             -- on what, such as 'source form'
    count         INTEGER,          -- how many
    detail        TEXT,
    digest_before TEXT,             -- of a mapping file
    digest_after  TEXT
) STRICT;
-- One for each combination of filters, so that a page is found without reading what does not match.
CREATE INDEX audit_listed ON audit (at);
CREATE INDEX audit_of_person ON audit (who, at);
CREATE INDEX audit_of_action ON audit (action, at);
CREATE INDEX audit_of_person_and_action ON audit (who, action, at);
-- The row in `audit` whose count grows with the replay; null for replays of older programs.
ALTER TABLE replays ADD COLUMN audit INTEGER;
