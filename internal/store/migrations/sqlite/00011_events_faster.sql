-- Conventions as in 00001_init.sql.

-- +goose Up

-- The same as before, but rows are as long as they are, so they stand in a table of their
-- own order, and indexes do not repeat the key. run is where hooks_lookups has them.
CREATE TABLE hooks_events_by_row (
    tenant      TEXT    NOT NULL CHECK (tenant <> ''),
    id          TEXT    NOT NULL CHECK (id <> ''),
    run         INTEGER NOT NULL,
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
) STRICT;
INSERT INTO hooks_events_by_row
    SELECT tenant, id, 0, hash, source, action, occurred_at, received_at, state, reason, rules, lookups, sealed
    FROM hooks_events ORDER BY tenant, id;
DROP TABLE hooks_events;
ALTER TABLE hooks_events_by_row RENAME TO hooks_events;
CREATE UNIQUE INDEX hooks_events_hash ON hooks_events (tenant, hash);
CREATE INDEX hooks_events_waiting ON hooks_events (tenant, received_at, id) WHERE state = 'waiting';
CREATE INDEX hooks_events_done ON hooks_events (tenant, received_at, id) WHERE state = 'done';
CREATE INDEX hooks_events_purged ON hooks_events (tenant, received_at, id) WHERE state = 'purged';

-- Who is in an event. Lookups are random, and a row that is added anywhere in a large table
-- costs a page. So a few thousand events are a run, within which they stand by lookup: to
-- add to it touches few pages, and to look for somebody is one search a run.
CREATE TABLE hooks_lookups_in_runs (
    tenant TEXT    NOT NULL CHECK (tenant <> ''),
    run    INTEGER NOT NULL,
    lookup BLOB    NOT NULL CHECK (length(lookup) > 0),
    event  TEXT    NOT NULL,
    PRIMARY KEY (tenant, run, lookup, event)
) STRICT, WITHOUT ROWID;
INSERT INTO hooks_lookups_in_runs SELECT tenant, 0, lookup, event FROM hooks_lookups ORDER BY tenant, lookup, event;
DROP TABLE hooks_lookups;
ALTER TABLE hooks_lookups_in_runs RENAME TO hooks_lookups;
