package blockid

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Service names, as the service directory spells them.
const (
	ServiceDocuverify   = "docuverify"
	ServiceAdminConsole = "adminconsole"
	ServiceSessions     = "sessions"
	ServiceUsers        = "user_management"
	// ServiceWorkflow is a name of ours: the directory lists no such service
	// (see Config.WorkflowBase).
	ServiceWorkflow = "workflowapi"
)

// Config describes a tenant's community and who calls it. DNS, LicenseKey, and
// either Community or both ids are required.
type Config struct {
	// DNS is the tenant's host, such as "acme.1kosmos.net" or "localhost:8443".
	DNS string
	// Community is the community's name, such as "default".
	Community string
	// TenantID and CommunityID can be given instead of Community.
	TenantID, CommunityID string
	// LicenseKey is the community API key. It is sent sealed.
	LicenseKey string
	// Key is our key pair. A program with several replicas, or one that must
	// survive a restart in the middle of a session, keeps one. When nil, a key
	// is made on the tenant's curve at first use and lives with the client.
	Key *PrivateKey
	// Curve restricts which keys of the tenant are accepted; "" means Auto.
	Curve Curve
	// AppID names the calling application in every request id.
	AppID string
	// HTTPClient is used for all requests, except that it never follows
	// redirects. When nil, a client with a larger idle pool is made.
	HTTPClient *http.Client
	// AllowedHosts are hosts (NAME or NAME:PORT), besides DNS and the tenant's
	// own aliases, on which services and session links may live.
	AllowedHosts []string
	// WorkflowBase is the base URL of the Workflow API, which the service
	// directory does not list; "" means https://DNS/workflowapi.
	WorkflowBase string
	// MaxBody bounds an answer, in bytes; 0 means 16 MiB.
	MaxBody int64
	// Timeout bounds each call with all its attempts; 0 means 30 seconds. The
	// context may bound it further.
	Timeout time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Client calls the encrypted platform API. It is safe for concurrent use;
// make one per community and keep it, because of what it caches.
type Client struct {
	cfg  Config
	wire wire

	communities cache[*Community]
	directories cache[*directory]
	routes      cache[*route]

	mu     sync.Mutex
	key    *PrivateKey           // cfg.Key, or made at first use
	shared map[string]*SharedKey // by the other side's public key
}

// maxShared bounds the shared keys kept. One per service is in use; more
// appear only with rotation.
const maxShared = 32

// NewClient checks cfg and makes a client. It sends nothing.
func NewClient(cfg Config) (*Client, error) {
	fail := func(detail string) (*Client, error) { return nil, &Error{Kind: KindConfig, detail: detail} }
	if cfg.DNS == "" {
		return fail("DNS is required")
	}
	if cfg.Community == "" && (cfg.TenantID == "" || cfg.CommunityID == "") {
		return fail("Community, or TenantID and CommunityID, are required")
	}
	if cfg.LicenseKey == "" {
		return fail("LicenseKey is required")
	}
	switch cfg.Curve {
	case "":
		cfg.Curve = Auto
	case Auto, Secp256k1, P256:
	default:
		return fail("unknown Curve")
	}
	if cfg.Key != nil && cfg.Curve != Auto && cfg.Key.Curve() != cfg.Curve {
		return fail("Key is not on Curve")
	}
	if cfg.AppID == "" {
		cfg.AppID = "blockid-go"
	}
	hosts := append([]string{cfg.DNS}, cfg.AllowedHosts...)
	if cfg.WorkflowBase != "" {
		u, err := url.Parse(cfg.WorkflowBase)
		if err != nil || u.Scheme != "https" || u.Host == "" {
			return fail("WorkflowBase must be an https URL")
		}
		hosts = append(hosts, u.Host)
	}
	w, err := newWire(cfg.HTTPClient, hosts, cfg.MaxBody, cfg.Timeout, cfg.Now)
	if err != nil {
		return nil, err
	}
	return &Client{cfg: cfg, wire: w, key: cfg.Key, shared: make(map[string]*SharedKey)}, nil
}

// route is all that a call to one service needs.
type route struct {
	base    *url.URL
	hosts   map[string]bool // the tenant's own, for session links
	key     *PublicKey
	shared  *SharedKey
	headers http.Header // those that do not change from request to request
	expires time.Time
}

func (r *route) expiry() time.Time { return r.expires }

func (c *Client) route(ctx context.Context, service string) (*route, error) {
	return c.routes.get(ctx, service, c.wire.now, c.wire.timeout, func(ctx context.Context) (*route, error) {
		com, err := c.community(ctx)
		if err != nil {
			return nil, err
		}
		dir, err := c.directory(ctx)
		if err != nil {
			return nil, err
		}
		base, err := c.base(service, com, dir)
		if err != nil {
			return nil, err
		}
		keyText, expires := com.PublicKey, com.expires
		if service != ServiceAdminConsole { // whose key is the community's
			if keyText, err = c.fetchKey(ctx, base); err != nil {
				return nil, asError(err, "publickeys", service)
			}
			expires = c.wire.now().Add(ttl)
		}
		shared, key, err := c.sharedWith(keyText)
		if err != nil {
			return nil, asError(err, "publickeys", service)
		}
		if com.expires.Before(expires) {
			expires = com.expires
		}
		if dir.expires.Before(expires) {
			expires = dir.expires
		}
		r := &route{base: base, hosts: com.hosts, key: key, shared: shared, expires: expires}
		r.headers = http.Header{
			"Content-Type": {"application/json"},
			"Charset":      {"utf-8"},
			"Accept":       {"application/json"},
			"Publickey":    {c.publicKey().String()},
			// One sealed licence serves all requests of this route. Sealing the
			// same plaintext anew would hide only that it is the same, which
			// the public key beside it tells anyway, and an IV is never used
			// for two plaintexts. The request id is what makes requests unique.
			"Licensekey": {string(shared.appendSeal(nil, []byte(c.cfg.LicenseKey)))},
		}
		if service == ServiceAdminConsole || service == ServiceUsers {
			r.headers["X-Tenanttag"] = []string{com.TenantTag}
		}
		return r, nil
	})
}

// sharedWith parses the other side's public key and returns what is shared
// with it. The text is that side's claim: over TLS from an allowed host, or
// inside an answer from there.
func (c *Client) sharedWith(text string) (*SharedKey, *PublicKey, error) {
	p, err := ParsePublicKey(c.cfg.Curve, text)
	if err != nil {
		return nil, nil, &Error{Kind: KindMalformed, detail: "service key is no key on an accepted curve", err: err}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.shared[p.text]; ok {
		return s, p, nil
	}
	if c.key == nil {
		if c.key, err = GenerateKey(p.curve); err != nil {
			return nil, nil, &Error{Kind: KindConfig, detail: "cannot make a key", err: err}
		}
	}
	s, err := c.key.Shared(p)
	if err != nil {
		return nil, nil, &Error{Kind: KindConfig, detail: "Key and service key are on different curves", err: err}
	}
	if len(c.shared) >= maxShared {
		clear(c.shared)
	}
	c.shared[p.text] = s
	return s, p, nil
}

// publicKey is only called once there is a key.
func (c *Client) publicKey() *PublicKey {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.key.Public()
}

// call is one encrypted request.
type call struct {
	op      string
	service string
	method  string
	path    string // escaped; follows the service's base URL
	header  http.Header
	key     *PrivateKey // ours in this call; nil for the client's
	body    any         // sent as JSON; nil for none
	plain   bool        // body goes out in clear
	status  int         // the one success status; 0 for any 2xx
	// clear accepts an answer that is not sealed. Calls that change something
	// have it; their answers are no verdicts.
	clear bool
	// published refuses a sealed answer that names another key than the one that
	// the service publishes. Without it the answer's word is taken, see open.
	published bool
	// raw takes the answer as it is: what is sealed in it is not for us to open
	// here, or not by the service.
	raw bool
}

// answer is what came back.
type answer struct {
	plain  []byte
	sealed bool // plain was decrypted
	route  *route
}

// do makes a call and returns the plaintext of its answer. When one side
// cannot open what the other sealed, keys have probably been rotated: it
// forgets all that discovery told and tries once more, with a new request id.
func (c *Client) do(ctx context.Context, k call) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.wire.timeout)
	defer cancel()
	var body []byte
	if k.body != nil {
		var err error
		if body, err = json.Marshal(k.body); err != nil {
			return answer{}, asError(&Error{Kind: KindInvalid, detail: "request cannot be encoded", err: err}, k.op, k.service)
		}
	}
	r, err := c.route(ctx, k.service)
	if err != nil {
		return answer{}, asError(err, k.op, k.service)
	}
	a, err := c.attempt(ctx, r, k, body)
	if retryWithNewKeys(err, k) {
		if c.routes.drop(k.service, r) {
			c.communities.clear()
			c.directories.clear()
		}
		if r, err = c.route(ctx, k.service); err == nil {
			a, err = c.attempt(ctx, r, k, body)
		}
	}
	if err != nil {
		return answer{}, asError(err, k.op, k.service)
	}
	return a, nil
}

// retryWithNewKeys reports whether err speaks of keys. A call that changes
// something is repeated only when the service refused it.
func retryWithNewKeys(err error, k call) bool {
	var e *Error
	return errors.As(err, &e) && (e.Kind == KindDecrypt && (!k.clear || e.HTTPStatus >= 400) || e.Kind == KindUntrustedAnswer && k.published)
}

func (c *Client) attempt(ctx context.Context, r *route, k call, body []byte) (answer, error) {
	u, err := r.url(k.path)
	if err != nil {
		return answer{}, err
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return answer{}, &Error{Kind: KindConfig, detail: "no randomness", err: err}
	}
	rid, err := json.Marshal(RequestID{TS: c.wire.now().Unix(), AppID: c.cfg.AppID, UUID: id.String()})
	if err != nil {
		return answer{}, &Error{Kind: KindConfig, detail: "AppID cannot be encoded", err: err}
	}
	header := make(http.Header, len(r.headers)+3)
	for name, values := range r.headers {
		header[name] = values
	}
	for name, values := range k.header {
		header[name] = values
	}
	shared := r.shared
	if k.key != nil {
		if shared, err = k.key.Shared(r.key); err != nil {
			return answer{}, &Error{Kind: KindConfig, detail: "the call's key and service key are on different curves", err: err}
		}
		header["Publickey"] = []string{k.key.Public().String()}
		header["Licensekey"] = []string{string(shared.appendSeal(nil, []byte(c.cfg.LicenseKey)))}
	}
	header["Requestid"] = []string{string(shared.appendSeal(nil, rid))}

	sealed := body
	if body != nil && !k.plain {
		const open, end = `{"data":"`, `"}`
		sealed = make([]byte, 0, len(open)+base64.StdEncoding.EncodedLen(minSealed+len(body))+len(end))
		sealed = append(sealed, open...)
		sealed = shared.appendSeal(sealed, body)
		sealed = append(sealed, end...)
	}
	b, status, err := c.wire.exchange(ctx, k.method, u, header, sealed)
	if err != nil {
		return answer{}, err
	}
	if k.status != 0 && status != k.status {
		if e := errorInSuccess(b); e != nil {
			return answer{}, e
		}
		return answer{}, &Error{Kind: KindMalformed, HTTPStatus: status, detail: "not the status that means success here"}
	}
	if k.raw {
		return answer{plain: b, route: r}, nil
	}
	plain, opened, err := c.open(r, k, shared, b)
	return answer{plain, opened, r}, err
}

// ownKey makes a key pair for one session at a service: what is sealed for it
// opens in no other session.
func (c *Client) ownKey(ctx context.Context, service string) (*PrivateKey, error) {
	r, err := c.route(ctx, service)
	if err != nil {
		return nil, err
	}
	key, err := GenerateKey(r.key.Curve())
	if err != nil {
		return nil, &Error{Kind: KindConfig, detail: "cannot make a key", err: err}
	}
	return key, nil
}

// url joins an escaped path to the service's base.
func (r *route) url(path string) (*url.URL, error) {
	escaped := r.base.EscapedPath() + path
	p, err := url.PathUnescape(escaped)
	if err != nil {
		return nil, &Error{Kind: KindInvalid, detail: "bad path", err: err}
	}
	u := *r.base
	u.Path, u.RawPath = p, escaped
	return &u, nil
}

// envelope is a sealed answer. Newer services add a signature_token whose
// meaning is not known; it is ignored.
type envelope struct {
	Data      sealedText `json:"data"`
	PublicKey scalar     `json:"publicKey"`
}

// sealedText is a base64 string decoded without an intermediate copy.
type sealedText struct {
	raw     []byte
	present bool
	broken  bool // a string, but not base64
}

func (s *sealedText) UnmarshalJSON(b []byte) error {
	if len(b) < 2 || b[0] != '"' {
		return nil // null, or not ours
	}
	s.present = true
	text := b[1 : len(b)-1]
	for _, ch := range text {
		if ch == '\\' { // some encoders write "\/"
			var t string
			if err := json.Unmarshal(b, &t); err != nil {
				return err
			}
			text = []byte(t)
			break
		}
	}
	raw := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(raw, text)
	s.raw, s.broken = raw[:n], err != nil
	return nil
}

// open decrypts an answer. When it names a public key that differs from the
// one we know, that one is used: the service has rotated its key, and answers
// with the new one. (Inference from first-party scripts, which always use the
// answer's key.) Both came from an allowed host over TLS, which is where trust
// begins: a seal proves no more than TLS does. A published call is stricter, and
// looks for a rotated key where the service publishes it; but that comes over TLS
// too.
func (c *Client) open(r *route, k call, shared *SharedKey, answer []byte) (plain []byte, opened bool, err error) {
	var env envelope
	if err := unmarshalLenient(answer, &env); err != nil {
		return nil, false, &Error{Kind: KindMalformed, HTTPStatus: 200, detail: "answer is broken JSON", err: err}
	}
	if !env.Data.present {
		if e := errorInSuccess(answer); e != nil {
			return nil, false, e
		}
		if k.clear {
			return answer, false, nil
		}
		return nil, false, &Error{Kind: KindMalformed, HTTPStatus: 200, detail: "answer is not sealed"}
	}
	if env.Data.broken {
		return nil, false, &Error{Kind: KindDecrypt, HTTPStatus: 200, detail: "answer cannot be opened", err: ErrCiphertext}
	}
	if p := string(env.PublicKey); p != "" && p != r.key.text {
		if named, err := ParsePublicKey(c.cfg.Curve, p); k.published && (err != nil || named.text != r.key.text) {
			return nil, false, &Error{Kind: KindUntrustedAnswer, HTTPStatus: 200, detail: "answer was not sealed with the key that the service publishes"}
		}
		if shared, err = c.sharedForAnswer(k, p); err != nil {
			return nil, false, &Error{Kind: KindDecrypt, HTTPStatus: 200, detail: "answer names a key we cannot use", err: err}
		}
	}
	if plain, err = shared.openRaw(env.Data.raw); err != nil {
		return nil, false, &Error{Kind: KindDecrypt, HTTPStatus: 200, detail: "answer cannot be opened", err: err}
	}
	return plain, true, nil
}

// sharedForAnswer is what the call's key, ours or its own, shares with the key
// that an answer names.
func (c *Client) sharedForAnswer(k call, text string) (*SharedKey, error) {
	if k.key == nil {
		s, _, err := c.sharedWith(text)
		return s, err
	}
	p, err := ParsePublicKey(c.cfg.Curve, text)
	if err != nil {
		return nil, err
	}
	return k.key.Shared(p)
}

// errorInSuccess recognises an error body that came with a 2xx status: one of
// the known shapes, with a numeric code of 400 or more, or "status":false.
func errorInSuccess(body []byte) *Error {
	v, ok := parseVendorError(body)
	if !ok {
		return nil
	}
	var w struct {
		Status *bool `json:"status"`
	}
	_ = json.Unmarshal(body, &w) // another type of status stays nil
	code, _ := strconv.Atoi(v.code)
	e := &Error{Kind: kindOfStatus(code), HTTPStatus: 200, Code: v.code, Message: v.message, Param: v.param,
		RetryAfter: v.retryAfter, Extra: v.extra, detail: "error inside a success answer"}
	switch {
	case code >= 400 && code < 600:
		if code <= http.StatusUnauthorized && strings.Contains(strings.ToLower(v.message), "decrypt") {
			e.Kind = KindDecrypt
			e.HTTPStatus = code // the service refused; nothing was done
		}
		return e
	case w.Status != nil && !*w.Status:
		e.Kind = KindInvalid
		return e
	}
	return nil
}
