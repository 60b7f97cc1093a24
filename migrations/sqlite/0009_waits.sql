-- When, by the clock of that moment, the due time or the lease was set last. Where that is later than now, the clock
-- was set back, and both move back with it: no event waits longer than its own wait.
ALTER TABLE events ADD COLUMN waits_since INTEGER;
UPDATE events SET waits_since = coalesce(
    (SELECT max(at + ms * 1000) FROM attempts WHERE event = events.number AND at >= queued_at),
    (SELECT begun_at FROM replayed JOIN replays ON replays.number = replay WHERE event = events.number),
    queued_at)
WHERE state = 'queued';
