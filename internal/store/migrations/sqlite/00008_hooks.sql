-- Conventions as in 00001_init.sql.

-- +goose Up

-- What happened. Thousands of rows a second come in here, so there is no more index than
-- is needed, and most are added to at their end. lookups are how ForgetEvents finds a row
-- again, each preceded by its length. A purged row is only a hash: so that what is told
-- again late is no new event.
CREATE TABLE hooks_events (
    tenant      TEXT    NOT NULL CHECK (tenant <> ''),
    id          TEXT    NOT NULL CHECK (id <> ''),
    hash        BLOB    NOT NULL CHECK (length(hash) = 32),
    source      TEXT    NOT NULL,
    action      TEXT    NOT NULL,
    occurred_at INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('waiting', 'done', 'parked', 'purged')),
    reason      TEXT    NOT NULL,
    rules       INTEGER NOT NULL,
    lookups     BLOB,
    sealed      BLOB,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX hooks_events_hash ON hooks_events (tenant, hash);
CREATE INDEX hooks_events_waiting ON hooks_events (tenant, received_at, id) WHERE state = 'waiting';
CREATE INDEX hooks_events_done ON hooks_events (tenant, received_at, id) WHERE state = 'done';
CREATE INDEX hooks_events_purged ON hooks_events (tenant, received_at, id) WHERE state = 'purged';
CREATE INDEX hooks_events_newest ON hooks_events (tenant, source, occurred_at);

-- Who is in an event.
CREATE TABLE hooks_lookups (
    tenant TEXT NOT NULL CHECK (tenant <> ''),
    lookup BLOB NOT NULL CHECK (length(lookup) > 0),
    event  TEXT NOT NULL,
    PRIMARY KEY (tenant, lookup, event)
) STRICT, WITHOUT ROWID;

-- Actions, and what became of them. Once forgotten, nothing is sealed into a row again.
CREATE TABLE hooks_work (
    tenant     TEXT    NOT NULL CHECK (tenant <> ''),
    id         TEXT    NOT NULL CHECK (id <> ''),
    version    INTEGER NOT NULL,
    event      TEXT    NOT NULL,
    rule       TEXT    NOT NULL,
    position   INTEGER NOT NULL,
    kind       TEXT    NOT NULL,
    effect     TEXT    NOT NULL,
    state      TEXT    NOT NULL,
    reason     TEXT    NOT NULL,
    begun_at   INTEGER NOT NULL,
    tries      INTEGER NOT NULL,
    subject    TEXT    NOT NULL,
    sealed     BLOB,
    forgotten  INTEGER NOT NULL CHECK (forgotten IN (0, 1)),
    created_at INTEGER NOT NULL,
    ended_at   INTEGER NOT NULL,
    PRIMARY KEY (tenant, id),
    CHECK (forgotten = 0 OR sealed IS NULL)
) STRICT;
CREATE UNIQUE INDEX hooks_work_once ON hooks_work (tenant, event, rule, position);
CREATE INDEX hooks_work_state ON hooks_work (tenant, state, id);
CREATE INDEX hooks_work_subject ON hooks_work (tenant, subject) WHERE subject <> '';
CREATE INDEX hooks_work_ended ON hooks_work (tenant, ended_at, id) WHERE ended_at <> 0;

-- Published rules; document is the list as JSON.
CREATE TABLE hooks_rules (
    tenant   TEXT    NOT NULL CHECK (tenant <> ''),
    version  INTEGER NOT NULL CHECK (version > 0),
    author   TEXT    NOT NULL,
    comment  TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    document TEXT    NOT NULL,
    PRIMARY KEY (tenant, version)
) STRICT;

-- +goose StatementBegin
CREATE TRIGGER hooks_rules_no_update BEFORE UPDATE ON hooks_rules
BEGIN
    SELECT RAISE(ABORT, 'published rules are append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER hooks_rules_no_delete BEFORE DELETE ON hooks_rules
BEGIN
    SELECT RAISE(ABORT, 'published rules are append-only');
END;
-- +goose StatementEnd

-- How far something has been read.
CREATE TABLE hooks_cursors (
    tenant TEXT    NOT NULL CHECK (tenant <> ''),
    name   TEXT    NOT NULL CHECK (name <> ''),
    at     INTEGER NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT;
