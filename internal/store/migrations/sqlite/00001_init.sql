-- Times are microseconds since 1970-01-01 UTC, 0 for none. Sealed columns, keys
-- and hashes are BLOBs, NULL for none. Every key starts with the tenant.

-- +goose Up

-- Two processes that migrate at once cannot both record a version, so the
-- slower one rolls back as a whole and then finds the work done.
CREATE UNIQUE INDEX goose_db_version_once ON goose_db_version (version_id);

CREATE TABLE subjects (
    tenant            TEXT    NOT NULL CHECK (tenant <> ''),
    id                TEXT    NOT NULL CHECK (id <> ''),
    lookup            BLOB,
    wrapped_key       BLOB,
    sealed_identifier BLOB,
    created_at        INTEGER NOT NULL,
    erased_at         INTEGER NOT NULL,
    PRIMARY KEY (tenant, id),
    CHECK (erased_at = 0 OR (lookup IS NULL AND wrapped_key IS NULL AND sealed_identifier IS NULL))
) STRICT;
CREATE UNIQUE INDEX subjects_lookup ON subjects (tenant, lookup) WHERE lookup IS NOT NULL;

CREATE TABLE verifications (
    tenant              TEXT    NOT NULL CHECK (tenant <> ''),
    id                  TEXT    NOT NULL CHECK (id <> ''),
    version             INTEGER NOT NULL,
    caller              TEXT    NOT NULL,
    subject             TEXT    NOT NULL,
    named               INTEGER NOT NULL CHECK (named IN (0, 1)),
    status              TEXT    NOT NULL,
    reason              TEXT    NOT NULL,
    document_types      TEXT    NOT NULL,
    document_type       TEXT    NOT NULL,
    liveness            TEXT    NOT NULL,
    callback_url        TEXT    NOT NULL,
    idempotency_key     TEXT    NOT NULL,
    request_hash        BLOB,
    link_secret_hash    BLOB,
    link_expires_at     INTEGER NOT NULL,
    browser_hash        BLOB,
    handover_hash       BLOB,
    handover_expires_at INTEGER NOT NULL,
    phone_hash          BLOB,
    upstream_profile    TEXT    NOT NULL,
    upstream_session    TEXT    NOT NULL,
    upstream_dvc        TEXT    NOT NULL,
    upstream_sealed_url BLOB,
    ial_level           TEXT    NOT NULL,
    ial_source          TEXT    NOT NULL,
    ial_expires_at      INTEGER NOT NULL,
    sealed_request      BLOB,
    sealed_outcome      BLOB,
    poll_failures       INTEGER NOT NULL,
    level_tries         INTEGER NOT NULL,
    created_at          INTEGER NOT NULL,
    consent_at          INTEGER NOT NULL,
    expires_at          INTEGER NOT NULL,
    finished_at         INTEGER NOT NULL,
    purged_at           INTEGER NOT NULL,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, subject) REFERENCES subjects (tenant, id)
) STRICT;
-- A browser knows an id and a secret, but no tenant.
CREATE UNIQUE INDEX verifications_id ON verifications (id);
CREATE INDEX verifications_subject ON verifications (tenant, subject, created_at, id);
CREATE UNIQUE INDEX verifications_idempotency ON verifications (tenant, caller, idempotency_key) WHERE idempotency_key <> '';

CREATE TABLE assurances (
    tenant       TEXT    NOT NULL CHECK (tenant <> ''),
    id           TEXT    NOT NULL CHECK (id <> ''),
    subject      TEXT    NOT NULL,
    verification TEXT    NOT NULL,
    level        TEXT    NOT NULL,
    source       TEXT    NOT NULL,
    granted_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    revoked_at   INTEGER NOT NULL,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, subject) REFERENCES subjects (tenant, id),
    FOREIGN KEY (tenant, verification) REFERENCES verifications (tenant, id)
) STRICT;
CREATE INDEX assurances_subject ON assurances (tenant, subject, granted_at, id);
CREATE INDEX assurances_verification ON assurances (tenant, verification);

CREATE TABLE audit (
    tenant TEXT    NOT NULL CHECK (tenant <> ''),
    id     TEXT    NOT NULL CHECK (id <> ''),
    at     INTEGER NOT NULL,
    actor  TEXT    NOT NULL,
    action TEXT    NOT NULL,
    object TEXT    NOT NULL,
    reason TEXT    NOT NULL,
    detail TEXT    NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT;
CREATE INDEX audit_object ON audit (tenant, object, at, id);

-- +goose StatementBegin
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;
-- +goose StatementEnd

-- due_at is when the job may be claimed next: run_at while it waits, the end of
-- the lease while someone has it. again_at is when the same work was asked for
-- during a run. fence counts claims.
CREATE TABLE jobs (
    tenant     TEXT    NOT NULL CHECK (tenant <> ''),
    id         TEXT    NOT NULL CHECK (id <> ''),
    kind       TEXT    NOT NULL,
    key        TEXT    NOT NULL,
    run_at     INTEGER NOT NULL,
    due_at     INTEGER NOT NULL,
    again_at   INTEGER NOT NULL,
    attempts   INTEGER NOT NULL,
    failures   INTEGER NOT NULL,
    last_error TEXT    NOT NULL,
    owner      TEXT    NOT NULL,
    fence      INTEGER NOT NULL,
    dead_at    INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT;
CREATE UNIQUE INDEX jobs_live ON jobs (tenant, kind, key) WHERE dead_at = 0;
CREATE INDEX jobs_due ON jobs (due_at) WHERE dead_at = 0;

CREATE TABLE secrets (
    tenant TEXT NOT NULL CHECK (tenant <> ''),
    name   TEXT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT;
