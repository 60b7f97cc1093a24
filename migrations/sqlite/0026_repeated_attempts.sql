-- One entry for each event with at least two attempts: an event that is delivered at once has none.
CREATE INDEX attempts_repeated ON attempts (event) WHERE number = 2;
