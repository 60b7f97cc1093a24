-- Events that were claimed but not mapped when the process ended: mapping one of them may have crashed it. Rows are
-- written only after such an end, and are removed when the event is mapped. The row of an event that became dead because
-- of crashes is kept, so that a replay maps it alone as well.
CREATE TABLE suspects (
    event  INTEGER PRIMARY KEY REFERENCES events (number) ON DELETE CASCADE,
    deaths INTEGER NOT NULL DEFAULT 0, -- number of crashes while only this event was being mapped
    marked INTEGER NOT NULL DEFAULT 0  -- 1: the event is being mapped, and no other
) STRICT;
