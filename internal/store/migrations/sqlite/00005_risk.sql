-- Conventions as in 00001_init.sql.

-- +goose Up

-- What was decided about logins. All that is personal is in sealed_record; readable says
-- whether it is still there, for indexes. What never changes, but is filtered by, ends
-- the indexes; how a login ended is in none, so that storing it changes none.
CREATE TABLE risk_decisions (
    tenant             TEXT    NOT NULL CHECK (tenant <> ''),
    id                 TEXT    NOT NULL CHECK (id <> ''),
    subject            TEXT    NOT NULL,
    caller             TEXT    NOT NULL,
    at                 INTEGER NOT NULL,
    application        TEXT    NOT NULL,
    policy_application TEXT    NOT NULL,
    policy_version     INTEGER NOT NULL,
    verdict            TEXT    NOT NULL,
    score              REAL,
    reasons            TEXT    NOT NULL,
    shadow_version     INTEGER NOT NULL,
    shadow_verdict     TEXT    NOT NULL,
    outcome            TEXT    NOT NULL,
    outcome_at         INTEGER NOT NULL,
    learned            INTEGER NOT NULL CHECK (learned IN (0, 1)),
    readable           INTEGER NOT NULL CHECK (readable = (sealed_record IS NOT NULL)),
    sealed_record      BLOB,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, subject) REFERENCES subjects (tenant, id)
) STRICT;
CREATE INDEX risk_decisions_at ON risk_decisions (tenant, at, id, verdict, readable);
CREATE INDEX risk_decisions_subject ON risk_decisions (tenant, subject, at, id);
CREATE INDEX risk_decisions_application ON risk_decisions (tenant, application, at, id, verdict, readable);

-- What is remembered of a subject's logins.
CREATE TABLE risk_histories (
    tenant         TEXT    NOT NULL CHECK (tenant <> ''),
    subject        TEXT    NOT NULL CHECK (subject <> ''),
    version        INTEGER NOT NULL,
    changed_at     INTEGER NOT NULL,
    sealed_history BLOB    NOT NULL,
    PRIMARY KEY (tenant, subject),
    FOREIGN KEY (tenant, subject) REFERENCES subjects (tenant, id)
) STRICT;
CREATE INDEX risk_histories_changed ON risk_histories (tenant, changed_at, subject);

-- Published policies, of an application or ('') of the whole tenant.
CREATE TABLE risk_policies (
    tenant      TEXT    NOT NULL CHECK (tenant <> ''),
    application TEXT    NOT NULL,
    version     INTEGER NOT NULL CHECK (version > 0),
    mode        TEXT    NOT NULL,
    author      TEXT    NOT NULL,
    comment     TEXT    NOT NULL,
    at          INTEGER NOT NULL,
    document    TEXT    NOT NULL,
    PRIMARY KEY (tenant, application, version)
) STRICT;

-- +goose StatementBegin
CREATE TRIGGER risk_policies_no_update BEFORE UPDATE ON risk_policies
BEGIN
    SELECT RAISE(ABORT, 'published policies are append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER risk_policies_no_delete BEFORE DELETE ON risk_policies
BEGIN
    SELECT RAISE(ABORT, 'published policies are append-only');
END;
-- +goose StatementEnd
