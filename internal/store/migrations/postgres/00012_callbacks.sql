-- Conventions as in 00001_init.sql.

-- +goose Up

-- Keyed hash, in hexadecimal, of the id of the session at 1Kosmos that is open now, by which
-- 1Kosmos' callbacks are followed. '' when none is, and for what was begun before this.
ALTER TABLE verifications ADD COLUMN session_hash TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE challenges ADD COLUMN session_hash TEXT COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX verifications_session ON verifications (tenant, session_hash) WHERE session_hash <> '';
CREATE INDEX challenges_session ON challenges (tenant, session_hash) WHERE session_hash <> '';
