-- Conventions as in 00001_init.sql.

-- +goose Up

-- What is counted under one key in one minute is in parts, one for each
-- connection that counts, so that nobody waits for another's transaction. They
-- are added up when read.
ALTER TABLE hits ADD COLUMN part BIGINT NOT NULL DEFAULT 0;
ALTER TABLE hits DROP CONSTRAINT hits_pkey, ADD PRIMARY KEY (tenant, limit_name, key_hash, minute, part);
