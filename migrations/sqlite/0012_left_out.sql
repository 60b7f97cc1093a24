-- Fields that were left out of requests because Savio would not accept, or did not accept, their values. `events` has the
-- names of all of them; `requests` those that Savio rejected, which are removed from the body in the plan.
ALTER TABLE events ADD COLUMN left_out TEXT NOT NULL DEFAULT '[]'; -- a JSON array of names
ALTER TABLE requests ADD COLUMN left_out TEXT;                     -- a JSON array of names; null: none
ALTER TABLE replays ADD COLUMN left_out INTEGER;                   -- filter: 1 with, 0 without, null both
CREATE INDEX events_left_out ON events (source, state, received_at) WHERE left_out <> '[]';
