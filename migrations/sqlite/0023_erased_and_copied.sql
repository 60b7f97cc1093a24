-- When the data of the event was erased; null if it was not.
ALTER TABLE events ADD COLUMN erased_at INTEGER;
-- Id of the event that this one is an edited copy of; null for all others.
ALTER TABLE events ADD COLUMN copy_of BLOB;
