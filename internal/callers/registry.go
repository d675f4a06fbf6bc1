package callers

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/callers/httpsig"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Options wires a Registry. PublicURL is our own address as callers know it,
// scheme and host and perhaps a path prefix, without a trailing slash; signatures
// are checked against it and never against the Host header.
type Options struct {
	PublicURL string
	Now       func() time.Time
	Logger    *slog.Logger
	Nonces    NonceStore                     // nil: in memory, for one process, each caller by itself
	ClientIP  func(*http.Request) netip.Addr // nil: the connection's remote address
}

// Registry knows all callers. It is safe for concurrent use.
type Registry struct {
	public   *url.URL
	now      func() time.Time
	log      *slog.Logger
	nonces   NonceStore // nil: each caller has its own
	clientIP func(*http.Request) netip.Addr
	limit    *limiter
	hmacSeen sync.Map // tenant, caller, input: which HMAC inputs were seen

	hashKey     []byte // of the credential table; lives as long as the process
	credentials map[digest]*entry
	apiHeaders  []string // canonical names that some caller's API key uses
	byID        map[[2]string]*entry
	byHMAC      []*entry // that are known by nothing else
}

type entry struct {
	config   Config
	caller   proof.Caller
	keys     map[string]*httpsig.VerifyKey // RFC 9421, by keyid
	nonces   NonceStore                    // of its signatures
	tokenKey []byte                        // signs access tokens of an OAuth caller
}

type digest [sha256.Size]byte

// New makes a Registry. Errors name the caller and the field.
func New(cfg []Config, o Options) (*Registry, error) {
	public, err := url.Parse(o.PublicURL)
	if err != nil || public.Host == "" || public.Scheme != "https" && public.Scheme != "http" ||
		public.RawQuery != "" || public.Fragment != "" || public.User != nil || strings.HasSuffix(o.PublicURL, "/") {
		return nil, fmt.Errorf("the public URL %q must be an absolute http or https URL without a trailing slash", o.PublicURL)
	}
	r := &Registry{
		public: public, now: o.Now, log: o.Logger, nonces: o.Nonces, clientIP: o.ClientIP, hashKey: make([]byte, 32),
		credentials: map[digest]*entry{}, byID: map[[2]string]*entry{},
	}
	_, _ = rand.Read(r.hashKey) // crypto/rand never fails (Go 1.24)
	if r.now == nil {
		r.now = time.Now
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.clientIP == nil {
		r.clientIP = remoteAddr
	}
	r.limit = newLimiter(r.now)
	for i := range cfg {
		if err := r.add(cfg[i]); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *Registry) add(c Config) error {
	if err := c.validate(); err != nil {
		return err
	}
	e := &entry{config: c, caller: c.caller(), keys: map[string]*httpsig.VerifyKey{}}
	id := [2]string{c.Tenant, c.ID}
	if r.byID[id] != nil {
		return c.problem("id", "is used twice in tenant %q", c.Tenant)
	}
	r.byID[id] = e
	if c.RFC9421 != nil {
		if e.nonces = r.nonces; e.nonces == nil {
			e.nonces = NewMemoryNonces(DefaultNonceLimit, r.now)
		}
		for i, k := range c.RFC9421.Keys {
			field := fmt.Sprintf("rfc9421.keys[%d]", i)
			if k.KeyID == "" || e.keys[k.KeyID] != nil {
				return c.problem(field+".keyid", "is required and must differ from the others")
			}
			key, err := httpsig.NewVerifyKey(k.Algorithm, k.PublicKey, []byte(k.Secret))
			if err != nil {
				return c.problem(field, "%v", err)
			}
			e.keys[k.KeyID] = key
		}
	}
	var d digest
	var field string
	switch {
	case c.Basic != nil:
		field, d = "basic", r.digest("basic", c.Basic.Username, string(c.Basic.Password))
	case c.APIKey != nil:
		name := textproto.CanonicalMIMEHeaderKey(c.APIKey.Header)
		field, d = "api_key", r.digest("api_key", name, string(c.APIKey.Value))
		r.apiHeaders = append(r.apiHeaders, name)
	case c.byHMAC():
		for _, other := range r.byHMAC {
			for _, s := range c.hmacSecrets() {
				if slices.Contains(other.config.hmacSecrets(), s) {
					return c.problem("hmac_secret", "is the same as one of caller %q", other.config.ID)
				}
			}
		}
		r.byHMAC = append(r.byHMAC, e)
		return nil
	case c.OAuth != nil:
		field, d = "oauth", r.digest("oauth", c.OAuth.ClientID, string(c.OAuth.ClientSecret))
		e.tokenKey = tokenKey(c.OAuth)
	default:
		field, d = "bearer", r.digest("bearer", string(c.Bearer))
	}
	if other := r.credentials[d]; other != nil {
		return c.problem(field, "is the same credential as that of caller %q", other.config.ID)
	}
	r.credentials[d] = e
	return nil
}

// Caller finds a caller by tenant and id.
func (r *Registry) Caller(tenant, id string) (proof.Caller, bool) {
	e, ok := r.byID[[2]string{tenant, id}]
	if !ok {
		return proof.Caller{}, false
	}
	return e.caller, true
}

// digest is a keyed hash of a credential; the parts keep their borders.
func (r *Registry) digest(kind string, parts ...string) (d digest) {
	mac := hmac.New(sha256.New, r.hashKey)
	mac.Write([]byte(kind))
	for _, p := range parts {
		_ = binary.Write(mac, binary.BigEndian, uint64(len(p)))
		mac.Write([]byte(p))
	}
	mac.Sum(d[:0])
	return d
}

// Authenticate says who sent the request. body is the whole body, which the
// caller of this method has read. Errors are *proof.Error: unauthenticated with
// reason unauthenticated, signature_invalid or signature_replayed; rate_limited
// when this network was refused too often lately; unavailable when nonces cannot
// be recorded.
//
// One who may only tell events is forbidden.
func (r *Registry) Authenticate(req *http.Request, body []byte) (proof.Caller, error) {
	e, err := r.authenticate(req, body)
	if err == nil && e.config.EventsOnly {
		return proof.Caller{}, &proof.Error{Code: proof.CodeForbidden, Reason: proof.ReasonNotAllowed, Message: "this caller may only tell events"}
	}
	return r.settle(req, e, err)
}

// AuthenticateEvents is Authenticate for one who tells events. Where no credential is
// presented, the HMAC is enough if it fits a caller that has nothing else. The body must
// not be empty.
func (r *Registry) AuthenticateEvents(req *http.Request, body []byte) (proof.Caller, error) {
	if r.presents(req) || len(body) == 0 || req.Header.Get(hmacHeader) == "" {
		e, err := r.authenticate(req, body)
		return r.settle(req, e, err)
	}
	e, err := r.ofHMAC(req, body)
	return r.settle(req, e, err)
}

// presents reports whether the request has something that could be a credential.
func (r *Registry) presents(req *http.Request) bool {
	return len(req.Header.Values("Authorization")) > 0 || slices.ContainsFunc(r.apiHeaders, func(name string) bool { return len(req.Header.Values(name)) > 0 })
}

// ofHMAC finds the one among the callers with nothing else whose HMAC it is.
func (r *Registry) ofHMAC(req *http.Request, body []byte) (*entry, error) {
	for _, e := range r.byHMAC {
		if r.checkHMAC(req, e, body) != nil {
			continue
		}
		if e.config.RFC9421 != nil {
			if err := r.checkSignature(req, e, body); err != nil {
				return e, err
			}
		}
		return e, nil
	}
	return nil, badSignature("x-descope-webhook-s256 fits the body for no caller")
}

// settle makes the answer of what was found, and counts a refusal.
func (r *Registry) settle(req *http.Request, e *entry, err error) (proof.Caller, error) {
	if err == nil {
		return e.caller, nil
	}
	refused := &proof.Error{}
	if !errors.As(err, &refused) || refused.Code != proof.CodeUnauthenticated {
		return proof.Caller{}, err
	}
	caller := ""
	if e != nil {
		caller = e.config.ID
	}
	if limited := r.refuse(req); limited != nil {
		return proof.Caller{}, limited // and no line in the log: a stranger is not to fill it
	}
	r.log.WarnContext(req.Context(), "a call was refused", "caller", caller, "reason", refused.Reason, "why", refused.Message)
	return proof.Caller{}, err
}

// refuse counts a refusal and returns an error when there were too many.
func (r *Registry) refuse(req *http.Request) error {
	wait := r.limit.take(r.clientIP(req))
	if wait == 0 {
		return nil
	}
	return &proof.Error{
		Code: proof.CodeRateLimited, Reason: proof.ReasonRateLimited, Temporary: true, RetryAfter: wait,
		Message: "too many refused calls from this network; check the credentials and wait a moment",
	}
}

func unauthenticated() error {
	return &proof.Error{
		Code: proof.CodeUnauthenticated, Reason: proof.ReasonUnauthenticated,
		Message: "the credentials are missing or wrong",
	}
}

func badSignature(format string, args ...any) error {
	return &proof.Error{
		Code: proof.CodeUnauthenticated, Reason: proof.ReasonSignature, Message: fmt.Sprintf(format, args...),
	}
}

// authenticate returns the entry also with an error when the credential was
// right, so that the log can name it.
func (r *Registry) authenticate(req *http.Request, body []byte) (*entry, error) {
	e := r.credential(req)
	if e == nil {
		return nil, unauthenticated()
	}
	if len(e.config.hmacSecrets()) > 0 {
		if err := r.checkHMAC(req, e, body); err != nil {
			return e, err
		}
	}
	if e.config.RFC9421 != nil {
		if err := r.checkSignature(req, e, body); err != nil {
			return e, err
		}
	}
	return e, nil
}

// credential looks at everything the request presents. All that is known must
// belong to one caller.
func (r *Registry) credential(req *http.Request) *entry {
	var found *entry
	clash := false
	note := func(e *entry) {
		if e != nil {
			clash = clash || found != nil && found != e
			found = e
		}
	}
	if values := req.Header.Values("Authorization"); len(values) == 1 {
		scheme, token, _ := strings.Cut(values[0], " ")
		if token = strings.TrimSpace(token); strings.EqualFold(scheme, "bearer") {
			note(r.credentials[r.digest("bearer", token)])
			note(r.accessToken(token))
		} else if user, password, ok := req.BasicAuth(); ok {
			note(r.credentials[r.digest("basic", user, password)])
		}
	}
	for _, name := range r.apiHeaders {
		if values := req.Header.Values(name); len(values) == 1 {
			note(r.credentials[r.digest("api_key", name, values[0])])
		}
	}
	if clash {
		return nil
	}
	return found
}
