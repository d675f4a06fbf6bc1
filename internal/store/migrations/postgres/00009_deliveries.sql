-- Conventions as in 00001_init.sql.

-- +goose Up

CREATE TABLE messages (
    tenant  TEXT COLLATE "C" NOT NULL CHECK (tenant <> ''),
    id      TEXT COLLATE "C" NOT NULL CHECK (id <> ''),
    type    TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    at      BIGINT NOT NULL,
    sealed  BYTEA,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX messages_at ON messages (tenant, at, id);
CREATE INDEX messages_subject ON messages (tenant, subject) WHERE subject <> '';

-- Where messages go; document is what deliveries.Endpoint says as JSON.
CREATE TABLE endpoints (
    tenant        TEXT COLLATE "C" NOT NULL CHECK (tenant <> ''),
    id            TEXT COLLATE "C" NOT NULL CHECK (id <> ''),
    version       BIGINT NOT NULL,
    document      TEXT COLLATE "C" NOT NULL CHECK (document <> ''),
    sealed        BYTEA,
    failing_since BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);

-- One message to one endpoint, which may be gone. once says that it is neither a replay
-- nor a test.
CREATE TABLE deliveries (
    tenant     TEXT COLLATE "C" NOT NULL CHECK (tenant <> ''),
    id         TEXT COLLATE "C" NOT NULL CHECK (id <> ''),
    version    BIGINT NOT NULL,
    message    TEXT COLLATE "C" NOT NULL,
    endpoint   TEXT COLLATE "C" NOT NULL,
    type       TEXT COLLATE "C" NOT NULL,
    state      TEXT COLLATE "C" NOT NULL,
    reason     TEXT COLLATE "C" NOT NULL,
    attempts   BIGINT NOT NULL,
    next_at    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL,
    replay     BOOLEAN NOT NULL,
    test       BOOLEAN NOT NULL,
    once       BOOLEAN NOT NULL CHECK (once = NOT (replay OR test)),
    PRIMARY KEY (tenant, id)
);
CREATE UNIQUE INDEX deliveries_once ON deliveries (tenant, message, endpoint) WHERE once;
CREATE INDEX deliveries_message ON deliveries (tenant, message, state);
CREATE INDEX deliveries_endpoint ON deliveries (tenant, endpoint, id);
CREATE INDEX deliveries_state ON deliveries (tenant, state, id);

CREATE TABLE delivery_attempts (
    tenant   TEXT COLLATE "C" NOT NULL CHECK (tenant <> ''),
    delivery TEXT COLLATE "C" NOT NULL,
    number   BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    took     BIGINT NOT NULL,
    status   BIGINT NOT NULL,
    error    TEXT COLLATE "C" NOT NULL,
    sealed   BYTEA,
    PRIMARY KEY (tenant, delivery, number)
);
