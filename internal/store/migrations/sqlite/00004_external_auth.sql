-- Conventions as in 00001_init.sql.

-- +goose Up

-- The round trip through Descope's External Authentication; '' where there is none.
ALTER TABLE verifications ADD COLUMN external_status   TEXT    NOT NULL DEFAULT '';
ALTER TABLE verifications ADD COLUMN external_attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE verifications ADD COLUMN external_asked_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE verifications ADD COLUMN sealed_external   BLOB;
ALTER TABLE challenges ADD COLUMN external_status   TEXT    NOT NULL DEFAULT '';
ALTER TABLE challenges ADD COLUMN external_attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE challenges ADD COLUMN external_asked_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE challenges ADD COLUMN sealed_external   BLOB;
