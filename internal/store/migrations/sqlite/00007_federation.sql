-- Conventions as in 00001_init.sql. All hashes but those of federation_uses are SHA-256.

-- +goose Up

-- Browsers' persons, towards one client each. ends_at is when it ends or ended: for the
-- purge.
CREATE TABLE federation_sessions (
    tenant       TEXT    NOT NULL CHECK (tenant <> ''),
    id           TEXT    NOT NULL CHECK (id <> ''),
    secret_hash  BLOB    CHECK (length(secret_hash) = 32),
    client       TEXT    NOT NULL,
    subject      TEXT    NOT NULL,
    challenge    TEXT    NOT NULL,
    verification TEXT    NOT NULL,
    auth_time    INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    ended_at     INTEGER NOT NULL,
    ends_at      INTEGER NOT NULL,
    sealed       BLOB,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, subject) REFERENCES subjects (tenant, id)
) STRICT;
CREATE UNIQUE INDEX federation_sessions_secret ON federation_sessions (tenant, secret_hash) WHERE secret_hash IS NOT NULL;
CREATE INDEX federation_sessions_subject ON federation_sessions (tenant, subject);
CREATE INDEX federation_sessions_ends ON federation_sessions (tenant, ends_at);

-- Tokens that were issued. What was redeemed is the key: nobody looks for an id, and
-- every index is written with every sign-in.
CREATE TABLE federation_grants (
    tenant     TEXT    NOT NULL CHECK (tenant <> ''),
    id         TEXT    NOT NULL CHECK (id <> ''),
    family     TEXT    NOT NULL CHECK (family <> ''),
    client     TEXT    NOT NULL,
    subject    TEXT    NOT NULL,
    session    TEXT    NOT NULL,
    of_hash    BLOB    NOT NULL CHECK (length(of_hash) = 32),
    token_hash BLOB    CHECK (length(token_hash) = 32),
    sealed     BLOB,
    scope      TEXT    NOT NULL,
    issued_at  INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    keep_until INTEGER NOT NULL,
    revoked_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, of_hash),
    FOREIGN KEY (tenant, subject) REFERENCES subjects (tenant, id)
) STRICT;
CREATE UNIQUE INDEX federation_grants_token ON federation_grants (tenant, token_hash) WHERE token_hash IS NOT NULL;
CREATE INDEX federation_grants_family ON federation_grants (tenant, family);
CREATE INDEX federation_grants_subject ON federation_grants (tenant, subject);
CREATE INDEX federation_grants_keep ON federation_grants (tenant, keep_until);

-- What may be used once before until.
CREATE TABLE federation_uses (
    tenant TEXT    NOT NULL CHECK (tenant <> ''),
    kind   TEXT    NOT NULL CHECK (kind <> ''),
    hash   BLOB    NOT NULL CHECK (length(hash) > 0),
    at     INTEGER NOT NULL,
    until  INTEGER NOT NULL,
    PRIMARY KEY (tenant, kind, hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX federation_uses_until ON federation_uses (tenant, until);

-- Requests that a client left with us.
CREATE TABLE federation_pushed (
    tenant     TEXT    NOT NULL CHECK (tenant <> ''),
    kind       TEXT    NOT NULL CHECK (kind <> ''),
    hash       BLOB    NOT NULL CHECK (length(hash) = 32),
    version    INTEGER NOT NULL,
    client     TEXT    NOT NULL,
    sealed     BLOB,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at    INTEGER NOT NULL,
    polled_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant, kind, hash)
) STRICT;
CREATE INDEX federation_pushed_expires ON federation_pushed (tenant, expires_at);

-- Clients that the console keeps; document is federation.Client as JSON.
CREATE TABLE federation_clients (
    tenant     TEXT    NOT NULL CHECK (tenant <> ''),
    id         TEXT    NOT NULL CHECK (id <> ''),
    version    INTEGER NOT NULL,
    document   TEXT    NOT NULL CHECK (document <> ''),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT;

CREATE TABLE federation_secrets (
    tenant     TEXT    NOT NULL CHECK (tenant <> ''),
    client     TEXT    NOT NULL,
    id         TEXT    NOT NULL CHECK (id <> ''),
    hash       BLOB    NOT NULL CHECK (length(hash) = 32),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, client, id),
    FOREIGN KEY (tenant, client) REFERENCES federation_clients (tenant, id)
) STRICT;

-- How often a tenant's clients were changed.
CREATE TABLE federation_client_changes (
    tenant  TEXT    NOT NULL CHECK (tenant <> ''),
    changes INTEGER NOT NULL,
    PRIMARY KEY (tenant)
) STRICT;

-- Signing keys. Whoever makes or rotates keys at the same moment as somebody else is
-- refused by the index: one signs, and one is next. A key that is not published any more
-- has lost its private half.
CREATE TABLE federation_keys (
    tenant     TEXT    NOT NULL CHECK (tenant <> ''),
    id         TEXT    NOT NULL CHECK (id <> ''),
    usage      TEXT    NOT NULL CHECK (usage <> ''),
    alg        TEXT    NOT NULL CHECK (alg <> ''),
    state      TEXT    NOT NULL CHECK (state IN ('next', 'active', 'retiring', 'retired')),
    public     BLOB    NOT NULL,
    sealed     BLOB,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, id),
    CHECK ((state = 'retired') = (sealed IS NULL))
) STRICT;
CREATE UNIQUE INDEX federation_keys_one ON federation_keys (tenant, usage, alg, state) WHERE state IN ('next', 'active');
