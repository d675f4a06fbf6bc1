-- Conventions as in 00001_init.sql.

-- +goose Up

-- As in PostgreSQL, where it has a reason. Here there is one part, 0.
CREATE TABLE hits_in_parts (
    tenant     TEXT    NOT NULL CHECK (tenant <> ''),
    limit_name TEXT    NOT NULL,
    key_hash   BLOB    NOT NULL,
    minute     INTEGER NOT NULL,
    part       INTEGER NOT NULL,
    count      INTEGER NOT NULL,
    PRIMARY KEY (tenant, limit_name, key_hash, minute, part)
) STRICT, WITHOUT ROWID;
INSERT INTO hits_in_parts SELECT tenant, limit_name, key_hash, minute, 0, count FROM hits;
DROP TABLE hits;
ALTER TABLE hits_in_parts RENAME TO hits;
CREATE INDEX hits_minute ON hits (tenant, minute);
