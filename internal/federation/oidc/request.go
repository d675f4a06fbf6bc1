package oidc

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/kosmoscope/kosmoscope/internal/federation"
)

// Bounds on single parameters, in bytes; state has its own.
const (
	maxHint     = 512
	maxNonce    = 1 << 10
	maxScope    = 1 << 10
	maxACR      = 16      // values
	maxToken    = 8 << 10 // id_token_hint
	maxRequest  = 2400    // of a packed request, so that a code stays below maxCode
	maxAgeBound = 100 * 365 * 24 * time.Hour
)

// The scopes that mean something here, besides /assurance/ial/1 to 3. Others are
// ignored (OpenID Connect Core 1.0, 3.1.2.1), idv_flow_* of 1Kosmos' provider among
// them: which flow proves a person is the operator's to say.
const (
	scopeOpenID   = "openid"
	scopeProofing = "identity_assurance"
)

var plainScopes = []string{scopeOpenID, "profile", "email", "phone", scopeProofing, scopeOffline}

const (
	modeQuery = "query"
	modePost  = "form_post"

	typeCode    = "code"
	typeIDToken = "id_token" // for ProfileEntra alone
)

// errTwice is a parameter that comes more than once (RFC 6749 section 3.1).
var errTwice = errors.New("a parameter comes more than once")

// parameters are those of a request: of the query of a GET, of the body of a POST,
// never of both (OpenID Connect Core 1.0, 3.1.2.1). Those without a value are as if
// they were not there (RFC 6749 section 3.1), but for state, which goes back as it
// came. When one comes more than once the values are there, and errTwice.
func parameters(r *http.Request) (url.Values, error) {
	raw := r.URL.RawQuery
	if r.Method == http.MethodPost {
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
			return nil, refused(invalidRequest, "the body must be application/x-www-form-urlencoded")
		}
		if r.PostForm == nil {
			if err := r.ParseForm(); err != nil {
				if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
					return nil, oauthError{invalidRequest, "the request is too large", http.StatusRequestEntityTooLarge}
				}
				return nil, refused(invalidRequest, "the parameters cannot be read")
			}
		}
		return once(r.PostForm)
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, refused(invalidRequest, "the parameters cannot be read")
	}
	return once(values)
}

func once(values url.Values) (url.Values, error) {
	out, err := make(url.Values, len(values)), error(nil)
	for name, v := range values {
		if name == "resource" { // may come more than once (RFC 8707), and means nothing here
			continue
		}
		if len(v) > 1 {
			err = errTwice
		} else if v[0] == "" && name != "state" {
			continue
		}
		out[name] = v
	}
	return out, err
}

// redirectOf is where the answer to a request may go: nowhere but to an address that
// the client has registered, letter by letter. Schemes that browsers run as a script
// are refused even there.
func redirectOf(c *federation.Client, values url.Values) (string, bool) {
	uri := values.Get("redirect_uri")
	if len(values["redirect_uri"]) != 1 || !slices.Contains(c.OIDC.RedirectURIs, uri) {
		return "", false
	}
	return uri, landing(uri)
}

// landing reports whether a browser may be sent to uri at all.
func landing(uri string) bool {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme == "" || strings.Contains(uri, "#") {
		return false
	}
	switch strings.ToLower(u.Scheme) {
	case "http", "https":
		return u.Host != ""
	case "javascript", "data", "vbscript", "file", "blob", "about", "view-source":
		return false
	}
	return true // a scheme of an app's own (RFC 8252 section 7.1)
}

// answerTo is as much of a request as says how it is answered. It is read before
// everything else is checked, so that what is wrong there can be told.
func answerTo(c *federation.Client, redirect string, values url.Values) (request, error) {
	q := request{RedirectURI: redirect, ResponseMode: modeQuery, ResponseType: values.Get("response_type")}
	if state, ok := values["state"]; ok && len(state) == 1 {
		if len(state[0]) > maxState {
			return q, refused(invalidRequest, "state is longer than 4096 bytes")
		}
		q.State, q.HasState = []byte(state[0]), true
	}
	implicit := q.ResponseType == typeIDToken && c.Profile == federation.ProfileEntra
	if implicit {
		q.ResponseMode = modePost // a token never goes into an address
	}
	switch mode := values.Get("response_mode"); {
	case mode == "" && !implicit:
	case mode == modePost:
		q.ResponseMode = modePost
		if !typeable(q.State) {
			q.State, q.HasState = nil, false
			return q, refused(invalidRequest, "a form cannot bring this state back as it is: it has control characters or is no UTF-8")
		}
	case mode == modeQuery && !implicit:
	default:
		return q, refused(invalidRequest, "response_mode must be query or form_post, and form_post for id_token")
	}
	switch {
	case q.ResponseType == "":
		return q, refused(invalidRequest, "response_type is missing")
	case q.ResponseType != typeCode && !implicit:
		return q, refused(unsupportedResponseType, "response_type must be code")
	}
	return q, nil
}

// typeable reports whether a hidden field of a form gives b back as it is: browsers
// rewrite line ends and what is no UTF-8.
func typeable(b []byte) bool {
	return utf8.Valid(b) && !strings.ContainsFunc(string(b), func(r rune) bool { return unicode.IsControl(r) })
}

// word reports whether s is text that may be kept and shown.
func word(s string, most int) bool { return len(s) <= most && typeable([]byte(s)) }

// check turns an authorization request into an Ask. The client and q are those that
// answerTo saw. pushed: the client left the request with us, so that nothing of it
// went through a browser. Errors are for the client.
func (p *Provider) check(ctx context.Context, c *federation.Client, q request, values url.Values, pushed bool) (federation.Ask, error) {
	a := federation.Ask{Client: c, Tenant: c.Tenant, ClientID: c.ID, Protocol: federation.OIDC}
	if values.Has("request") {
		return a, refused(requestNotSupported, "request objects are not supported: push the request (RFC 9126)")
	}
	if values.Has("request_uri") {
		return a, refused(requestURINotSupported, "request_uri must be one that our par endpoint gave")
	}
	if c.OIDC.RequirePAR && !pushed {
		return a, refused(invalidRequest, "this client must push its requests (RFC 9126)")
	}
	asked := strings.Fields(values.Get("scope"))
	if len(values.Get("scope")) > maxScope || !slices.Contains(asked, scopeOpenID) {
		return a, refused(invalidScope, "scope must have openid, and at most 1024 bytes")
	}
	q.Scope = scopesOf(c, asked)

	var err error
	if q.Challenge, err = pkceOf(c, q, values); err != nil {
		return a, err
	}
	q.Nonce = values.Get("nonce")
	switch {
	case !word(q.Nonce, maxNonce):
		return a, refused(invalidRequest, "nonce must be text of at most 1024 bytes")
	case q.Nonce == "" && q.ResponseType == typeIDToken:
		return a, refused(invalidRequest, "nonce is missing: id_token needs one")
	}
	if err := promptOf(&a, values.Get("prompt")); err != nil {
		return a, err
	}
	if values.Has("max_age") {
		age, err := maxAgeOf(values.Get("max_age"))
		if err != nil {
			return a, err
		}
		a.MaxAge, q.MaxAge = &age, true
	}
	var claims claimsRequest
	if raw := values.Get("claims"); raw != "" {
		if claims, err = parseClaims(raw); err != nil {
			return a, claimsTrouble(err)
		}
		q.Claims = claims.compact()
		q.MaxAge = q.MaxAge || claims.authTime()
	}
	// Of a public client anybody can push a request.
	trusted := pushed && c.OIDC.AuthMethod != methodNone
	a.Proofing = slices.Contains(asked, scopeProofing) || claims.wantsProofing()
	if err := acrOf(&a, c, asked, values.Get("acr_values"), claims, trusted); err != nil {
		return a, err
	}
	if err := p.hints(ctx, &a, &q, values, claims.sub()); err != nil {
		return a, err
	}
	if a.State, err = json.Marshal(q); err != nil {
		return a, err
	}
	return a, fitting(q)
}

// fitting refuses a request that would not fit into a code. State is not in one.
func fitting(q request) error {
	q.State = nil
	b, err := pack(q)
	if err == nil && len(b) > maxRequest {
		err = refused(invalidRequest, "claims and the other parameters are too long together")
	}
	return err
}

func scopesOf(c *federation.Client, asked []string) []string {
	var out []string
	for _, s := range asked {
		known := slices.Contains(plainScopes, s) || levelOf(s) != ""
		if s == scopeOffline && !slices.Contains(c.OIDC.Grants, grantRefresh) {
			known = false
		}
		if known && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// levelOf is the assurance that s names, if it is one of 1Kosmos' three, else "".
func levelOf(s string) string {
	switch s = strings.TrimRight(s, "/"); s {
	case federation.ACRIAL1, federation.ACRIAL2, federation.ACRIAL3:
		return s
	}
	return ""
}

// pkceOf is RFC 7636: S256 alone, and needed unless the client has a secret or a key
// and is configured without. There, too, a challenge that comes holds.
func pkceOf(c *federation.Client, q request, values url.Values) (string, error) {
	challenge, method := values.Get("code_challenge"), values.Get("code_challenge_method")
	switch {
	case challenge == "" && method != "":
		return "", refused(invalidRequest, "code_challenge is missing")
	case challenge == "" && q.ResponseType == typeCode && !(c.OIDC.WithoutPKCE && c.OIDC.AuthMethod != methodNone):
		return "", refused(invalidRequest, "code_challenge is missing: PKCE is required")
	case challenge == "":
		return "", nil
	case method != "S256":
		return "", refused(invalidRequest, "code_challenge_method must be S256")
	case len(challenge) != 43 || strings.ContainsFunc(challenge, func(r rune) bool { return !base64url(r) }):
		return "", refused(invalidRequest, "code_challenge is not the base64url of a SHA-256")
	}
	return challenge, nil
}

func base64url(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
}

// promptOf reads prompt (OpenID Connect Core 1.0, 3.1.2.1). Each of login, consent and
// select_account shows the person something, which our pages do whenever no session is
// taken.
func promptOf(a *federation.Ask, prompt string) error {
	values := strings.Fields(prompt)
	for _, v := range values {
		switch v {
		case "none":
			a.Silent = true
		case "login", "consent", "select_account":
			a.Fresh = true
		default:
			return refused(invalidRequest, "prompt must be none, login, consent or select_account")
		}
	}
	if a.Silent && len(values) > 1 {
		return refused(invalidRequest, "prompt none goes with no other")
	}
	return nil
}

func maxAgeOf(s string) (time.Duration, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, refused(invalidRequest, "max_age must be a number of seconds")
	}
	if n > uint64(maxAgeBound/time.Second) {
		return maxAgeBound, nil
	}
	return time.Duration(n) * time.Second, nil
}

// claimsTrouble is what parseClaims says, as an error of the request.
func claimsTrouble(err error) error {
	if _, ok := errors.AsType[oauthError](err); ok {
		return err
	}
	o := errorOf(err)
	if o.ours() {
		return refused(invalidRequest, "claims cannot be read")
	}
	return oauthError{invalidRequest, cmp.Or(o.Description, "claims cannot be read"), http.StatusBadRequest}
}
