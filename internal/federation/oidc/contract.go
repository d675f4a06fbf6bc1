package oidc

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Core is what the provider has of federation.Service.
type Core interface {
	// Begin starts a run for an Ask that was checked: Client is set, and what it asks
	// may be asked by it. Its errors are *proof.Error with one of the codes that
	// oauthError knows.
	Begin(ctx context.Context, b federation.Browser, a federation.Ask) (federation.Step, error)
	// Challenge begins a face check without a browser, for CIBA: where the person
	// answers it, and how it is going (nil, nil while it is open).
	Challenge(ctx context.Context, a federation.Ask, message string, lasts time.Duration) (id, url string, expires time.Time, err error)
	ChallengeAnswer(ctx context.Context, a federation.Ask, id string) (*federation.Answer, error)
	// Answer is who a session's person is now. A session that ended, expired or whose
	// subject was erased is proof.ErrNotFound.
	Answer(ctx context.Context, a federation.Ask, session string) (*federation.Answer, error)
	// End ends the session of this browser towards the client, and the one named sid,
	// if that is the client's; "" names none.
	End(ctx context.Context, b federation.Browser, client *federation.Client, sid string) ([]federation.Cookie, error)
	// Session is the id of this browser's session towards the client; "": there is none
	// that lasts. Without a session it is no error.
	Session(ctx context.Context, b federation.Browser, client *federation.Client) (sid string, err error)

	// Client finds a client that is not disabled; Secrets are its secrets that hold now.
	Client(tenant, id string) (*federation.Client, bool)
	Secrets(tenant, id string) []federation.Secret
	Tenant(id string) bool

	// SubjectOf opens a pairwise sub of this client's sector: the id of the subject.
	SubjectOf(client *federation.Client, sub string) (subject string, ok bool)
	// Seal and Open are for what travels through browsers: AEAD, bound to tenant and kind.
	Seal(tenant, kind string, plain []byte) (string, error)
	Open(tenant, kind, sealed string) ([]byte, error)
	// SealFor and OpenFor are under the subject's key: erased with the person.
	SealFor(s *proof.Subject, table, column, row string, plain []byte) ([]byte, error)
	OpenFor(s *proof.Subject, table, column, row string, sealed []byte) ([]byte, error)

	// Browser reads the cookies and the address of a request; Cookies writes them.
	Browser(r *http.Request) federation.Browser
	Cookies(w http.ResponseWriter, set []federation.Cookie)
	// Sorry shows a page that a person understands, in place of a redirect that must
	// not be made. say is one plain sentence without anything from the request.
	Sorry(w http.ResponseWriter, r *http.Request, status int, say string)
}

// Keys is what the provider has of keys.Service. alg is ES256 or RS256.
type Keys interface {
	Sign(ctx context.Context, tenant, alg, typ string, payload []byte) (jws string, err error)
	// JWKS is the public set: next, active and retiring.
	JWKS(ctx context.Context, tenant string) (json.RawMessage, error)
	// Verify checks a JWS that we signed with a key that is still published, for
	// id_token_hint; it does not look at exp.
	Verify(ctx context.Context, tenant, jws string) (payload []byte, err error)
}

// Options wires a Provider.
type Options struct {
	Core      Core
	Store     federation.Store
	Keys      Keys
	PublicURL string // our origin; the issuer of a tenant is PublicURL/federation/{tenant}
	Now       func() time.Time
	ClientIP  func(*http.Request) netip.Addr
	// HTTPClient fetches jwks_uri of clients and of Entra: https, bounded, no redirects.
	HTTPClient *http.Client
	// Confirm shows a page that asks before something is done: say is one plain
	// sentence, and a form of one button posts fields to action, a path of ours. The
	// address of the page must not lead anywhere when it is reloaded. Nil: nothing is
	// done that needs asking.
	Confirm func(w http.ResponseWriter, r *http.Request, action string, fields map[string]string, say string)
	// Leave is a page that goes on to another origin by itself, for after a form of ours
	// was posted: the policy of its page holds for where the answer redirects to, too.
	// Nil: a redirect.
	Leave func(w http.ResponseWriter, r *http.Request, application, to string)
	// Frameworks are the trust frameworks that a proofing of the tenant may name, for
	// the metadata. Nil: those of 1Kosmos, and of the embedded engine.
	Frameworks func(tenant string) []string
	Logger     *slog.Logger
}

// Prefix is below what all of door B is; a tenant's part is Prefix + tenant.
const Prefix = federation.Prefix

// request is an authorization request that was checked, as far as the answer needs
// it: it travels as Ask.State.
type request struct {
	RedirectURI  string          `json:"r"`
	State        []byte          `json:"s,omitempty"` // as it came, whatever its bytes
	HasState     bool            `json:"hs,omitempty"`
	Nonce        string          `json:"n,omitempty"`
	Scope        []string        `json:"sc,omitempty"`
	Challenge    string          `json:"ch,omitempty"` // PKCE, S256
	ResponseMode string          `json:"m,omitempty"`  // query, form_post
	ResponseType string          `json:"rt,omitempty"` // code; id_token for ProfileEntra
	Claims       json.RawMessage `json:"cl,omitempty"` // the claims parameter, checked and compacted
	MaxAge       bool            `json:"ma,omitempty"` // max_age was given: auth_time must be told
	Hint         string          `json:"h,omitempty"`  // login_hint as it came, for profiles that want it back
}

// code is an authorization code before it is sealed: everything that the token
// endpoint needs, so that nothing is stored before it is redeemed. A refresh token is
// one with Refresh, and a longer life.
type code struct {
	ID       string    `json:"i"` // random
	Client   string    `json:"c"`
	Session  string    `json:"s"`
	Request  request   `json:"r"`
	ACR      string    `json:"a,omitempty"` // as Answer.ACR said it then
	Asked    []string  `json:"q,omitempty"` // acr values that were asked
	IssuedAt time.Time `json:"t"`
	Refresh  bool      `json:"f,omitempty"`
	Family   string    `json:"g,omitempty"` // of a refresh token: the grant that the chain began with
}

// Names for Core.Seal.
const (
	kindCode    = "oidc-code"
	kindRefresh = "oidc-refresh"
)
