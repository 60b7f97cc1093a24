-- 1: the event was queued or held in a backup that was restored, so all of its requests may have been sent after the
-- backup was made. Requests that it is mapped to later are marked by it.
ALTER TABLE events ADD COLUMN may_repeat INTEGER NOT NULL DEFAULT 0;
