-- What an event says whose mapping failed, as far as the rest of the mapping gives it: such an event has no plan.
ALTER TABLE events ADD COLUMN headline TEXT; -- as in plans
