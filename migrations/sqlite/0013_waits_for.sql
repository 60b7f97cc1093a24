-- The number of the event that this one waits for, if it was recorded; see `reason`.
ALTER TABLE events ADD COLUMN waits_for INTEGER;
CREATE INDEX events_waiting ON events (source) WHERE waits_for IS NOT NULL;
