-- What was noted when the event's webhook was decoded, such as a text that is not in the character set that it declares.
-- `notes` are of its requests, and go with them when it is mapped anew.
ALTER TABLE events ADD COLUMN decoding_notes TEXT NOT NULL DEFAULT '[]'; -- a JSON array of texts
