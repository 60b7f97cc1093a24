-- The writer now updates the counts once per commit, which is cheaper than two triggers for each event.
DROP TRIGGER events_counted;
DROP TRIGGER events_recounted;
DROP TRIGGER events_discounted;
