-- The texts of mapping files that were in service, each once, and from when each was: a text that goes back into service
-- is a new version with the text of before. An event has the number of the version by which it was mapped.
CREATE TABLE mapping_texts (
    digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32), -- SHA-256 of the file's bytes
    text   TEXT NOT NULL
) STRICT;
CREATE TABLE mapping_versions (
    number INTEGER PRIMARY KEY, -- the highest of a source is its last; it is never removed, so no number is used again
    source TEXT    NOT NULL,
    digest BLOB    NOT NULL,
    since  INTEGER NOT NULL
) STRICT;
CREATE INDEX mapping_versions_of ON mapping_versions (source);
CREATE INDEX mapping_versions_with ON mapping_versions (digest, source);
-- Null: not mapped, or by a program that did not record it. An event that is only received has no entry in the index.
ALTER TABLE events ADD COLUMN mapping INTEGER;
CREATE INDEX events_mapped ON events (mapping) WHERE mapping IS NOT NULL;
