-- Fields that were left out of requests since Savio would not take their values, or did not: of the event all of their
-- names; of a request those that Savio refused, which its body in the plan has not any more.
ALTER TABLE events ADD COLUMN left_out TEXT NOT NULL DEFAULT '[]'; -- a JSON array of names
ALTER TABLE requests ADD COLUMN left_out TEXT;                     -- a JSON array of names; null: none
ALTER TABLE replays ADD COLUMN left_out INTEGER;                   -- of the filter: 1 with, 0 without, null both
CREATE INDEX events_left_out ON events (source, state, received_at) WHERE left_out <> '[]';
