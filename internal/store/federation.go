package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

var _ federation.Store = (*Store)(nil)

// UpdateFederation implements federation.Store. All that Update says holds.
func (s *Store) UpdateFederation(ctx context.Context, fn func(federation.Tx) error) error {
	return s.db.write(ctx, serial, func(t *tx) error { return fn(t) })
}

// ViewFederation implements federation.Store.
func (s *Store) ViewFederation(ctx context.Context, fn func(federation.Tx) error) error {
	return s.db.read(ctx, func(t *tx) error { return fn(t) })
}

const federationSessionColumns = `tenant, id, secret_hash, client, subject, challenge, verification, auth_time, created_at, expires_at, ended_at, sealed`

func scanFederationSession(r row) (*federation.Session, error) {
	s := new(federation.Session)
	return s, r.Scan(&s.Tenant, &s.ID, &s.Hash, &s.Client, &s.Subject, &s.Challenge, &s.Verification,
		at(&s.AuthTime), at(&s.CreatedAt), at(&s.ExpiresAt), at(&s.EndedAt), &s.Sealed)
}

// InsertFederationSession stores none of a subject that is not there or was erased:
// proof.ErrNotFound. What it was sealed under is gone then.
func (t *tx) InsertFederationSession(s *federation.Session) error {
	if len(s.Hash) == 0 {
		return errors.New("store: a session without a hash")
	}
	ends := micros(s.ExpiresAt)
	if !s.EndedAt.IsZero() {
		ends = min(ends, micros(s.EndedAt))
	}
	n, err := t.exec(`INSERT INTO federation_sessions (`+federationSessionColumns+`, ends_at)
		SELECT tenant, $2, $3, $4, id, $6, $7, CAST($8 AS BIGINT), CAST($9 AS BIGINT), CAST($10 AS BIGINT), CAST($11 AS BIGINT), $12, CAST($13 AS BIGINT)
		FROM subjects WHERE tenant = $1 AND id = $5 AND erased_at = 0 ON CONFLICT DO NOTHING`,
		s.Tenant, s.ID, s.Hash, s.Client, s.Subject, s.Challenge, s.Verification,
		micros(s.AuthTime), micros(s.CreatedAt), micros(s.ExpiresAt), micros(s.EndedAt), blob(s.Sealed), ends)
	return t.freshOf(s.Tenant, s.Subject, n, err)
}

// freshOf is fresh for a row that a living subject must have.
func (t *tx) freshOf(tenant, subject string, n int, err error) error {
	if err != nil || n > 0 {
		return err
	}
	if _, err := one(t, scanCount, `SELECT 1 FROM subjects WHERE tenant = $1 AND id = $2 AND erased_at = 0`, tenant, subject); err != nil {
		return err
	}
	return proof.ErrStale
}

func (t *tx) FederationSession(tenant string, hash []byte) (*federation.Session, error) {
	// NULL is equal to nothing, so an empty hash finds none.
	return one(t, scanFederationSession, `SELECT `+federationSessionColumns+` FROM federation_sessions WHERE tenant = $1 AND secret_hash = $2`, tenant, blob(hash))
}

func (t *tx) FederationSessionByID(tenant, id string) (*federation.Session, error) {
	return one(t, scanFederationSession, `SELECT `+federationSessionColumns+` FROM federation_sessions WHERE tenant = $1 AND id = $2`, tenant, id)
}

// EndFederationSession keeps the time of the first end.
func (t *tx) EndFederationSession(tenant, id string, when time.Time) error {
	n, err := t.exec(`UPDATE federation_sessions SET `+endSession+` WHERE tenant = $1 AND id = $2`, tenant, id, micros(when))
	return found(n, err)
}

const endSession = `ended_at = CASE WHEN ended_at = 0 THEN CAST($3 AS BIGINT) ELSE ended_at END,
	ends_at = CASE WHEN ended_at = 0 AND ends_at > $3 THEN CAST($3 AS BIGINT) ELSE ends_at END`

// found turns "no row was changed" into proof.ErrNotFound.
func found(n int, err error) error {
	if err == nil && n == 0 {
		return proof.ErrNotFound
	}
	return err
}

const grantColumns = `tenant, id, family, client, subject, session, of_hash, token_hash, sealed, scope, issued_at, expires_at, keep_until, revoked_at`

func scanGrant(r row) (*federation.Grant, error) {
	g := new(federation.Grant)
	return g, r.Scan(&g.Tenant, &g.ID, &g.Family, &g.Client, &g.Subject, &g.Session, &g.OfHash, &g.TokenHash, &g.Sealed, &g.Scope,
		at(&g.IssuedAt), at(&g.ExpiresAt), at(&g.KeepUntil), at(&g.RevokedAt))
}

// InsertGrant stores none of a subject that is not there or was erased:
// proof.ErrNotFound; and none that would join a family of which something was revoked:
// proof.ErrStale. Otherwise who revokes a family would miss a refresh that comes after.
//
// A first grant looks for no family: on PostgreSQL, transactions that look there and
// write there would collide with each other.
func (t *tx) InsertGrant(g *federation.Grant) error {
	insert := insertGrant
	if g.Family != g.ID {
		insert = insertRefreshed
	}
	n, err := t.exec(insert, g.Tenant, g.ID, g.Family, g.Client, g.Subject, g.Session, blob(g.OfHash), blob(g.TokenHash), blob(g.Sealed), g.Scope,
		micros(g.IssuedAt), micros(g.ExpiresAt), micros(g.KeepUntil), micros(g.RevokedAt))
	return t.freshOf(g.Tenant, g.Subject, n, err)
}

const (
	grantOf = `INSERT INTO federation_grants (` + grantColumns + `)
		SELECT tenant, $2, $3, $4, id, $6, $7, $8, $9, $10, CAST($11 AS BIGINT), CAST($12 AS BIGINT), CAST($13 AS BIGINT), CAST($14 AS BIGINT)
		FROM subjects WHERE tenant = $1 AND id = $5 AND erased_at = 0 `
	insertGrant     = grantOf + `ON CONFLICT DO NOTHING`
	insertRefreshed = grantOf + `AND NOT EXISTS (SELECT 1 FROM federation_grants WHERE tenant = $1 AND family = $3 AND revoked_at <> 0)
		ON CONFLICT DO NOTHING`
)

func (t *tx) GrantByOf(tenant string, ofHash []byte) (*federation.Grant, error) {
	return one(t, scanGrant, `SELECT `+grantColumns+` FROM federation_grants WHERE tenant = $1 AND of_hash = $2`, tenant, blob(ofHash))
}

func (t *tx) GrantByToken(tenant string, tokenHash []byte) (*federation.Grant, error) {
	return one(t, scanGrant, `SELECT `+grantColumns+` FROM federation_grants WHERE tenant = $1 AND token_hash = $2`, tenant, blob(tokenHash))
}

func (t *tx) RevokeGrants(tenant, family string, when time.Time) (int, error) {
	return t.exec(`UPDATE federation_grants SET revoked_at = $3 WHERE tenant = $1 AND family = $2 AND revoked_at = 0`, tenant, family, micros(when))
}

// eraseFederation ends what a subject has here. That something was redeemed stays, so
// that it is not redeemed again.
func (t *tx) eraseFederation(tenant, subject string, when time.Time) error {
	if err := t.later(`UPDATE federation_sessions SET sealed = NULL, secret_hash = NULL, `+endSession+` WHERE tenant = $1 AND subject = $2`,
		tenant, subject, micros(when)); err != nil {
		return err
	}
	return t.later(`UPDATE federation_grants SET sealed = NULL, token_hash = NULL,
		revoked_at = CASE WHEN revoked_at = 0 THEN CAST($3 AS BIGINT) ELSE revoked_at END WHERE tenant = $1 AND subject = $2`, tenant, subject, micros(when))
}

// Use takes the row over once its time has passed.
func (t *tx) Use(tenant, kind string, hash []byte, when, until time.Time) error {
	if len(hash) == 0 {
		return errors.New("store: a use without a hash")
	}
	n, err := t.exec(`INSERT INTO federation_uses (tenant, kind, hash, at, until) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (tenant, kind, hash) DO UPDATE SET at = excluded.at, until = excluded.until WHERE federation_uses.until <= excluded.at`,
		tenant, kind, hash, micros(when), micros(until))
	return fresh(n, err)
}

const pushedColumns = `tenant, kind, hash, version, client, sealed, created_at, expires_at, used_at, polled_at`

func scanPushed(r row) (*federation.Pushed, error) {
	p := new(federation.Pushed)
	return p, r.Scan(&p.Tenant, &p.Kind, &p.Hash, &p.Version, &p.Client, &p.Sealed, at(&p.CreatedAt), at(&p.ExpiresAt), at(&p.UsedAt), at(&p.PolledAt))
}

// pushedValues are in the order of pushedColumns.
func pushedValues(p *federation.Pushed) []any {
	return []any{p.Tenant, p.Kind, blob(p.Hash), p.Version, p.Client, blob(p.Sealed),
		micros(p.CreatedAt), micros(p.ExpiresAt), micros(p.UsedAt), micros(p.PolledAt)}
}

func (t *tx) InsertPushed(p *federation.Pushed) error {
	n, err := t.exec(`INSERT INTO federation_pushed (`+pushedColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING`, pushedValues(p)...)
	return fresh(n, err)
}

func (t *tx) Pushed(tenant, kind string, hash []byte) (*federation.Pushed, error) {
	return one(t, scanPushed, `SELECT `+pushedColumns+` FROM federation_pushed WHERE tenant = $1 AND kind = $2 AND hash = $3`, tenant, kind, blob(hash))
}

func (t *tx) UpdatePushed(p *federation.Pushed) error {
	n, err := t.exec(`UPDATE federation_pushed SET version = version + 1, client = $5, sealed = $6, created_at = $7, expires_at = $8, used_at = $9, polled_at = $10
		WHERE tenant = $1 AND kind = $2 AND hash = $3 AND version = $4`, pushedValues(p)...)
	if err := fresh(n, err); err != nil {
		return err
	}
	p.Version++
	return nil
}

// Clients are in the order of their ids, their secrets from the oldest to the newest.
func (t *tx) Clients(tenant string) ([]*federation.StoredClient, error) {
	all, err := many(t, func(r row) (*federation.StoredClient, error) {
		c := new(federation.StoredClient)
		err := r.Scan(&c.ID, &c.Version, fromJSON(&c.Client), at(&c.CreatedAt), at(&c.UpdatedAt))
		c.Tenant = tenant
		return c, err
	}, `SELECT id, version, document, created_at, updated_at FROM federation_clients WHERE tenant = $1 ORDER BY id`, tenant)
	if err != nil {
		return nil, err
	}
	byID := make(map[string]*federation.StoredClient, len(all))
	for _, c := range all {
		byID[c.ID] = c
	}
	err = t.query(func(r row) error {
		var client string
		var s federation.Secret
		if err := r.Scan(&client, &s.ID, &s.Hash, at(&s.CreatedAt), at(&s.ExpiresAt)); err != nil {
			return err
		}
		c, ok := byID[client]
		if !ok {
			return fmt.Errorf("a secret of no client %q", client)
		}
		c.Secrets = append(c.Secrets, s)
		return nil
	}, `SELECT client, id, hash, created_at, expires_at FROM federation_secrets WHERE tenant = $1 ORDER BY client, created_at, id`, tenant)
	if err != nil {
		return nil, err
	}
	return all, nil
}

func (t *tx) ClientsVersion(tenant string) (int64, error) {
	n, err := one(t, func(r row) (*int64, error) {
		n := new(int64)
		return n, r.Scan(n)
	}, `SELECT changes FROM federation_client_changes WHERE tenant = $1`, tenant)
	if errors.Is(err, proof.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return *n, nil
}

func (t *tx) clientsChanged(tenant string) error {
	return t.later(`INSERT INTO federation_client_changes (tenant, changes) VALUES ($1, 1)
		ON CONFLICT (tenant) DO UPDATE SET changes = federation_client_changes.changes + 1`, tenant)
}

func (t *tx) InsertClient(c *federation.StoredClient) error {
	document, err := json.Marshal(c.Client)
	if err != nil {
		return fmt.Errorf("store: a client: %w", err)
	}
	n, err := t.exec(`INSERT INTO federation_clients (tenant, id, version, document, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
		c.Tenant, c.ID, c.Version, string(document), micros(c.CreatedAt), micros(c.UpdatedAt))
	if err := fresh(n, err); err != nil {
		return err
	}
	return t.putSecrets(c)
}

// UpdateClient stores the secrets as they are in c, and does not touch CreatedAt.
func (t *tx) UpdateClient(c *federation.StoredClient) error {
	document, err := json.Marshal(c.Client)
	if err != nil {
		return fmt.Errorf("store: a client: %w", err)
	}
	n, err := t.exec(`UPDATE federation_clients SET version = version + 1, document = $4, updated_at = $5 WHERE tenant = $1 AND id = $2 AND version = $3`,
		c.Tenant, c.ID, c.Version, string(document), micros(c.UpdatedAt))
	if err := fresh(n, err); err != nil {
		return err
	}
	if err := t.dropSecrets(c.Tenant, c.ID); err != nil {
		return err
	}
	if err := t.putSecrets(c); err != nil {
		return err
	}
	c.Version++
	return nil
}

func (t *tx) DeleteClient(tenant, id string) error {
	if err := t.dropSecrets(tenant, id); err != nil {
		return err
	}
	n, err := t.exec(`DELETE FROM federation_clients WHERE tenant = $1 AND id = $2`, tenant, id)
	if err := found(n, err); err != nil {
		return err
	}
	return t.clientsChanged(tenant)
}

func (t *tx) dropSecrets(tenant, client string) error {
	return t.later(`DELETE FROM federation_secrets WHERE tenant = $1 AND client = $2`, tenant, client)
}

// putSecrets ends every change of a client.
func (t *tx) putSecrets(c *federation.StoredClient) error {
	for _, s := range c.Secrets {
		if err := t.later(`INSERT INTO federation_secrets (tenant, client, id, hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)`,
			c.Tenant, c.ID, s.ID, blob(s.Hash), micros(s.CreatedAt), micros(s.ExpiresAt)); err != nil {
			return err
		}
	}
	return t.clientsChanged(c.Tenant)
}

const keyColumns = `tenant, id, usage, alg, state, public, sealed, created_at, changed_at`

func scanKey(r row) (*federation.Key, error) {
	k := new(federation.Key)
	return k, r.Scan(&k.Tenant, &k.ID, &k.Use, &k.Alg, &k.State, &k.Public, &k.Sealed, at(&k.CreatedAt), at(&k.ChangedAt))
}

func (t *tx) Keys(tenant string) ([]*federation.Key, error) {
	return many(t, scanKey, `SELECT `+keyColumns+` FROM federation_keys WHERE tenant = $1 ORDER BY created_at, id`, tenant)
}

// InsertKey: of one use and alg there is one active and one next; a second one is
// proof.ErrStale.
func (t *tx) InsertKey(k *federation.Key) error {
	n, err := t.exec(`INSERT INTO federation_keys (`+keyColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING`,
		k.Tenant, k.ID, k.Use, k.Alg, string(k.State), blob(k.Public), blob(k.Sealed), micros(k.CreatedAt), micros(k.ChangedAt))
	return fresh(n, err)
}

// UpdateKeyState drops the private half of a key that is retired. As for InsertKey, a
// second active or next one is proof.ErrStale, and that ends the transaction.
func (t *tx) UpdateKeyState(tenant, id string, from, to federation.KeyState, when time.Time) error {
	retired := ""
	if to == federation.KeyRetired {
		retired, t.erased = ", sealed = NULL", true
	}
	n, err := t.exec(`UPDATE federation_keys SET state = $4, changed_at = $5`+retired+` WHERE tenant = $1 AND id = $2 AND state = $3`,
		tenant, id, string(from), string(to), micros(when))
	if err != nil || n > 0 {
		return err
	}
	if _, err := one(t, scanCount, `SELECT 1 FROM federation_keys WHERE tenant = $1 AND id = $2`, tenant, id); err != nil {
		return err
	}
	return proof.ErrStale
}

// PurgeFederation drops at most purgeChunk rows of each kind, the oldest first: whoever
// wants all gone calls it, in transactions of their own, until it returns zero.
func (t *tx) PurgeFederation(tenant string, before time.Time) (int, error) {
	total := 0
	for _, p := range []struct{ table, key, ended string }{
		{"federation_sessions", "id", "ends_at"},
		{"federation_grants", "of_hash", "keep_until"},
		{"federation_uses", "kind, hash", "until"},
		{"federation_pushed", "kind, hash", "expires_at"},
	} {
		n, err := t.exec(`DELETE FROM `+p.table+` WHERE tenant = $1 AND (`+p.key+`) IN (
			SELECT `+p.key+` FROM `+p.table+` WHERE tenant = $1 AND `+p.ended+` < $2 ORDER BY `+p.ended+` LIMIT $3)`, tenant, micros(before), int64(purgeChunk))
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}
