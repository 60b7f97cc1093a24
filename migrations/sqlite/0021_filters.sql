-- The filter of a replay, if the other columns cannot hold it; a program that does not know this column finds no event by
-- those.
ALTER TABLE replays ADD COLUMN filter TEXT; -- JSON

-- Indexes that have no entry for an ordinary event, for lists of the others. Intake writes the first for imported events
-- only.
CREATE INDEX events_imported ON events (source, state, received_at) WHERE rank = 1;
CREATE INDEX events_repeating ON events (number) WHERE may_repeat = 1;
CREATE INDEX requests_repeating ON requests (event) WHERE may_repeat = 1;
CREATE INDEX attempts_many ON attempts (event) WHERE number = 4; -- one entry for each event with at least four
