-- Conventions as in 00001_init.sql.

-- +goose Up

CREATE TABLE challenges (
    tenant              TEXT    NOT NULL CHECK (tenant <> ''),
    id                  TEXT    NOT NULL CHECK (id <> ''),
    version             INTEGER NOT NULL,
    caller              TEXT    NOT NULL,
    subject             TEXT    NOT NULL,
    status              TEXT    NOT NULL,
    reason              TEXT    NOT NULL,
    callback_url        TEXT    NOT NULL,
    decision_id         TEXT    NOT NULL,
    idempotency_key     TEXT    NOT NULL,
    request_hash        BLOB,
    link_secret_hash    BLOB,
    link_expires_at     INTEGER NOT NULL,
    browser_hash        BLOB,
    handover_hash       BLOB,
    handover_expires_at INTEGER NOT NULL,
    phone_hash          BLOB,
    network             BLOB,
    backend             TEXT    NOT NULL,
    sealed_session      BLOB,
    session_ends        INTEGER NOT NULL,
    sessions            INTEGER NOT NULL,
    confidence          REAL,
    basis               TEXT    NOT NULL,
    liveness            TEXT    NOT NULL,
    sealed_request      BLOB,
    poll_failures       INTEGER NOT NULL,
    created_at          INTEGER NOT NULL,
    expires_at          INTEGER NOT NULL,
    finished_at         INTEGER NOT NULL,
    purged_at           INTEGER NOT NULL,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, subject) REFERENCES subjects (tenant, id)
) STRICT;
-- A browser knows an id and a secret, or the secret of a hand-over, but no tenant.
CREATE UNIQUE INDEX challenges_id ON challenges (id);
CREATE UNIQUE INDEX challenges_handover ON challenges (handover_hash) WHERE handover_hash IS NOT NULL;
CREATE INDEX challenges_subject ON challenges (tenant, subject, created_at, id);
CREATE UNIQUE INDEX challenges_idempotency ON challenges (tenant, caller, idempotency_key) WHERE idempotency_key <> '';

-- How many events there were under a limit and key in the minute that begins at
-- minute.
CREATE TABLE hits (
    tenant     TEXT    NOT NULL CHECK (tenant <> ''),
    limit_name TEXT    NOT NULL,
    key_hash   BLOB    NOT NULL,
    minute     INTEGER NOT NULL,
    count      INTEGER NOT NULL,
    PRIMARY KEY (tenant, limit_name, key_hash, minute)
) STRICT, WITHOUT ROWID;
CREATE INDEX hits_minute ON hits (tenant, minute);
