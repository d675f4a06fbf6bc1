package journey

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Kinds of the jobs that this package queues and handles. The key of each is
// the id of the verification or challenge.
const (
	JobPoll   = "verification.poll"
	JobExpire = "verification.expire"
	JobPurge  = "verification.purge"

	JobChallengePoll   = "challenge.poll"
	JobChallengeExpire = "challenge.expire"
	JobChallengePurge  = "challenge.purge"
)

// Tenant is the configuration of one tenant, as far as the journey needs it.
type Tenant struct {
	ID              string
	Upstream        Upstream
	DefaultLiveness proof.LivenessMode // when the caller names none
	LinkTTL         time.Duration      // how long a link that nobody opened stays good
	Deadline        time.Duration      // how long a verification may take, from Start
	HandoverTTL     time.Duration      // how long the link to a phone stays good
	Retention       time.Duration      // how long claims are kept after the end
	PollFirst       time.Duration      // first distance between two polls
	PollMax         time.Duration      // the largest
	PollGiveUp      int                // permanent upstream errors in a row that end a verification
	Policy          []AssuranceRule    // first rule that holds decides; none: no level
	StepUp          StepUpRules
	External        ExternalRules
}

// StepUpRules are a tenant's rules for challenges.
type StepUpRules struct {
	Backend         StepUp        // nil: this tenant has no step-up
	Timeout         time.Duration // of a challenge whose caller names none
	MaxTimeout      time.Duration // the longest that a caller may name
	Poll            time.Duration // distance between two polls while somebody is at it
	ResultTTL       time.Duration // how long a match may be read after the challenge has ended
	WithoutLiveness bool          // a match for which the provider reports liveness "none" counts
	Limits          Limits
}

// Limits bound guessing (promise 5). They are counted in the store, so that a
// restart or another replica forgets nothing.
type Limits struct {
	SubjectStarts   Limit // challenges of one subject
	SubjectFailures Limit // challenges of one subject that ended in no match
	CallerStarts    Limit // challenges of one caller
	NetworkOpens    Limit // links opened, or tried with a wrong secret, from one network
	NetworkFailures Limit // challenges answered from one network that ended in no match
}

// Limit is so many in so long a time. Max zero means no limit.
type Limit struct {
	Max int
	Per time.Duration
}

// AssuranceRule maps a verified verification to a level, because an operator
// wrote down that it does. It is never applied where 1Kosmos itself asserts one.
type AssuranceRule struct {
	Name          string
	Level         string // IAL1, IAL2, IAL3
	Liveness      []proof.LivenessMode
	DocumentTypes []proof.DocumentType
	DVCs          []string      // dvcIDs that this rule is about; empty: any
	Checks        []string      // every one of these must be there and have passed
	ValidFor      time.Duration // at most this long, and never past the document's expiry; 0: until then
}

// Options wires a Service.
type Options struct {
	Store          Store
	Vault          Vault
	Tenants        []Tenant
	Callers        func(tenant, id string) (proof.Caller, bool)
	PublicURL      string // our own origin, e.g. https://bridge.example.com, no trailing slash
	ConsentVersion string // version of the text that people consent to, recorded with each consent
	// OnVerdict is the kind of job that is queued, with the challenge's id as its key, when a
	// challenge that names a decision has ended in match or no_match; empty: none.
	OnVerdict string
	// OnEnded is the kind of job that is queued in the transaction in which something ends,
	// with "verification:ID", "challenge:ID" or, of a person who was forgotten, "subject:ID" as
	// its key; empty: none.
	OnEnded string
	Now     func() time.Time
	Wake    func() // called after a commit that queued a job due soon; may be nil
	Logger  *slog.Logger
}

// Service carries out the use cases. It is safe for concurrent use.
type Service struct {
	Options
	tenants map[string]*Tenant
	slots   map[string]chan struct{} // polls of one tenant at the same time
	faces   map[string]chan struct{} // the same for challenges, whose people are waiting
	opening sync.Map                 // ids whose upstream session is being opened
	turns   [64]sync.Mutex           // of starts for the same user
	returns singleflight.Group       // into the Descope flow, by id
}

// pollsAtOnce keeps a tenant that does not answer from taking all workers.
const (
	pollsAtOnce = 4
	facesAtOnce = 16
)

// New makes a Service.
func New(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Wake == nil {
		o.Wake = func() {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{Options: o, tenants: map[string]*Tenant{}, slots: map[string]chan struct{}{}, faces: map[string]chan struct{}{}}
	for i := range o.Tenants {
		s.tenants[o.Tenants[i].ID] = &s.Tenants[i]
		s.slots[o.Tenants[i].ID] = make(chan struct{}, pollsAtOnce)
		s.faces[o.Tenants[i].ID] = make(chan struct{}, facesAtOnce)
	}
	return s
}

func (s *Service) tenant(id string) (*Tenant, error) {
	t, ok := s.tenants[id]
	if !ok {
		return nil, &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonUnknownSession, Message: "this tenant is not configured"}
	}
	return t, nil
}

// update runs fn in a transaction, again when another one came between.
func (s *Service) update(ctx context.Context, fn func(tx Tx) error) error {
	var err error
	for range 8 {
		if err = s.Store.Update(ctx, fn); !errors.Is(err, proof.ErrStale) {
			return err
		}
	}
	return err
}

// Start begins a verification for a caller. Repeating it with the same
// idempotency key and the same content answers the same again.
func (s *Service) Start(ctx context.Context, c proof.Caller, r StartRequest) (Started, error) {
	t, err := s.tenant(c.Tenant)
	if err != nil {
		return Started{}, err
	}
	if err := t.complete(&r, c); err != nil {
		return Started{}, err
	}
	body, err := json.Marshal(r)
	if err != nil {
		return Started{}, fmt.Errorf("encoding the request: %w", err)
	}
	request, err := json.Marshal(r.Request)
	if err != nil {
		return Started{}, fmt.Errorf("encoding the request: %w", err)
	}
	id := proof.NewID()
	now := s.Now()
	v := &proof.Verification{
		ID: id, Tenant: c.Tenant, Caller: c.ID, Named: r.Request.UserIdentifier != "", Status: proof.Pending,
		DocumentTypes: r.DocumentTypes, Liveness: r.Liveness, CallbackURL: r.CallbackURL,
		IdempotencyKey: s.idempotencyKey(c, r.IdempotencyKey), RequestHash: s.Vault.MAC(c.Tenant, "request", string(body)),
		Link:      proof.Link{SecretHash: hash(s.linkSecret(c.Tenant, id)), ExpiresAt: now.Add(t.LinkTTL)},
		External:  wanted(r.ExternalAuth),
		CreatedAt: now, ExpiresAt: now.Add(t.Deadline),
	}
	var stored *proof.Verification
	for range 8 {
		// Keys are made and values sealed before the transaction, because there is one writer.
		var subject *proof.Subject
		var fresh bool
		if subject, fresh, err = s.Subject(ctx, c.Tenant, r.Request.UserIdentifier); err != nil {
			return Started{}, err
		}
		v.Subject = subject.ID
		if v.SealedRequest, err = s.Vault.Seal(subject.WrappedKey, place(v, "request"), request); err != nil {
			return Started{}, fmt.Errorf("sealing the request: %w", err)
		}
		err = s.Store.Update(ctx, func(tx Tx) error {
			if v.IdempotencyKey != "" {
				old, err := tx.VerificationByIdempotencyKey(c.Tenant, c.ID, v.IdempotencyKey)
				if err == nil {
					stored = old
					return nil
				}
				if !errors.Is(err, proof.ErrNotFound) {
					return err
				}
			}
			if fresh {
				if err := tx.InsertSubject(subject); err != nil {
					return err
				}
			} else if found, err := tx.SubjectByLookup(c.Tenant, subject.Lookup); errors.Is(err, proof.ErrNotFound) || err == nil && found.ID != subject.ID {
				return proof.ErrStale // erased meanwhile, and perhaps somebody new since
			} else if err != nil {
				return err
			}
			row := *v
			if err := tx.InsertVerification(&row); err != nil {
				return err
			}
			stored = &row
			if err := s.audit(tx, v.Tenant, "caller:"+c.ID, "verification.started", v.ID, "", map[string]string{"liveness": string(v.Liveness)}); err != nil {
				return err
			}
			return tx.Enqueue(proof.NewJob(v.Tenant, JobExpire, v.ID, v.ExpiresAt))
		})
		if !errors.Is(err, proof.ErrStale) {
			break
		}
	}
	if err != nil {
		return Started{}, err
	}
	if err := sameRequest(stored.RequestHash, v.RequestHash); err != nil {
		return Started{}, err
	}
	return Started{
		SessionID: stored.ID, Status: stored.Status, ExpiresAt: stored.ExpiresAt,
		SessionURL: s.PublicURL + "/v/" + stored.ID + "/" + s.linkSecret(stored.Tenant, stored.ID),
	}, nil
}

// sameRequest tells the repetition of a request from another one with the same
// idempotency key.
func sameRequest(stored, asked []byte) error {
	message := "this idempotency_key was used before with other content; use a new key"
	switch {
	case stored == nil:
		message = "this idempotency_key was used before, for something whose data is gone by now; use a new key"
	case subtle.ConstantTimeCompare(stored, asked) == 1:
		return nil
	}
	return &proof.Error{Code: proof.CodeConflict, Reason: proof.ReasonIdempotencyConflict, Field: "idempotency_key", Message: message}
}

// idempotencyKey is what is kept of a caller's key: callers put names and
// addresses into such keys, and these are not ours to keep in the clear.
func (s *Service) idempotencyKey(c proof.Caller, key string) string {
	if key == "" {
		return ""
	}
	return hex.EncodeToString(s.Vault.MAC(c.Tenant, "idempotency", c.ID+"\x00"+key))
}

// complete fills in defaults and refuses what the caller may not ask for.
func (t *Tenant) complete(r *StartRequest, c proof.Caller) error {
	allowed := c.DocumentTypes
	if len(allowed) == 0 {
		allowed = proof.DocumentTypes()
	}
	if r.Liveness == "" {
		r.Liveness = t.DefaultLiveness
	}
	if !slices.Contains(c.Liveness, r.Liveness) {
		return notAllowed("liveness_mode", "liveness_mode %q is not allowed for this caller; allowed: %s", r.Liveness, join(c.Liveness))
	}
	if len(r.DocumentTypes) == 0 {
		for _, d := range proof.DocumentTypes() {
			if slices.Contains(allowed, d) && t.Upstream.Supports(d, r.Liveness) {
				r.DocumentTypes = append(r.DocumentTypes, d)
			}
		}
		if len(r.DocumentTypes) == 0 {
			return notAllowed("document_types", "no document type is configured for liveness_mode %q", r.Liveness)
		}
	}
	for _, d := range r.DocumentTypes {
		if !slices.Contains(allowed, d) {
			return notAllowed("document_types", "document type %q is not allowed for this caller; allowed: %s", d, join(allowed))
		}
		if !t.Upstream.Supports(d, r.Liveness) {
			return notAllowed("document_types", "no 1Kosmos workflow is configured for document type %q with liveness_mode %q", d, r.Liveness)
		}
	}
	if r.CallbackURL != "" && !slices.Contains(c.CallbackURLs, r.CallbackURL) {
		return notAllowed("callback_url", "callback_url is not on this caller's allow-list")
	}
	if r.ExternalAuth {
		return t.mayReturn(c, proof.NodeIDV, r.Request.UserIdentifier, r.CallbackURL)
	}
	return nil
}

func notAllowed(field, format string, args ...any) error {
	return &proof.Error{Code: proof.CodeForbidden, Reason: proof.ReasonNotAllowed, Field: field, Message: fmt.Sprintf(format, args...)}
}

func join[T ~string](list []T) string {
	s := make([]string, len(list))
	for i, e := range list {
		s[i] = string(e)
	}
	if len(s) == 0 {
		return "none"
	}
	return strings.Join(s, ", ")
}

// Subject finds the subject of a user identifier or prepares a new one, which is fresh
// and still to be inserted. Without an identifier it is always a new, pairwise one.
func (s *Service) Subject(ctx context.Context, tenant, identifier string) (_ *proof.Subject, fresh bool, err error) {
	var lookup []byte
	if identifier != "" {
		lookup = s.lookup(tenant, identifier)
		var found *proof.Subject
		err := s.Store.View(ctx, func(tx Tx) error {
			found, err = tx.SubjectByLookup(tenant, lookup)
			return err
		})
		if err == nil {
			return found, false, nil
		}
		if !errors.Is(err, proof.ErrNotFound) {
			return nil, false, err
		}
	}
	id := proof.NewID()
	n := &proof.Subject{ID: id, Tenant: tenant, Lookup: lookup, CreatedAt: s.Now()}
	if n.WrappedKey, err = s.Vault.NewSubjectKey(tenant, id); err != nil {
		return nil, false, fmt.Errorf("making a subject key: %w", err)
	}
	if identifier != "" {
		at := Place{Tenant: tenant, Subject: id, Table: "subjects", Column: "identifier", Row: id}
		if n.SealedIdentifier, err = s.Vault.Seal(n.WrappedKey, at, []byte(identifier)); err != nil {
			return nil, false, fmt.Errorf("sealing the identifier: %w", err)
		}
	}
	return n, true, nil
}

func (s *Service) lookup(tenant, identifier string) []byte {
	return s.Vault.MAC(tenant, "subject", identifier)
}

// Lookup is the keyed hash under which a user identifier is found.
func (s *Service) Lookup(tenant, identifier string) []byte { return s.lookup(tenant, identifier) }

// Identifier opens the user identifier of a subject; "" if there is none any more.
func (s *Service) Identifier(ctx context.Context, tenant, subject string) (string, error) {
	var who *proof.Subject
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		who, err = tx.Subject(tenant, subject)
		return err
	})
	if err != nil || who.SealedIdentifier == nil || who.WrappedKey == nil {
		return "", err
	}
	plain, err := s.Vault.Open(who.WrappedKey, Place{Tenant: tenant, Subject: subject, Table: "subjects", Column: "identifier", Row: subject}, who.SealedIdentifier)
	return string(plain), err
}

// ended queues the job that tells of an end.
func (s *Service) ended(tx Tx, tenant, object string) error {
	if s.OnEnded == "" {
		return nil
	}
	return tx.Enqueue(proof.NewJob(tenant, s.OnEnded, object, s.Now()))
}

// Result answers a caller about its own verification from the store alone. An
// unknown id and another caller's are the same error.
//
// userIdentifier, if not empty, must be the one that the verification was started
// for; otherwise it is unknown too. A caller that takes the id from a browser
// needs this: somebody could bring the id of another person's verification.
func (s *Service) Result(ctx context.Context, c proof.Caller, id, userIdentifier string) (ResultView, error) {
	v, subject, err := s.load(ctx, c.Tenant, id)
	if err == nil && (v.Caller != c.ID ||
		userIdentifier != "" && !hmac.Equal(subject.Lookup, s.lookup(c.Tenant, userIdentifier))) { // whoever was forgotten is nobody's any more
		err = proof.ErrNotFound
	}
	if errors.Is(err, proof.ErrNotFound) {
		return ResultView{}, &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonUnknownSession, Message: "no such session"}
	}
	if err != nil {
		return ResultView{}, err
	}
	view := ResultView{Verification: *v}
	if !v.Status.Terminal() && s.Now().After(v.ExpiresAt.Add(overdue)) {
		// The job that would say so has not come; a caller is not to wait for it.
		view.Verification.Status, view.Verification.Reason = proof.Expired, proof.ReasonTimeLimit
	}
	if !subject.ErasedAt.IsZero() {
		view.Verification.IALLevel, view.Verification.IALSource, view.Verification.IALExpiresAt = "", "", time.Time{}
	}
	gone := !subject.ErasedAt.IsZero() || !v.PurgedAt.IsZero()
	if gone {
		if v.Status == proof.Verified {
			view.Verification.Reason = proof.ReasonDataPurged
		}
		return view, nil
	}
	request, err := s.request(subject, v)
	if err != nil {
		return ResultView{}, err
	}
	view.Metadata = request.Metadata
	if v.SealedOutcome != nil {
		if view.Outcome, err = s.outcome(subject, v); err != nil {
			return ResultView{}, err
		}
		view.Outcome.Claims = Visible(view.Outcome.Claims, c.Claims)
	}
	if !slices.Contains(c.Claims, "document_type") {
		view.Verification.DocumentType = ""
	}
	if v.Status != proof.Verified {
		view.Outcome.Claims = proof.Claims{}
	}
	return view, nil
}

// overdue is how long after its deadline an open verification is reported as
// expired, whatever became of its job.
const overdue = 10 * time.Minute

// Visible keeps the claims on the allow-list. Names are those of the JSON form.
func Visible(c proof.Claims, allowed []string) proof.Claims {
	keep := func(name, value string) string {
		if slices.Contains(allowed, name) {
			return value
		}
		return ""
	}
	return proof.Claims{
		GivenName:      keep("given_name", c.GivenName),
		FamilyName:     keep("family_name", c.FamilyName),
		BirthDate:      keep("birthdate", c.BirthDate),
		Gender:         keep("gender", c.Gender),
		Nationality:    keep("nationality", c.Nationality),
		DocumentType:   proof.DocumentType(keep("document_type", string(c.DocumentType))),
		DocumentNumber: keep("document_number", c.DocumentNumber),
		IssuingCountry: keep("issuing_country", c.IssuingCountry),
		IssueDate:      keep("date_of_issuance", c.IssueDate),
		ExpiryDate:     keep("date_of_expiry", c.ExpiryDate),
	}
}

// ClaimNames lists the names that a caller's allow-list may hold.
func ClaimNames() []string {
	return []string{
		"given_name", "family_name", "birthdate", "gender", "nationality", "document_type",
		"document_number", "issuing_country", "date_of_issuance", "date_of_expiry",
	}
}

func (s *Service) load(ctx context.Context, tenant, id string) (v *proof.Verification, subject *proof.Subject, err error) {
	err = s.Store.View(ctx, func(tx Tx) error {
		if v, err = tx.Verification(tenant, id); err != nil {
			return err
		}
		subject, err = tx.Subject(tenant, v.Subject)
		return err
	})
	return v, subject, err
}

func (s *Service) request(subject *proof.Subject, v *proof.Verification) (r proof.Request, err error) {
	return r, s.unseal(subject, v, "request", v.SealedRequest, &r)
}

func (s *Service) outcome(subject *proof.Subject, v *proof.Verification) (o proof.Outcome, err error) {
	return o, s.unseal(subject, v, "outcome", v.SealedOutcome, &o)
}

func (s *Service) unseal(subject *proof.Subject, v *proof.Verification, column string, sealed []byte, into any) error {
	plain, err := s.Vault.Open(subject.WrappedKey, place(v, column), sealed)
	if err == nil {
		err = json.Unmarshal(plain, into)
	}
	if err != nil {
		return fmt.Errorf("opening the %s of verification %s: %w", column, v.ID, err)
	}
	return nil
}

func place(v *proof.Verification, column string) Place {
	return Place{Tenant: v.Tenant, Subject: v.Subject, Table: "verifications", Column: column, Row: v.ID}
}

func (s *Service) audit(tx Tx, tenant, actor, action, verification string, r proof.Reason, detail map[string]string) error {
	return s.record(tx, tenant, actor, action, "verification:"+verification, r, detail)
}

func (s *Service) record(tx Tx, tenant, actor, action, object string, r proof.Reason, detail map[string]string) error {
	return tx.InsertAudit(&proof.AuditRecord{
		ID: proof.NewID(), Tenant: tenant, At: s.Now(), Actor: actor, Action: action, Object: object, Reason: r, Detail: detail,
	})
}

// linkSecret is derived, so that a repeated Start can give the same link without
// our keeping it. 160 bits, hexadecimal.
func (s *Service) linkSecret(tenant, id string) string { return s.derived(tenant, "link", id) }

func (s *Service) derived(tenant, purpose, id string) string {
	return hex.EncodeToString(s.Vault.MAC(tenant, purpose, id)[:20])
}

// OwnSecret reads a secret of the tenant's own, or makes and keeps it. Whoever
// asks, also another process at the same time, gets the same one.
func (s *Service) OwnSecret(ctx context.Context, tenant, name string, fresh func() ([]byte, error)) ([]byte, error) {
	at := Place{Tenant: tenant, Table: "secrets", Column: "value", Row: name}
	var sealed []byte
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		sealed, err = tx.Secret(tenant, name)
		return err
	})
	if errors.Is(err, proof.ErrNotFound) {
		plain, err := fresh()
		if err != nil {
			return nil, err
		}
		ours, err := s.Vault.SealOwn(at, plain)
		if err != nil {
			return nil, fmt.Errorf("sealing secret %q: %w", name, err)
		}
		if err := s.update(ctx, func(tx Tx) error {
			sealed, err = tx.PutSecretIfAbsent(tenant, name, ours)
			return err
		}); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	return s.Vault.OpenOwn(at, sealed)
}

func newSecret() string { return hex.EncodeToString(newSecretBytes(20)) }

func newSecretBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand aborts the program instead
	return b
}

func hash(secret string) []byte {
	h := sha256.Sum256([]byte(secret))
	return h[:]
}

func sameHash(h []byte, secret string) bool {
	return len(h) > 0 && secret != "" && subtle.ConstantTimeCompare(h, hash(secret)) == 1
}

// returnURL is callback_url with the session id, so that the caller's page can
// ask the result node.
func returnURL(v *proof.Verification) string {
	if v.CallbackURL == "" || !v.Status.Terminal() {
		return ""
	}
	return withQuery(v.CallbackURL, "session_id", v.ID)
}

func withQuery(callback, name, value string) string {
	u, err := url.Parse(callback)
	if err != nil {
		return "" // cannot be: it is on the allow-list, which is checked when it is read
	}
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}
