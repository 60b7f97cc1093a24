-- The highest number that an event ever had, as far as its row is gone: retention removes the newest too, and SQLite
-- gives the number after the highest that it finds. Numbers are the order of receipt: places in lists, what a replay is
-- meant for, and the order of upserts go by them. (Numbers of webhooks may come again: nothing refers to one that is gone.)
CREATE TABLE forgotten (
    number INTEGER NOT NULL
) STRICT;
INSERT INTO forgotten SELECT max(
    coalesce((SELECT max(number) FROM events), 0),
    coalesce((SELECT max(up_to) FROM replays), 0));
