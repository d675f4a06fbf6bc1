package store

import (
	"errors"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const challengeColumns = `tenant, id, version, caller, subject, status, reason, callback_url, decision_id, idempotency_key, request_hash,
	link_secret_hash, link_expires_at, browser_hash, handover_hash, handover_expires_at, phone_hash, network,
	backend, sealed_session, session_hash, session_ends, sessions, confidence, basis, liveness, sealed_request, poll_failures,
	external_status, external_attempts, external_asked_at, sealed_external,
	created_at, expires_at, finished_at, purged_at`

func scanChallenge(r row) (*proof.Challenge, error) {
	c := new(proof.Challenge)
	l, e := &c.Link, &c.External
	return c, r.Scan(&c.Tenant, &c.ID, &c.Version, &c.Caller, &c.Subject, &c.Status, &c.Reason, &c.CallbackURL, &c.DecisionID, &c.IdempotencyKey, &c.RequestHash,
		&l.SecretHash, at(&l.ExpiresAt), &l.BrowserHash, &l.HandoverHash, at(&l.HandoverExpires), &l.PhoneHash, &c.Network,
		&c.Backend, &c.SealedSession, &c.SessionHash, at(&c.SessionEnds), &c.Sessions, &c.Confidence, &c.Basis, &c.Liveness, &c.SealedRequest, &c.PollFailures,
		&e.Status, &e.Attempts, at(&e.AskedAt), &e.Sealed,
		at(&c.CreatedAt), at(&c.ExpiresAt), at(&c.FinishedAt), at(&c.PurgedAt))
}

// challengeValues are in the order of challengeColumns.
func challengeValues(c *proof.Challenge) ([]any, error) {
	var confidence any
	if c.Confidence != nil {
		// SQLite would make NULL of what is not a number, and PostgreSQL keep it.
		if !(*c.Confidence >= 0 && *c.Confidence <= 1) {
			return nil, errors.New("store: a confidence that is not between 0 and 1")
		}
		confidence = *c.Confidence
	}
	l, e := &c.Link, &c.External
	return []any{c.Tenant, c.ID, c.Version, c.Caller, c.Subject, string(c.Status), string(c.Reason), c.CallbackURL, c.DecisionID, c.IdempotencyKey, blob(c.RequestHash),
		blob(l.SecretHash), micros(l.ExpiresAt), blob(l.BrowserHash), blob(l.HandoverHash), micros(l.HandoverExpires), blob(l.PhoneHash), blob(c.Network),
		c.Backend, blob(c.SealedSession), c.SessionHash, micros(c.SessionEnds), c.Sessions, confidence, string(c.Basis), string(c.Liveness), blob(c.SealedRequest), c.PollFailures,
		string(e.Status), e.Attempts, micros(e.AskedAt), blob(e.Sealed),
		micros(c.CreatedAt), micros(c.ExpiresAt), micros(c.FinishedAt), micros(c.PurgedAt)}, nil
}

var insertChallenge, updateChallenge = statements("challenges", challengeColumns)

func (t *tx) Challenge(tenant, id string) (*proof.Challenge, error) {
	return one(t, scanChallenge, `SELECT `+challengeColumns+` FROM challenges WHERE tenant = $1 AND id = $2`, tenant, id)
}

func (t *tx) TenantOfChallenge(id string) (string, error) {
	tenant, err := one(t, scanText, `SELECT tenant FROM challenges WHERE id = $1`, id)
	if err != nil {
		return "", err
	}
	return *tenant, nil
}

func (t *tx) ChallengeByHandover(hash []byte) (*proof.Challenge, error) {
	// NULL is equal to nothing, so an empty hash finds none.
	return one(t, scanChallenge, `SELECT `+challengeColumns+` FROM challenges WHERE handover_hash = $1`, blob(hash))
}

func (t *tx) ChallengeByIdempotencyKey(tenant, caller, key string) (*proof.Challenge, error) {
	return one(t, scanChallenge, `SELECT `+challengeColumns+` FROM challenges
		WHERE tenant = $1 AND caller = $2 AND idempotency_key = $3 AND idempotency_key <> ''`, tenant, caller, key)
}

func (t *tx) ChallengesOf(tenant, subject string) ([]*proof.Challenge, error) {
	return many(t, scanChallenge, `SELECT `+challengeColumns+` FROM challenges
		WHERE tenant = $1 AND subject = $2 ORDER BY created_at DESC, id DESC`, tenant, subject)
}

func (t *tx) InsertChallenge(c *proof.Challenge) error {
	values, err := challengeValues(c)
	if err != nil {
		return err
	}
	n, err := t.exec(insertChallenge, values...)
	return fresh(n, err)
}

func (t *tx) UpdateChallenge(c *proof.Challenge) error {
	values, err := challengeValues(c)
	if err != nil {
		return err
	}
	n, err := t.exec(updateChallenge, values...)
	if err := fresh(n, err); err != nil {
		return err
	}
	c.Version++
	return nil
}
