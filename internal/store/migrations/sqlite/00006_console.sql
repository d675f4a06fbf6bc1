-- Conventions as in 00001_init.sql. The console belongs to the whole installation, not
-- to one tenant, so its keys do not start with one.

-- +goose Up

-- Links that sign in once. A row goes when its link is taken.
CREATE TABLE console_links (
    secret_hash BLOB    NOT NULL CHECK (length(secret_hash) = 32),
    id          TEXT    NOT NULL CHECK (id <> ''),
    role        TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    PRIMARY KEY (secret_hash)
) STRICT;
CREATE INDEX console_links_expires ON console_links (expires_at);

-- Browsers that are signed in.
CREATE TABLE console_sessions (
    secret_hash BLOB    NOT NULL CHECK (length(secret_hash) = 32),
    id          TEXT    NOT NULL CHECK (id <> ''),
    role        TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    seen_at     INTEGER NOT NULL,
    PRIMARY KEY (secret_hash)
) STRICT;
CREATE INDEX console_sessions_expires ON console_sessions (expires_at);
