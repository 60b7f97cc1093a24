-- Events that were claimed and not mapped yet when the process ended: mapping one of them may have ended it. Nothing is
-- written here while all is well; a row goes with the plan. Of one that died of it the row stays, for a replay.
CREATE TABLE suspects (
    event  INTEGER PRIMARY KEY REFERENCES events (number) ON DELETE CASCADE,
    deaths INTEGER NOT NULL DEFAULT 0, -- how often the process ended while this event was being mapped alone
    marked INTEGER NOT NULL DEFAULT 0  -- 1: it is being mapped alone
) STRICT;
