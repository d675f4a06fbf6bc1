-- Conventions as in 00001_init.sql. The console belongs to the whole installation, not
-- to one tenant, so its keys do not start with one.

-- +goose Up

-- Links that sign in once. A row goes when its link is taken.
CREATE TABLE console_links (
    secret_hash BYTEA  NOT NULL CHECK (octet_length(secret_hash) = 32),
    id          TEXT COLLATE "C" NOT NULL CHECK (id <> ''),
    role        TEXT COLLATE "C" NOT NULL,
    name        TEXT COLLATE "C" NOT NULL,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    PRIMARY KEY (secret_hash)
);
CREATE INDEX console_links_expires ON console_links (expires_at);

-- Browsers that are signed in.
CREATE TABLE console_sessions (
    secret_hash BYTEA  NOT NULL CHECK (octet_length(secret_hash) = 32),
    id          TEXT COLLATE "C" NOT NULL CHECK (id <> ''),
    role        TEXT COLLATE "C" NOT NULL,
    name        TEXT COLLATE "C" NOT NULL,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    seen_at     BIGINT NOT NULL,
    PRIMARY KEY (secret_hash)
);
CREATE INDEX console_sessions_expires ON console_sessions (expires_at);
