-- Digest of the company or contact that a request upserts. Upserts of the same record are sent in order of receipt.
-- Null if the request is not an upsert, or if the event was settled without it.
ALTER TABLE requests ADD COLUMN upsert BLOB;
CREATE INDEX requests_upserting ON requests (upsert, event)
    WHERE upsert IS NOT NULL AND state IN ('waiting', 'sending');
