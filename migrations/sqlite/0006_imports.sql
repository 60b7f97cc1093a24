-- What a person imported waits behind what was sent: each rank's own end of the index tells what is due.
ALTER TABLE events ADD COLUMN rank INTEGER NOT NULL DEFAULT 0; -- 0: it was sent; 1: it was imported
DROP INDEX events_due;
CREATE INDEX events_due ON events (source, rank, due_at) WHERE state = 'queued' AND lease_until IS NULL;
