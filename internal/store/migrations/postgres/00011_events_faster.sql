-- Conventions as in 00001_init.sql.

-- +goose Up

-- Who is in an event. Lookups are random, and a row that is added anywhere in a large index
-- costs a page. So a few thousand events are a run, within which they stand by lookup: to
-- add to it touches few pages, and to look for somebody is one search a run. What was there
-- before is run 0.
ALTER TABLE hooks_events ADD COLUMN run BIGINT NOT NULL DEFAULT 0;
ALTER TABLE hooks_events ALTER COLUMN run DROP DEFAULT;
ALTER TABLE hooks_lookups ADD COLUMN run BIGINT NOT NULL DEFAULT 0;
ALTER TABLE hooks_lookups ALTER COLUMN run DROP DEFAULT;
ALTER TABLE hooks_lookups DROP CONSTRAINT hooks_lookups_pkey;
ALTER TABLE hooks_lookups ADD PRIMARY KEY (tenant, run, lookup, event);

DROP INDEX hooks_events_newest;
