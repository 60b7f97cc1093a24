-- The counts are kept up to date once per commit, which costs less than two triggers for each event.
DROP TRIGGER events_counted;
DROP TRIGGER events_recounted;
DROP TRIGGER events_discounted;
