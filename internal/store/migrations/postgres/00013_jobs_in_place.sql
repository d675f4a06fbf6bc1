-- Conventions as in 00001_init.sql.

-- +goose Up

-- A claim changes nothing that an index holds: run_at stays as it is, and due_at is the end
-- of the lease. And each page has room for that, so that the claimed job stays in its page
-- and no index is told of it (a heap-only tuple).
DROP INDEX jobs_due;
CREATE INDEX jobs_due ON jobs (tenant, priority, run_at, id) WHERE dead_at = 0;
ALTER TABLE jobs SET (fillfactor = 50);
