-- Which company or contact a request upserts, as a digest: an older event that has the same before it goes first.
-- Null where it upserts nothing, and in events that ended without it.
ALTER TABLE requests ADD COLUMN upsert BLOB;
CREATE INDEX requests_upserting ON requests (upsert, event)
    WHERE upsert IS NOT NULL AND state IN ('waiting', 'sending');
