-- A replay can select several sources: those of a destination.
ALTER TABLE replays ADD COLUMN sources TEXT; -- a JSON array of names; null means all
UPDATE replays SET sources = json_array(source) WHERE source IS NOT NULL;
ALTER TABLE replays DROP COLUMN source;
