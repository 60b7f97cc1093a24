-- What became of the events of each replay, counted when it happens. `followed` is the number of events that were queued with
-- `replay_of`; fewer than `replayed`, and a program that does not know these columns has queued some.
ALTER TABLE replays ADD COLUMN followed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE replays ADD COLUMN delivered INTEGER NOT NULL DEFAULT 0;
ALTER TABLE replays ADD COLUMN dead INTEGER NOT NULL DEFAULT 0;
ALTER TABLE replays ADD COLUMN ignored INTEGER NOT NULL DEFAULT 0;
ALTER TABLE replays ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
-- The id of the replay whose result the event still is to give: null once it settles. Not the replay's number, which may be
-- given again.
ALTER TABLE events ADD COLUMN replay_of BLOB;
-- Those that are listed first.
CREATE INDEX replays_running ON replays (number)
    WHERE ended = 0 OR waiting > 0 OR followed > given_back + delivered + dead + ignored + held;
