-- Imported events are delivered after live events: with the rank in the index, each rank's next due event is found
-- directly.
ALTER TABLE events ADD COLUMN rank INTEGER NOT NULL DEFAULT 0; -- 0: live; 1: imported
DROP INDEX events_due;
CREATE INDEX events_due ON events (source, rank, due_at) WHERE state = 'queued' AND lease_until IS NULL;
