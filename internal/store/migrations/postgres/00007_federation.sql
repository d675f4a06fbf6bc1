-- Conventions as in 00001_init.sql. All hashes but those of federation_uses are SHA-256.

-- +goose Up

-- Browsers' persons, towards one client each. ends_at is when it ends or ended: for the
-- purge.
CREATE TABLE federation_sessions (
    tenant       TEXT COLLATE "C" NOT NULL CHECK (tenant <> ''),
    id           TEXT COLLATE "C" NOT NULL CHECK (id <> ''),
    secret_hash  BYTEA  CHECK (octet_length(secret_hash) = 32),
    client       TEXT COLLATE "C" NOT NULL,
    subject      TEXT COLLATE "C" NOT NULL,
    challenge    TEXT COLLATE "C" NOT NULL,
    verification TEXT COLLATE "C" NOT NULL,
    auth_time    BIGINT  NOT NULL,
    created_at   BIGINT  NOT NULL,
    expires_at   BIGINT  NOT NULL,
    ended_at     BIGINT  NOT NULL,
    ends_at      BIGINT  NOT NULL,
    sealed       BYTEA,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, subject) REFERENCES subjects (tenant, id)
);
CREATE UNIQUE INDEX federation_sessions_secret ON federation_sessions (tenant, secret_hash) WHERE secret_hash IS NOT NULL;
CREATE INDEX federation_sessions_subject ON federation_sessions (tenant, subject);
CREATE INDEX federation_sessions_ends ON federation_sessions (tenant, ends_at);

-- Tokens that were issued. What was redeemed is the key: nobody looks for an id, and
-- every index is written with every sign-in.
CREATE TABLE federation_grants (
    tenant     TEXT COLLATE "C" NOT NULL CHECK (tenant <> ''),
    id         TEXT COLLATE "C" NOT NULL CHECK (id <> ''),
    family     TEXT COLLATE "C" NOT NULL CHECK (family <> ''),
    client     TEXT COLLATE "C" NOT NULL,
    subject    TEXT COLLATE "C" NOT NULL,
    session    TEXT COLLATE "C" NOT NULL,
    of_hash    BYTEA  NOT NULL CHECK (octet_length(of_hash) = 32),
    token_hash BYTEA  CHECK (octet_length(token_hash) = 32),
    sealed     BYTEA,
    scope      TEXT COLLATE "C" NOT NULL,
    issued_at  BIGINT  NOT NULL,
    expires_at BIGINT  NOT NULL,
    keep_until BIGINT  NOT NULL,
    revoked_at BIGINT  NOT NULL,
    PRIMARY KEY (tenant, of_hash),
    FOREIGN KEY (tenant, subject) REFERENCES subjects (tenant, id)
);
CREATE UNIQUE INDEX federation_grants_token ON federation_grants (tenant, token_hash) WHERE token_hash IS NOT NULL;
CREATE INDEX federation_grants_family ON federation_grants (tenant, family);
CREATE INDEX federation_grants_subject ON federation_grants (tenant, subject);
CREATE INDEX federation_grants_keep ON federation_grants (tenant, keep_until);

-- What may be used once before until.
CREATE TABLE federation_uses (
    tenant TEXT COLLATE "C" NOT NULL CHECK (tenant <> ''),
    kind   TEXT COLLATE "C" NOT NULL CHECK (kind <> ''),
    hash   BYTEA  NOT NULL CHECK (octet_length(hash) > 0),
    at     BIGINT  NOT NULL,
    until  BIGINT  NOT NULL,
    PRIMARY KEY (tenant, kind, hash)
);
CREATE INDEX federation_uses_until ON federation_uses (tenant, until);

-- Requests that a client left with us.
CREATE TABLE federation_pushed (
    tenant     TEXT COLLATE "C" NOT NULL CHECK (tenant <> ''),
    kind       TEXT COLLATE "C" NOT NULL CHECK (kind <> ''),
    hash       BYTEA  NOT NULL CHECK (octet_length(hash) = 32),
    version    BIGINT  NOT NULL,
    client     TEXT COLLATE "C" NOT NULL,
    sealed     BYTEA,
    created_at BIGINT  NOT NULL,
    expires_at BIGINT  NOT NULL,
    used_at    BIGINT  NOT NULL,
    polled_at  BIGINT  NOT NULL,
    PRIMARY KEY (tenant, kind, hash)
);
CREATE INDEX federation_pushed_expires ON federation_pushed (tenant, expires_at);

-- Clients that the console keeps; document is federation.Client as JSON.
CREATE TABLE federation_clients (
    tenant     TEXT COLLATE "C" NOT NULL CHECK (tenant <> ''),
    id         TEXT COLLATE "C" NOT NULL CHECK (id <> ''),
    version    BIGINT  NOT NULL,
    document   TEXT COLLATE "C" NOT NULL CHECK (document <> ''),
    created_at BIGINT  NOT NULL,
    updated_at BIGINT  NOT NULL,
    PRIMARY KEY (tenant, id)
);

CREATE TABLE federation_secrets (
    tenant     TEXT COLLATE "C" NOT NULL CHECK (tenant <> ''),
    client     TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL CHECK (id <> ''),
    hash       BYTEA  NOT NULL CHECK (octet_length(hash) = 32),
    created_at BIGINT  NOT NULL,
    expires_at BIGINT  NOT NULL,
    PRIMARY KEY (tenant, client, id),
    FOREIGN KEY (tenant, client) REFERENCES federation_clients (tenant, id)
);

-- How often a tenant's clients were changed.
CREATE TABLE federation_client_changes (
    tenant  TEXT COLLATE "C" NOT NULL CHECK (tenant <> ''),
    changes BIGINT  NOT NULL,
    PRIMARY KEY (tenant)
);

-- Signing keys. Whoever makes or rotates keys at the same moment as somebody else is
-- refused by the index: one signs, and one is next. A key that is not published any more
-- has lost its private half.
CREATE TABLE federation_keys (
    tenant     TEXT COLLATE "C" NOT NULL CHECK (tenant <> ''),
    id         TEXT COLLATE "C" NOT NULL CHECK (id <> ''),
    usage      TEXT COLLATE "C" NOT NULL CHECK (usage <> ''),
    alg        TEXT COLLATE "C" NOT NULL CHECK (alg <> ''),
    state      TEXT COLLATE "C" NOT NULL CHECK (state IN ('next', 'active', 'retiring', 'retired')),
    public     BYTEA  NOT NULL,
    sealed     BYTEA,
    created_at BIGINT  NOT NULL,
    changed_at BIGINT  NOT NULL,
    PRIMARY KEY (tenant, id),
    CHECK ((state = 'retired') = (sealed IS NULL))
);
CREATE UNIQUE INDEX federation_keys_one ON federation_keys (tenant, usage, alg, state) WHERE state IN ('next', 'active');
