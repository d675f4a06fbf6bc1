-- Conventions as in 00001_init.sql.

-- +goose Up

CREATE TABLE challenges (
    tenant              TEXT COLLATE "C" NOT NULL CHECK (tenant <> ''),
    id                  TEXT COLLATE "C" NOT NULL CHECK (id <> ''),
    version             BIGINT  NOT NULL,
    caller              TEXT COLLATE "C" NOT NULL,
    subject             TEXT COLLATE "C" NOT NULL,
    status              TEXT COLLATE "C" NOT NULL,
    reason              TEXT COLLATE "C" NOT NULL,
    callback_url        TEXT COLLATE "C" NOT NULL,
    decision_id         TEXT COLLATE "C" NOT NULL,
    idempotency_key     TEXT COLLATE "C" NOT NULL,
    request_hash        BYTEA,
    link_secret_hash    BYTEA,
    link_expires_at     BIGINT  NOT NULL,
    browser_hash        BYTEA,
    handover_hash       BYTEA,
    handover_expires_at BIGINT  NOT NULL,
    phone_hash          BYTEA,
    network             BYTEA,
    backend             TEXT COLLATE "C" NOT NULL,
    sealed_session      BYTEA,
    session_ends        BIGINT  NOT NULL,
    sessions            BIGINT  NOT NULL,
    confidence          DOUBLE PRECISION,
    basis               TEXT COLLATE "C" NOT NULL,
    liveness            TEXT COLLATE "C" NOT NULL,
    sealed_request      BYTEA,
    poll_failures       BIGINT  NOT NULL,
    created_at          BIGINT  NOT NULL,
    expires_at          BIGINT  NOT NULL,
    finished_at         BIGINT  NOT NULL,
    purged_at           BIGINT  NOT NULL,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, subject) REFERENCES subjects (tenant, id)
);
-- A browser knows an id and a secret, or the secret of a hand-over, but no tenant.
CREATE UNIQUE INDEX challenges_id ON challenges (id);
CREATE UNIQUE INDEX challenges_handover ON challenges (handover_hash) WHERE handover_hash IS NOT NULL;
CREATE INDEX challenges_subject ON challenges (tenant, subject, created_at, id);
CREATE UNIQUE INDEX challenges_idempotency ON challenges (tenant, caller, idempotency_key) WHERE idempotency_key <> '';

-- How many events there were under a limit and key in the minute that begins at
-- minute.
CREATE TABLE hits (
    tenant     TEXT COLLATE "C" NOT NULL CHECK (tenant <> ''),
    limit_name TEXT COLLATE "C" NOT NULL,
    key_hash   BYTEA   NOT NULL,
    minute     BIGINT  NOT NULL,
    count      BIGINT  NOT NULL,
    PRIMARY KEY (tenant, limit_name, key_hash, minute)
);
CREATE INDEX hits_minute ON hits (tenant, minute);
