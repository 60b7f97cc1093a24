-- What the event says, by whom and for which company, in one line each; null if an older program mapped it, since that
-- can be made of the requests. In this table, since it is replaced and deleted with them.
ALTER TABLE plans ADD COLUMN headline TEXT; -- {"summary": "...", "who": "...", "company": null}
