-- Conventions as in 00001_init.sql.

-- +goose Up

CREATE TABLE messages (
    tenant  TEXT    NOT NULL CHECK (tenant <> ''),
    id      TEXT    NOT NULL CHECK (id <> ''),
    type    TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    sealed  BLOB,
    PRIMARY KEY (tenant, id)
) STRICT;
CREATE INDEX messages_at ON messages (tenant, at, id);
CREATE INDEX messages_subject ON messages (tenant, subject) WHERE subject <> '';

-- Where messages go; document is what deliveries.Endpoint says as JSON.
CREATE TABLE endpoints (
    tenant        TEXT    NOT NULL CHECK (tenant <> ''),
    id            TEXT    NOT NULL CHECK (id <> ''),
    version       INTEGER NOT NULL,
    document      TEXT    NOT NULL CHECK (document <> ''),
    sealed        BLOB,
    failing_since INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT;

-- One message to one endpoint, which may be gone. once says that it is neither a replay
-- nor a test.
CREATE TABLE deliveries (
    tenant     TEXT    NOT NULL CHECK (tenant <> ''),
    id         TEXT    NOT NULL CHECK (id <> ''),
    version    INTEGER NOT NULL,
    message    TEXT    NOT NULL,
    endpoint   TEXT    NOT NULL,
    type       TEXT    NOT NULL,
    state      TEXT    NOT NULL,
    reason     TEXT    NOT NULL,
    attempts   INTEGER NOT NULL,
    next_at    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    ended_at   INTEGER NOT NULL,
    replay     INTEGER NOT NULL CHECK (replay IN (0, 1)),
    test       INTEGER NOT NULL CHECK (test IN (0, 1)),
    once       INTEGER NOT NULL CHECK (once = (replay = 0 AND test = 0)),
    PRIMARY KEY (tenant, id)
) STRICT;
CREATE UNIQUE INDEX deliveries_once ON deliveries (tenant, message, endpoint) WHERE once;
CREATE INDEX deliveries_message ON deliveries (tenant, message, state);
CREATE INDEX deliveries_endpoint ON deliveries (tenant, endpoint, id);
CREATE INDEX deliveries_state ON deliveries (tenant, state, id);

CREATE TABLE delivery_attempts (
    tenant   TEXT    NOT NULL CHECK (tenant <> ''),
    delivery TEXT    NOT NULL,
    number   INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    took     INTEGER NOT NULL,
    status   INTEGER NOT NULL,
    error    TEXT    NOT NULL,
    sealed   BLOB,
    PRIMARY KEY (tenant, delivery, number)
) STRICT;
