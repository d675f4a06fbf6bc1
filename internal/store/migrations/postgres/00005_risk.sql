-- Conventions as in 00001_init.sql.

-- +goose Up

-- What was decided about logins. All that is personal is in sealed_record; readable says
-- whether it is still there, for indexes. What never changes, but is filtered by, ends
-- the indexes; how a login ended is in none, so that storing it changes none, as long as
-- the page has the room for it that fillfactor leaves.
CREATE TABLE risk_decisions (
    tenant             TEXT COLLATE "C" NOT NULL CHECK (tenant <> ''),
    id                 TEXT COLLATE "C" NOT NULL CHECK (id <> ''),
    subject            TEXT COLLATE "C" NOT NULL,
    caller             TEXT COLLATE "C" NOT NULL,
    at                 BIGINT  NOT NULL,
    application        TEXT COLLATE "C" NOT NULL,
    policy_application TEXT COLLATE "C" NOT NULL,
    policy_version     BIGINT  NOT NULL,
    verdict            TEXT COLLATE "C" NOT NULL,
    score              DOUBLE PRECISION,
    reasons            TEXT COLLATE "C" NOT NULL,
    shadow_version     BIGINT  NOT NULL,
    shadow_verdict     TEXT COLLATE "C" NOT NULL,
    outcome            TEXT COLLATE "C" NOT NULL,
    outcome_at         BIGINT  NOT NULL,
    learned            BOOLEAN NOT NULL,
    readable           BOOLEAN NOT NULL CHECK (readable = (sealed_record IS NOT NULL)),
    sealed_record      BYTEA,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, subject) REFERENCES subjects (tenant, id)
) WITH (fillfactor = 70);
CREATE INDEX risk_decisions_at ON risk_decisions (tenant, at, id, verdict, readable);
CREATE INDEX risk_decisions_subject ON risk_decisions (tenant, subject, at, id);
CREATE INDEX risk_decisions_application ON risk_decisions (tenant, application, at, id, verdict, readable);

-- What is remembered of a subject's logins.
CREATE TABLE risk_histories (
    tenant         TEXT COLLATE "C" NOT NULL CHECK (tenant <> ''),
    subject        TEXT COLLATE "C" NOT NULL CHECK (subject <> ''),
    version        BIGINT  NOT NULL,
    changed_at     BIGINT  NOT NULL,
    sealed_history BYTEA   NOT NULL,
    PRIMARY KEY (tenant, subject),
    FOREIGN KEY (tenant, subject) REFERENCES subjects (tenant, id)
);
CREATE INDEX risk_histories_changed ON risk_histories (tenant, changed_at, subject);

-- Published policies, of an application or ('') of the whole tenant.
CREATE TABLE risk_policies (
    tenant      TEXT COLLATE "C" NOT NULL CHECK (tenant <> ''),
    application TEXT COLLATE "C" NOT NULL,
    version     BIGINT  NOT NULL CHECK (version > 0),
    mode        TEXT COLLATE "C" NOT NULL,
    author      TEXT COLLATE "C" NOT NULL,
    comment     TEXT COLLATE "C" NOT NULL,
    at          BIGINT  NOT NULL,
    document    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, application, version)
);

-- +goose StatementBegin
CREATE FUNCTION risk_policies_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'published policies are append-only';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER risk_policies_no_change BEFORE UPDATE OR DELETE ON risk_policies FOR EACH ROW EXECUTE FUNCTION risk_policies_refuse();
CREATE TRIGGER risk_policies_no_truncate BEFORE TRUNCATE ON risk_policies FOR EACH STATEMENT EXECUTE FUNCTION risk_policies_refuse();
