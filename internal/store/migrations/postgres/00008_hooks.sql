-- Conventions as in 00001_init.sql.

-- +goose Up

-- What happened. Thousands of rows a second come in here, so there is no more index than
-- is needed, and most are added to at their end. lookups are how ForgetEvents finds a row
-- again, each preceded by its length. A purged row is only a hash: so that what is told
-- again late is no new event.
CREATE TABLE hooks_events (
    tenant      TEXT COLLATE "C" NOT NULL CHECK (tenant <> ''),
    id          TEXT COLLATE "C" NOT NULL CHECK (id <> ''),
    hash        BYTEA    NOT NULL CHECK (octet_length(hash) = 32),
    source      TEXT COLLATE "C" NOT NULL,
    action      TEXT COLLATE "C" NOT NULL,
    occurred_at BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    state       TEXT COLLATE "C" NOT NULL CHECK (state IN ('waiting', 'done', 'parked', 'purged')),
    reason      TEXT COLLATE "C" NOT NULL,
    rules       BIGINT NOT NULL,
    lookups     BYTEA,
    sealed      BYTEA,
    PRIMARY KEY (tenant, id)
);
CREATE UNIQUE INDEX hooks_events_hash ON hooks_events (tenant, hash);
CREATE INDEX hooks_events_waiting ON hooks_events (tenant, received_at, id) WHERE state = 'waiting';
CREATE INDEX hooks_events_done ON hooks_events (tenant, received_at, id) WHERE state = 'done';
CREATE INDEX hooks_events_purged ON hooks_events (tenant, received_at, id) WHERE state = 'purged';
CREATE INDEX hooks_events_newest ON hooks_events (tenant, source, occurred_at);

-- Who is in an event.
CREATE TABLE hooks_lookups (
    tenant TEXT COLLATE "C" NOT NULL CHECK (tenant <> ''),
    lookup BYTEA NOT NULL CHECK (octet_length(lookup) > 0),
    event  TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, lookup, event)
);

-- Actions, and what became of them. Once forgotten, nothing is sealed into a row again.
CREATE TABLE hooks_work (
    tenant     TEXT COLLATE "C" NOT NULL CHECK (tenant <> ''),
    id         TEXT COLLATE "C" NOT NULL CHECK (id <> ''),
    version    BIGINT NOT NULL,
    event      TEXT COLLATE "C" NOT NULL,
    rule       TEXT COLLATE "C" NOT NULL,
    position   BIGINT NOT NULL,
    kind       TEXT COLLATE "C" NOT NULL,
    effect     TEXT COLLATE "C" NOT NULL,
    state      TEXT COLLATE "C" NOT NULL,
    reason     TEXT COLLATE "C" NOT NULL,
    begun_at   BIGINT NOT NULL,
    tries      BIGINT NOT NULL,
    subject    TEXT COLLATE "C" NOT NULL,
    sealed     BYTEA,
    forgotten  BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL,
    PRIMARY KEY (tenant, id),
    CHECK (NOT forgotten OR sealed IS NULL)
);
CREATE UNIQUE INDEX hooks_work_once ON hooks_work (tenant, event, rule, position);
CREATE INDEX hooks_work_state ON hooks_work (tenant, state, id);
CREATE INDEX hooks_work_subject ON hooks_work (tenant, subject) WHERE subject <> '';
CREATE INDEX hooks_work_ended ON hooks_work (tenant, ended_at, id) WHERE ended_at <> 0;

-- Published rules; document is the list as JSON.
CREATE TABLE hooks_rules (
    tenant   TEXT COLLATE "C" NOT NULL CHECK (tenant <> ''),
    version  BIGINT NOT NULL CHECK (version > 0),
    author   TEXT COLLATE "C" NOT NULL,
    comment  TEXT COLLATE "C" NOT NULL,
    at       BIGINT NOT NULL,
    document TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, version)
);

-- +goose StatementBegin
CREATE FUNCTION hooks_rules_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'published rules are append-only';
END;
$$;
-- +goose StatementEnd
CREATE TRIGGER hooks_rules_no_change BEFORE UPDATE OR DELETE ON hooks_rules FOR EACH ROW EXECUTE FUNCTION hooks_rules_refuse();
CREATE TRIGGER hooks_rules_no_truncate BEFORE TRUNCATE ON hooks_rules FOR EACH STATEMENT EXECUTE FUNCTION hooks_rules_refuse();

-- How far something has been read.
CREATE TABLE hooks_cursors (
    tenant TEXT COLLATE "C" NOT NULL CHECK (tenant <> ''),
    name   TEXT COLLATE "C" NOT NULL CHECK (name <> ''),
    at     BIGINT NOT NULL,
    PRIMARY KEY (tenant, name)
);
