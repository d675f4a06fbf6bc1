-- Conventions as in 00001_init.sql.

-- +goose Up

-- A claim changes nothing that an index holds: run_at stays as it is, and due_at is the end
-- of the lease.
DROP INDEX jobs_due;
CREATE INDEX jobs_due ON jobs (tenant, priority, run_at, id) WHERE dead_at = 0;
