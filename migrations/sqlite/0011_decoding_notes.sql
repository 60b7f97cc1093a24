-- Notes from decoding the webhook, such as a text that does not match its declared character set. They are separate from
-- `notes`, which belong to the requests and are replaced when the event is mapped again.
ALTER TABLE events ADD COLUMN decoding_notes TEXT NOT NULL DEFAULT '[]'; -- a JSON array of texts
