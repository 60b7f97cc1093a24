-- Sessions of browsers at the admin API. Of the random id in the cookie and of the token only digests are kept.
CREATE TABLE sessions (
    digest  BLOB PRIMARY KEY,     -- SHA-256 of the id in the cookie
    via     TEXT NOT NULL,        -- how it began: token, link, proxy
    name    TEXT NOT NULL,        -- of the token, or of the proxy's user
    role    TEXT,                 -- of a login link; null: that of the token or of the user at present
    bound   BLOB NOT NULL,        -- digest of what it ends with: a token, a user of the proxy
    made_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
