-- Conventions as in 00001_init.sql.

-- +goose Up

-- What a person waits for has priority -1, what can wait 1.
ALTER TABLE jobs ADD COLUMN priority BIGINT NOT NULL DEFAULT 0 CHECK (priority IN (-1, 0, 1));

-- Due jobs are looked for tenant by tenant, so that those of one, however many, are not
-- in the way of another's.
DROP INDEX jobs_due;
CREATE INDEX jobs_due ON jobs (tenant, priority, due_at, id) WHERE dead_at = 0;
CREATE INDEX jobs_dead ON jobs (tenant, id) WHERE dead_at <> 0;

-- Which kinds of jobs are not of priority 0. That is the program's, not a tenant's.
CREATE TABLE job_kinds (
    kind     TEXT COLLATE "C" NOT NULL CHECK (kind <> ''),
    priority BIGINT NOT NULL CHECK (priority IN (-1, 0, 1)),
    PRIMARY KEY (kind)
);
