-- Time at which the due time or the lease was last set. If it is in the future, the clock was set back: both times are
-- moved back by the difference, so that no event waits longer than intended.
ALTER TABLE events ADD COLUMN waits_since INTEGER;
UPDATE events SET waits_since = coalesce(
    (SELECT max(at + ms * 1000) FROM attempts WHERE event = events.number AND at >= queued_at),
    (SELECT begun_at FROM replayed JOIN replays ON replays.number = replay WHERE event = events.number),
    queued_at)
WHERE state = 'queued';
