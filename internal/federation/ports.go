package federation

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Store keeps what door B stores. internal/store implements it, under the rules of
// journey.Store.
type Store interface {
	UpdateFederation(ctx context.Context, fn func(tx Tx) error) error
	ViewFederation(ctx context.Context, fn func(tx Tx) error) error
}

// Tx is one transaction. A row that is not there, or of another tenant, is
// proof.ErrNotFound; one that is there already, or changed meanwhile, proof.ErrStale.
type Tx interface {
	Subject(tenant, id string) (*proof.Subject, error)
	SubjectByLookup(tenant string, lookup []byte) (*proof.Subject, error)
	InsertSubject(s *proof.Subject) error // a second live one with the same lookup: proof.ErrStale
	AssurancesOf(tenant, subject string) ([]*proof.Assurance, error)
	VerificationsOf(tenant, subject string) ([]*proof.Verification, error)
	// Hit and Hits are as in journey.Tx.
	Hit(tenant, limit string, key []byte, at time.Time) error
	Hits(tenant, limit string, key []byte, since time.Time) (int, error)
	InsertAudit(r *proof.AuditRecord) error
	Enqueue(j *proof.Job) error
	Secret(tenant, name string) (sealed []byte, err error)
	PutSecretIfAbsent(tenant, name string, sealed []byte) (stored []byte, err error)

	InsertFederationSession(s *Session) error // of a subject that is erased or not there: proof.ErrNotFound
	FederationSession(tenant string, hash []byte) (*Session, error)
	FederationSessionByID(tenant, id string) (*Session, error)
	EndFederationSession(tenant, id string, at time.Time) error // ended before: fine

	// InsertGrant: the same OfHash again (of any client of the tenant), and a family of which
	// something was revoked, are proof.ErrStale; a subject that is erased or not there is
	// proof.ErrNotFound.
	InsertGrant(g *Grant) error
	GrantByOf(tenant string, ofHash []byte) (*Grant, error)
	GrantByToken(tenant string, tokenHash []byte) (*Grant, error)
	// RevokeGrants revokes all of a family that are not; how many.
	RevokeGrants(tenant, family string, at time.Time) (int, error)

	// Use notes that something single-use was used: a JWT id, a request of SAML. A
	// second time before until, of the same kind, is proof.ErrStale.
	Use(tenant, kind string, hash []byte, at, until time.Time) error

	InsertPushed(p *Pushed) error
	Pushed(tenant, kind string, hash []byte) (*Pushed, error)
	// UpdatePushed stores p if the row still has p.Version, then counts p.Version up.
	UpdatePushed(p *Pushed) error

	Clients(tenant string) ([]*StoredClient, error)
	// Clients' count of changes, for a cache: it is different after every change.
	ClientsVersion(tenant string) (int64, error)
	InsertClient(c *StoredClient) error
	UpdateClient(c *StoredClient) error // Version as in UpdatePushed
	DeleteClient(tenant, id string) error

	Keys(tenant string) ([]*Key, error)                                      // oldest first
	InsertKey(k *Key) error                                                  // a second active or next one of the same use and alg: proof.ErrStale
	UpdateKeyState(tenant, id string, from, to KeyState, at time.Time) error // not in from: proof.ErrStale

	// PurgeFederation drops what ended before: sessions, grants, uses, pushed requests; at
	// most 1,000 rows of each a call. How many.
	PurgeFederation(tenant string, before time.Time) (int, error)
}

// Grant is tokens that were issued. They are written once, when a code, a refresh
// token or a CIBA request is redeemed; a code itself is sealed and stored nowhere.
type Grant struct {
	ID        string // UUIDv7
	Family    string // id of the first grant of a chain of refreshes
	Tenant    string
	Client    string
	Subject   string
	Session   string
	OfHash    []byte // SHA-256 of what was redeemed: it is redeemed once
	TokenHash []byte // SHA-256 of the access token
	Sealed    []byte // what userinfo answers, under the subject's key; nil once erased
	Scope     string
	IssuedAt  time.Time
	ExpiresAt time.Time // of the access token
	KeepUntil time.Time // so that a second redemption is noticed
	RevokedAt time.Time
}

// Pushed is a request that the client left with us: kind "par" (RFC 9126) or "ciba"
// (OpenID CIBA). Sealed is its content, under the tenant's own key.
type Pushed struct {
	Tenant    string
	Kind      string
	Hash      []byte // SHA-256 of the secret in request_uri, or of auth_req_id
	Client    string
	Sealed    []byte
	CreatedAt time.Time
	ExpiresAt time.Time
	UsedAt    time.Time // zero: not
	PolledAt  time.Time // CIBA: last poll
	Version   int64
}

// StoredClient is a client that the console keeps.
type StoredClient struct {
	Client
	Secrets   []Secret
	CreatedAt time.Time
	UpdatedAt time.Time
	Version   int64
}

// KeyState of a signing key. All three are published.
type KeyState string

const (
	KeyNext     KeyState = "next"     // published ahead of its use
	KeyActive   KeyState = "active"   // signs
	KeyRetiring KeyState = "retiring" // what it signed is still about
	KeyRetired  KeyState = "retired"  // not published any more
)

// Key is a signing key of a tenant. Use is "oidc" or "saml".
type Key struct {
	ID        string // RFC 7638 thumbprint of the public key
	Tenant    string
	Use       string
	Alg       string // ES256, RS256; for saml RS256
	State     KeyState
	Public    []byte // PKIX DER; for saml the certificate, DER
	Sealed    []byte // PKCS #8 DER under the tenant's own key; nil once retired
	CreatedAt time.Time
	ChangedAt time.Time // when State changed last
}

// Journey is what door B has of journey.Service.
type Journey interface {
	// Subject finds the subject of a user identifier, or prepares a fresh one, which is
	// still to be inserted; without an identifier always a fresh one.
	Subject(ctx context.Context, tenant, identifier string) (s *proof.Subject, fresh bool, err error)
	Start(ctx context.Context, c proof.Caller, r journey.StartRequest) (journey.Started, error)
	Open(ctx context.Context, id, secret, browser, request string) (journey.HandoffView, string, error)
	Result(ctx context.Context, c proof.Caller, id, userIdentifier string) (journey.ResultView, error)
	StartChallenge(ctx context.Context, c proof.Caller, r journey.ChallengeStart) (journey.ChallengeStarted, error)
	OpenChallenge(ctx context.Context, id, secret, browser, request string, from netip.Addr) (journey.ChallengeView, string, error)
	ChallengeResult(ctx context.Context, c proof.Caller, id, userIdentifier, decisionID string) (proof.Challenge, error)
}

// Finisher is a protocol, as far as the Service calls it: it answers the browser that
// came to the end of a run. err is nil or an error for the relying party.
type Finisher interface {
	Finish(w http.ResponseWriter, r *http.Request, a Ask, x *Answer, err error)
}

// Pages shows people what is ours. internal/pages implements it.
type Pages interface {
	// Sorry says in one plain sentence what is the matter; with 2xx, that all is well.
	Sorry(w http.ResponseWriter, r *http.Request, status int, say string)
	// Who asks who somebody is, or how they want to go on.
	Who(w http.ResponseWriter, r *http.Request, v WhoView)
	// Confirm asks for a click before a form is sent.
	Confirm(w http.ResponseWriter, r *http.Request, v ConfirmView)
	// Leave is a page that goes on to another origin by itself.
	Leave(w http.ResponseWriter, r *http.Request, application, to string)
}

// WhoView is the page that asks who somebody is.
type WhoView struct {
	Application   string
	ConsentText   string
	Action        string // where the form is sent: fields who, way (face, document), token
	Token         string // proves that the form is ours and this browser's
	MaskedAccount string // whom the request named; "" asks for a name
	Document      bool   // a document would do, too
	Trouble       string // a sentence about what was typed before; may be empty
}

// ConfirmView is a question with one button.
type ConfirmView struct {
	Heading, Say, Button string
	Action               string
	Fields               map[string]string // hidden
}

// Upstream is a tenant's own OpenID provider at 1Kosmos, for clients that want it to
// authenticate the person.
type Upstream interface {
	// Begin makes the address where the browser goes. keep is a secret that Finish
	// wants back; state is what the browser brings along.
	Begin(ctx context.Context, a UpstreamAsk) (url string, keep []byte, err error)
	// Finish redeems what the browser brought back. An answer that cannot be believed
	// is an error.
	Finish(ctx context.Context, keep []byte, returned map[string]string) (UpstreamAnswer, error)
}

// UpstreamAsk is what 1Kosmos is asked for.
type UpstreamAsk struct {
	State     string // at least 128 random bits
	ReturnURL string
	Hint      string
	IAL2      bool // the acr and scope /assurance/ial/2
	Face      bool // the acr of a face check
	Essential bool // what is asked for must come, else it has failed
}

// UpstreamAnswer is what its signed token says.
type UpstreamAnswer struct {
	Identifier string    // the user identifier; empty if it names none
	Subject    string    // its sub
	AuthTime   time.Time // zero: nobody can tell, and then nobody is signed in
	Notes      SessionNotes
}
