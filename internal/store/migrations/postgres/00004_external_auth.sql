-- Conventions as in 00001_init.sql.

-- +goose Up

-- The round trip through Descope's External Authentication; '' where there is none.
ALTER TABLE verifications
    ADD COLUMN external_status   TEXT COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN external_attempts BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN external_asked_at BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN sealed_external   BYTEA;
ALTER TABLE challenges
    ADD COLUMN external_status   TEXT COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN external_attempts BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN external_asked_at BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN sealed_external   BYTEA;
