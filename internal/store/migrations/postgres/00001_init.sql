-- Times are microseconds since 1970-01-01 UTC, 0 for none. Sealed columns, keys
-- and hashes are BYTEA, NULL for none. Every key starts with the tenant.
-- Text sorts by bytes, as in SQLite, whatever the locale of the database is.

-- +goose Up

-- Two processes that migrate at once cannot both record a version, so the
-- slower one rolls back as a whole and then finds the work done.
CREATE UNIQUE INDEX goose_db_version_once ON goose_db_version (version_id);

CREATE TABLE subjects (
    tenant            TEXT COLLATE "C" NOT NULL CHECK (tenant <> ''),
    id                TEXT COLLATE "C" NOT NULL CHECK (id <> ''),
    lookup            BYTEA,
    wrapped_key       BYTEA,
    sealed_identifier BYTEA,
    created_at        BIGINT  NOT NULL,
    erased_at         BIGINT  NOT NULL,
    PRIMARY KEY (tenant, id),
    CHECK (erased_at = 0 OR (lookup IS NULL AND wrapped_key IS NULL AND sealed_identifier IS NULL))
);
CREATE UNIQUE INDEX subjects_lookup ON subjects (tenant, lookup) WHERE lookup IS NOT NULL;

CREATE TABLE verifications (
    tenant              TEXT COLLATE "C" NOT NULL CHECK (tenant <> ''),
    id                  TEXT COLLATE "C" NOT NULL CHECK (id <> ''),
    version             BIGINT  NOT NULL,
    caller              TEXT COLLATE "C" NOT NULL,
    subject             TEXT COLLATE "C" NOT NULL,
    named               BOOLEAN NOT NULL,
    status              TEXT COLLATE "C" NOT NULL,
    reason              TEXT COLLATE "C" NOT NULL,
    document_types      TEXT COLLATE "C" NOT NULL,
    document_type       TEXT COLLATE "C" NOT NULL,
    liveness            TEXT COLLATE "C" NOT NULL,
    callback_url        TEXT COLLATE "C" NOT NULL,
    idempotency_key     TEXT COLLATE "C" NOT NULL,
    request_hash        BYTEA,
    link_secret_hash    BYTEA,
    link_expires_at     BIGINT  NOT NULL,
    browser_hash        BYTEA,
    handover_hash       BYTEA,
    handover_expires_at BIGINT  NOT NULL,
    phone_hash          BYTEA,
    upstream_profile    TEXT COLLATE "C" NOT NULL,
    upstream_session    TEXT COLLATE "C" NOT NULL,
    upstream_dvc        TEXT COLLATE "C" NOT NULL,
    upstream_sealed_url BYTEA,
    ial_level           TEXT COLLATE "C" NOT NULL,
    ial_source          TEXT COLLATE "C" NOT NULL,
    ial_expires_at      BIGINT  NOT NULL,
    sealed_request      BYTEA,
    sealed_outcome      BYTEA,
    poll_failures       BIGINT  NOT NULL,
    level_tries         BIGINT  NOT NULL,
    created_at          BIGINT  NOT NULL,
    consent_at          BIGINT  NOT NULL,
    expires_at          BIGINT  NOT NULL,
    finished_at         BIGINT  NOT NULL,
    purged_at           BIGINT  NOT NULL,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, subject) REFERENCES subjects (tenant, id)
);
-- A browser knows an id and a secret, but no tenant.
CREATE UNIQUE INDEX verifications_id ON verifications (id);
CREATE INDEX verifications_subject ON verifications (tenant, subject, created_at, id);
CREATE UNIQUE INDEX verifications_idempotency ON verifications (tenant, caller, idempotency_key) WHERE idempotency_key <> '';

CREATE TABLE assurances (
    tenant       TEXT COLLATE "C" NOT NULL CHECK (tenant <> ''),
    id           TEXT COLLATE "C" NOT NULL CHECK (id <> ''),
    subject      TEXT COLLATE "C" NOT NULL,
    verification TEXT COLLATE "C" NOT NULL,
    level        TEXT COLLATE "C" NOT NULL,
    source       TEXT COLLATE "C" NOT NULL,
    granted_at   BIGINT  NOT NULL,
    expires_at   BIGINT  NOT NULL,
    revoked_at   BIGINT  NOT NULL,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, subject) REFERENCES subjects (tenant, id),
    FOREIGN KEY (tenant, verification) REFERENCES verifications (tenant, id)
);
CREATE INDEX assurances_subject ON assurances (tenant, subject, granted_at, id);
CREATE INDEX assurances_verification ON assurances (tenant, verification);

CREATE TABLE audit (
    tenant TEXT COLLATE "C" NOT NULL CHECK (tenant <> ''),
    id     TEXT COLLATE "C" NOT NULL CHECK (id <> ''),
    at     BIGINT  NOT NULL,
    actor  TEXT COLLATE "C" NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    object TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    detail TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX audit_object ON audit (tenant, object, at, id);

-- +goose StatementBegin
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();

-- due_at is when the job may be claimed next: run_at while it waits, the end of
-- the lease while someone has it. again_at is when the same work was asked for
-- during a run. fence counts claims.
CREATE TABLE jobs (
    tenant     TEXT COLLATE "C" NOT NULL CHECK (tenant <> ''),
    id         TEXT COLLATE "C" NOT NULL CHECK (id <> ''),
    kind       TEXT COLLATE "C" NOT NULL,
    key        TEXT COLLATE "C" NOT NULL,
    run_at     BIGINT  NOT NULL,
    due_at     BIGINT  NOT NULL,
    again_at   BIGINT  NOT NULL,
    attempts   BIGINT  NOT NULL,
    failures   BIGINT  NOT NULL,
    last_error TEXT COLLATE "C" NOT NULL,
    owner      TEXT COLLATE "C" NOT NULL,
    fence      BIGINT  NOT NULL,
    dead_at    BIGINT  NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE UNIQUE INDEX jobs_live ON jobs (tenant, kind, key) WHERE dead_at = 0;
CREATE INDEX jobs_due ON jobs (due_at) WHERE dead_at = 0;

CREATE TABLE secrets (
    tenant TEXT COLLATE "C" NOT NULL CHECK (tenant <> ''),
    name   TEXT COLLATE "C" NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (tenant, name)
);
