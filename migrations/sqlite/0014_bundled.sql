-- The bundled sources that this relay has had: after an upgrade, the start table says which are new.
CREATE TABLE bundled_sources (
    name TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
