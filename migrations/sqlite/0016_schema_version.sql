-- The version of these tables: the number of the last migration. Since this one, PRAGMA user_version is the oldest
-- version whose programs can use the database, so that a program of one release before works with it. All programs
-- refuse a database whose user_version is above their own last migration.
CREATE TABLE schema_version (
    version INTEGER NOT NULL
) STRICT;
INSERT INTO schema_version (version) VALUES (16);
