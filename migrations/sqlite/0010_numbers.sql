-- The highest number of any removed event. Retention may remove the newest event, and SQLite assigns the highest existing
-- number plus one, which would reuse its number. Numbers define the order of receipt: list positions, the range of a
-- replay and the order of upserts depend on them. (Numbers of webhooks may be reused: nothing refers to a removed one.)
CREATE TABLE forgotten (
    number INTEGER NOT NULL
) STRICT;
INSERT INTO forgotten SELECT max(
    coalesce((SELECT max(number) FROM events), 0),
    coalesce((SELECT max(up_to) FROM replays), 0));
