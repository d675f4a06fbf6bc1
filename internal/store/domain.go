package store

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const subjectColumns = `tenant, id, lookup, wrapped_key, sealed_identifier, created_at, erased_at`

func scanSubject(r row) (*proof.Subject, error) {
	s := new(proof.Subject)
	return s, r.Scan(&s.Tenant, &s.ID, &s.Lookup, &s.WrappedKey, &s.SealedIdentifier, at(&s.CreatedAt), at(&s.ErasedAt))
}

func (t *tx) Subject(tenant, id string) (*proof.Subject, error) {
	return one(t, scanSubject, `SELECT `+subjectColumns+` FROM subjects WHERE tenant = $1 AND id = $2`, tenant, id)
}

func (t *tx) SubjectByLookup(tenant string, lookup []byte) (*proof.Subject, error) {
	// An erased subject has no lookup. Neither has a pairwise one, and NULL is
	// equal to nothing, so an empty lookup finds nobody.
	return one(t, scanSubject, `SELECT `+subjectColumns+` FROM subjects WHERE tenant = $1 AND lookup = $2`, tenant, blob(lookup))
}

func (t *tx) InsertSubject(s *proof.Subject) error {
	n, err := t.exec(`INSERT INTO subjects (`+subjectColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
		s.Tenant, s.ID, blob(s.Lookup), blob(s.WrappedKey), blob(s.SealedIdentifier), micros(s.CreatedAt), micros(s.ErasedAt))
	return fresh(n, err)
}

func (t *tx) EraseSubject(tenant, id string, when time.Time) error {
	if err := t.eraseHooks(tenant, id); err != nil {
		return err
	}
	return t.eraseSubject(tenant, id, when)
}

// eraseSubject erases all that is found by the subject's id.
func (t *tx) eraseSubject(tenant, id string, when time.Time) error {
	n, err := t.exec(`UPDATE subjects SET lookup = NULL, wrapped_key = NULL, sealed_identifier = NULL,
		erased_at = CASE WHEN erased_at = 0 THEN CAST($3 AS BIGINT) ELSE erased_at END
		WHERE tenant = $1 AND id = $2`, tenant, id, micros(when))
	if err != nil {
		return err
	}
	if n == 0 {
		return proof.ErrNotFound
	}
	t.erased = true
	// Counting the version up makes a copy that was read before the erasure
	// stale: storing it would bring the sealed columns back.
	if err := t.later(`UPDATE verifications SET sealed_request = NULL, sealed_outcome = NULL, upstream_sealed_url = NULL, session_hash = '',
		sealed_external = NULL, request_hash = NULL, version = version + 1 WHERE tenant = $1 AND subject = $2`, tenant, id); err != nil {
		return err
	}
	if err := t.later(`UPDATE challenges SET sealed_request = NULL, sealed_session = NULL, session_hash = '', sealed_external = NULL, request_hash = NULL, network = NULL,
		version = version + 1 WHERE tenant = $1 AND subject = $2`, tenant, id); err != nil {
		return err
	}
	if err := t.later(`UPDATE risk_decisions SET sealed_record = NULL, readable = FALSE WHERE tenant = $1 AND subject = $2`, tenant, id); err != nil {
		return err // how a decision ended may still be stored: that brings no record back
	}
	if err := t.eraseFederation(tenant, id, when); err != nil {
		return err
	}
	if err := t.eraseDeliveries(tenant, id); err != nil {
		return err
	}
	return t.DropHistory(tenant, id)
}

const verificationColumns = `tenant, id, version, caller, subject, named, status, reason, document_types, document_type, liveness,
	callback_url, idempotency_key, request_hash, link_secret_hash, link_expires_at, browser_hash, handover_hash,
	handover_expires_at, phone_hash, upstream_profile, upstream_session, upstream_dvc, upstream_sealed_url, session_hash,
	ial_level, ial_source, ial_expires_at, sealed_request, sealed_outcome, poll_failures, level_tries,
	external_status, external_attempts, external_asked_at, sealed_external,
	created_at, consent_at, expires_at, finished_at, purged_at`

func scanVerification(r row) (*proof.Verification, error) {
	v := new(proof.Verification)
	l, u, e := &v.Link, &v.Upstream, &v.External
	return v, r.Scan(&v.Tenant, &v.ID, &v.Version, &v.Caller, &v.Subject, &v.Named, &v.Status, &v.Reason,
		fromJSON(&v.DocumentTypes), &v.DocumentType, &v.Liveness,
		&v.CallbackURL, &v.IdempotencyKey, &v.RequestHash, &l.SecretHash, at(&l.ExpiresAt), &l.BrowserHash, &l.HandoverHash,
		at(&l.HandoverExpires), &l.PhoneHash, &u.Profile, &u.SessionID, &u.DVC, &u.SealedURL, &u.SessionHash,
		&v.IALLevel, &v.IALSource, at(&v.IALExpiresAt), &v.SealedRequest, &v.SealedOutcome, &v.PollFailures, &v.LevelTries,
		&e.Status, &e.Attempts, at(&e.AskedAt), &e.Sealed,
		at(&v.CreatedAt), at(&v.ConsentAt), at(&v.ExpiresAt), at(&v.FinishedAt), at(&v.PurgedAt))
}

// verificationValues are in the order of verificationColumns.
func verificationValues(v *proof.Verification) ([]any, error) {
	types, err := asJSON(v.DocumentTypes, len(v.DocumentTypes))
	if err != nil {
		return nil, fmt.Errorf("store: document types: %w", err)
	}
	l, u, e := &v.Link, &v.Upstream, &v.External
	return []any{v.Tenant, v.ID, v.Version, v.Caller, v.Subject, v.Named, string(v.Status), string(v.Reason),
		types, string(v.DocumentType), string(v.Liveness),
		v.CallbackURL, v.IdempotencyKey, blob(v.RequestHash), blob(l.SecretHash), micros(l.ExpiresAt), blob(l.BrowserHash), blob(l.HandoverHash),
		micros(l.HandoverExpires), blob(l.PhoneHash), u.Profile, u.SessionID, u.DVC, blob(u.SealedURL), u.SessionHash,
		v.IALLevel, v.IALSource, micros(v.IALExpiresAt), blob(v.SealedRequest), blob(v.SealedOutcome), v.PollFailures, v.LevelTries,
		string(e.Status), e.Attempts, micros(e.AskedAt), blob(e.Sealed),
		micros(v.CreatedAt), micros(v.ConsentAt), micros(v.ExpiresAt), micros(v.FinishedAt), micros(v.PurgedAt)}, nil
}

func (t *tx) Verification(tenant, id string) (*proof.Verification, error) {
	return one(t, scanVerification, `SELECT `+verificationColumns+` FROM verifications WHERE tenant = $1 AND id = $2`, tenant, id)
}

func (t *tx) TenantOfVerification(id string) (string, error) {
	tenant, err := one(t, scanText, `SELECT tenant FROM verifications WHERE id = $1`, id)
	if err != nil {
		return "", err
	}
	return *tenant, nil
}

func (t *tx) VerificationByIdempotencyKey(tenant, caller, key string) (*proof.Verification, error) {
	return one(t, scanVerification, `SELECT `+verificationColumns+` FROM verifications
		WHERE tenant = $1 AND caller = $2 AND idempotency_key = $3 AND idempotency_key <> ''`, tenant, caller, key)
}

func (t *tx) VerificationsOf(tenant, subject string) ([]*proof.Verification, error) {
	return many(t, scanVerification, `SELECT `+verificationColumns+` FROM verifications
		WHERE tenant = $1 AND subject = $2 ORDER BY created_at DESC, id DESC`, tenant, subject)
}

func (t *tx) OpenUnder(tenant string, ids, hashes []string) (verifications, challenges []string, err error) {
	if verifications, err = t.openUnder("verifications", string(proof.InProgress), tenant, ids, hashes); err != nil {
		return nil, nil, err
	}
	challenges, err = t.openUnder("challenges", string(proof.ChallengePending), tenant, ids, hashes)
	return verifications, challenges, err
}

func (t *tx) openUnder(table, status, tenant string, ids, hashes []string) ([]string, error) {
	// "" is never an id, and no session's hash; so no list is empty.
	named, args := oneOf(append(slices.Clone(ids), ""), tenant, status)
	hashed, args := oneOf(append(slices.Clone(hashes), ""), args...)
	of := `SELECT id FROM ` + table + ` WHERE tenant = $1 AND status = $2 AND `
	found, err := texts(t, of+`id IN (`+named+`) UNION ALL `+of+`session_hash <> '' AND session_hash IN (`+hashed+`)`, args...)
	slices.Sort(found)
	return slices.Compact(found), err
}

func (t *tx) InsertVerification(v *proof.Verification) error {
	values, err := verificationValues(v)
	if err != nil {
		return err
	}
	n, err := t.exec(insertVerification, values...)
	return fresh(n, err)
}

func (t *tx) UpdateVerification(v *proof.Verification) error {
	values, err := verificationValues(v)
	if err != nil {
		return err
	}
	n, err := t.exec(updateVerification, values...)
	if err := fresh(n, err); err != nil {
		return err
	}
	v.Version++
	return nil
}

var insertVerification, updateVerification = statements("verifications", verificationColumns)

const assuranceColumns = `tenant, id, subject, verification, level, source, granted_at, expires_at, revoked_at`

func scanAssurance(r row) (*proof.Assurance, error) {
	a := new(proof.Assurance)
	return a, r.Scan(&a.Tenant, &a.ID, &a.Subject, &a.Verification, &a.Level, &a.Source, at(&a.GrantedAt), at(&a.ExpiresAt), at(&a.RevokedAt))
}

func (t *tx) InsertAssurance(a *proof.Assurance) error {
	return t.later(`INSERT INTO assurances (`+assuranceColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		a.Tenant, a.ID, a.Subject, a.Verification, a.Level, a.Source, micros(a.GrantedAt), micros(a.ExpiresAt), micros(a.RevokedAt))
}

func (t *tx) AssurancesOf(tenant, subject string) ([]*proof.Assurance, error) {
	return many(t, scanAssurance, `SELECT `+assuranceColumns+` FROM assurances
		WHERE tenant = $1 AND subject = $2 ORDER BY granted_at DESC, id DESC`, tenant, subject)
}

func (t *tx) RevokeAssurances(tenant, subject string, when time.Time) (int, error) {
	return t.exec(`UPDATE assurances SET revoked_at = $3
		WHERE tenant = $1 AND subject = $2 AND revoked_at = 0 AND (expires_at = 0 OR expires_at > $3)`, tenant, subject, micros(when))
}

const auditColumns = `tenant, id, at, actor, action, object, reason, detail`

func scanAudit(r row) (*proof.AuditRecord, error) {
	a := new(proof.AuditRecord)
	return a, r.Scan(&a.Tenant, &a.ID, at(&a.At), &a.Actor, &a.Action, &a.Object, &a.Reason, fromJSON(&a.Detail))
}

func (t *tx) InsertAudit(r *proof.AuditRecord) error {
	detail, err := asJSON(r.Detail, len(r.Detail))
	if err != nil {
		return fmt.Errorf("store: audit detail: %w", err)
	}
	return t.later(`INSERT INTO audit (`+auditColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		r.Tenant, r.ID, micros(r.At), r.Actor, r.Action, r.Object, string(r.Reason), detail)
}

func (t *tx) AuditOf(tenant, object string) ([]*proof.AuditRecord, error) {
	return many(t, scanAudit, `SELECT `+auditColumns+` FROM audit WHERE tenant = $1 AND object = $2 ORDER BY at, id`, tenant, object)
}

func scanSealed(r row) (*[]byte, error) {
	b := new([]byte)
	return b, r.Scan(b)
}

func (t *tx) Secret(tenant, name string) ([]byte, error) {
	b, err := one(t, scanSealed, `SELECT sealed FROM secrets WHERE tenant = $1 AND name = $2`, tenant, name)
	if err != nil {
		return nil, err
	}
	return *b, nil
}

func (t *tx) PutSecretIfAbsent(tenant, name string, sealed []byte) ([]byte, error) {
	if len(sealed) == 0 {
		return nil, errors.New("store: an empty secret")
	}
	if _, err := t.exec(`INSERT INTO secrets (tenant, name, sealed) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
		tenant, name, sealed); err != nil {
		return nil, err
	}
	return t.Secret(tenant, name)
}

func scanText(r row) (*string, error) {
	s := new(string)
	return s, r.Scan(s)
}

// fresh turns "no row was written" into proof.ErrStale.
func fresh(n int, err error) error {
	if err == nil && n == 0 {
		return proof.ErrStale
	}
	return err
}
