-- The blocks of the mapping file that ran for an event of the sender, and the fields that each filled and missed, as bits:
-- [["feedback[0] 1f3a9c0d", 515, 4], ...]. Null for replays, imports, copies and tests, and where an older program wrote it.
ALTER TABLE plans ADD COLUMN made_by TEXT;
