package kosmos

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// The OpenID provider of the community, as far as a step-up (reference 4.3) and a
// sign-in (oauth2_signin.go) need it: authorization code, one method, nothing that
// remembers a login.
//
//	authorize --(bad client or redirect_uri)--> page that says so
//	    | cookie: this browser asked
//	    v
//	authenticator (stepup.go) --match, refused, expired--> finish
//	                                                         | same browser only
//	                         redirect_uri?code | ?error <----+
//	                               |
//	                             token: ID token, once
//
// The code goes to no browser but the one that came to authorize: who has a link to
// the authenticator, and shows a face there, gets none. In a sign-in, which names
// nobody, only that browser may show the face, too: nobody can have somebody else
// answer and come back as them. A step-up can be answered elsewhere, as a push to a
// phone is; its page says not to do so for others.

// oauthSchema is executed by openStore.
const oauthSchema = `
CREATE TABLE IF NOT EXISTS oauth_grants (
	hash    BLOB PRIMARY KEY,      -- SHA-256 of the secret that the client holds
	kind    TEXT NOT NULL,         -- code, token, pushed
	origin  TEXT NOT NULL,         -- of a code: the step-up; of a token: the code's hash in hex
	expires INTEGER NOT NULL,
	used    INTEGER NOT NULL,
	value   BLOB NOT NULL          -- sealed JSON
) STRICT;
CREATE INDEX IF NOT EXISTS oauth_grants_by_origin ON oauth_grants (origin);
CREATE INDEX IF NOT EXISTS oauth_grants_by_time ON oauth_grants (expires);
`

const (
	grantCode   = "code"
	grantToken  = "token"
	grantPushed = "pushed"
)

// oauthDesk is the part of the server that the OpenID provider needs.
type oauthDesk struct {
	oauth struct {
		mu   sync.RWMutex
		keys []jose.JSONWebKey // for ID tokens; the newest comes first and signs, the others are still published
	}
}

const (
	oauthKeySecret = "oauth2/RS256"
	oauthKeyBits   = 2048
	oauthKeysKept  = 2 // with the newest
)

func (s *Server) openOAuth(ctx context.Context) error {
	for i, c := range s.opt.Clients {
		if c.ID == "" || len(c.Secret) < 16 || len(c.RedirectURIs) == 0 {
			return fmt.Errorf("OAuth client %d needs an ID, a secret of 16 characters or more, and redirect URIs", i)
		}
		for _, raw := range c.RedirectURIs {
			if !validCallback(raw) {
				return fmt.Errorf("OAuth client %q: a redirect URI must be https, or http to a loopback address, without user or fragment", c.ID)
			}
		}
	}
	if len(s.opt.Clients) == 0 {
		return nil // nothing answers, so no key is needed
	}
	s.stepUpEnds[kindOAuth2] = s.oauthEnd
	return s.loadOAuthKeys(ctx, false)
}

// RotateOAuthKey makes a new key for signing ID tokens. The one before it stays
// published, so that what it signed can still be verified.
func (s *Server) RotateOAuthKey(ctx context.Context) error { return s.loadOAuthKeys(ctx, true) }

func (s *Server) loadOAuthKeys(ctx context.Context, renew bool) error {
	s.oauth.mu.Lock()
	defer s.oauth.mu.Unlock()
	stored, err := s.store.secret(ctx, oauthKeySecret, renew, func() ([]byte, error) {
		key, err := rsa.GenerateKey(rand.Reader, oauthKeyBits)
		if err != nil {
			return nil, err
		}
		all := []any{key}
		for _, k := range s.oauth.keys[:min(len(s.oauth.keys), oauthKeysKept-1)] {
			all = append(all, k.Key)
		}
		var list [][]byte
		for _, k := range all {
			der, err := x509.MarshalPKCS8PrivateKey(k)
			if err != nil {
				return nil, err
			}
			list = append(list, der)
		}
		return json.Marshal(list)
	})
	if err != nil {
		return fmt.Errorf("OAuth key: %w", err)
	}
	var list [][]byte
	if err := json.Unmarshal(stored, &list); err != nil {
		return errors.New("OAuth key: not a list")
	}
	var keys []jose.JSONWebKey
	for _, der := range list {
		key, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			return errors.New("OAuth key: not PKCS #8")
		}
		k := jose.JSONWebKey{Key: key, Algorithm: string(jose.RS256), Use: "sig"}
		print, err := k.Thumbprint(crypto.SHA256)
		if err != nil {
			return fmt.Errorf("OAuth key: %w", err)
		}
		k.KeyID = base64.RawURLEncoding.EncodeToString(print) // RFC 7638: says which key, whatever the order
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return errors.New("OAuth key: none")
	}
	s.oauth.keys = keys
	return nil
}

func (s *Server) oauthRoutes(mux *http.ServeMux) {
	if len(s.opt.Clients) == 0 {
		return
	}
	const base = "/oauth2/community/{community}"
	handle := func(pattern string, h http.HandlerFunc) {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" "+base+path, func(w http.ResponseWriter, r *http.Request) {
			if r.PathValue("community") != s.opt.Community {
				guessNoRoute.write(w)
				return
			}
			h(w, r)
		})
	}
	handle("GET "+oauthDiscoveryPath, s.oauthDiscovery)
	handle("GET "+oauthKeysPath, s.oauthPublicKeys)
	handle("GET /v1/authorize", s.oauthAuthorize)
	handle("POST /v1/authorize", s.oauthAuthorize)
	handle("GET /v1/authorize/{id}/finish", s.oauthFinish)
	handle("POST "+oauthPushPath, s.oauthPush)
	handle("POST /v1/token", s.oauthToken)
	handle("GET "+oauthUserInfoPath, s.oauthUserInfo)
	handle("POST "+oauthUserInfoPath, s.oauthUserInfo)
}

// oauthIssuer is one name whatever the host that the client used: an issuer is an identity.
func (s *Server) oauthIssuer() string {
	return "https://" + s.opt.DNS + s.oauthPath()
}

func (s *Server) oauthPath() string { return "/oauth2/community/" + url.PathEscape(s.opt.Community) }

func (s *Server) oauthDiscovery(w http.ResponseWriter, _ *http.Request) {
	iss := s.oauthIssuer()
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                         iss,
		"authorization_endpoint":                         iss + "/v1/authorize",
		"token_endpoint":                                 iss + "/v1/token",
		"userinfo_endpoint":                              iss + oauthUserInfoPath,
		"jwks_uri":                                       iss + oauthKeysPath,
		"pushed_authorization_request_endpoint":          iss + oauthPushPath,
		"scopes_supported":                               oauthScopes,
		"response_types_supported":                       []string{"code"},
		"response_modes_supported":                       []string{"query"},
		"grant_types_supported":                          []string{"authorization_code"},
		"subject_types_supported":                        []string{"public"},
		"id_token_signing_alg_values_supported":          []string{string(jose.RS256)},
		"token_endpoint_auth_methods_supported":          []string{"client_secret_basic"},
		"code_challenge_methods_supported":               []string{"S256"},
		"acr_values_supported":                           []string{oauthACR, oauthLevelBase + "1", oauthLevelBase + "2"},
		"claims_supported":                               []string{"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "at_hash", oauthUserClaim, "name", "given_name", "family_name", "preferred_username", "email", "email_verified"},
		"claims_parameter_supported":                     true,
		"request_parameter_supported":                    false,
		"request_uri_parameter_supported":                false, // but those of pushed requests
		"authorization_response_iss_parameter_supported": true,
	})
}

func (s *Server) oauthPublicKeys(w http.ResponseWriter, _ *http.Request) {
	s.oauth.mu.RLock()
	defer s.oauth.mu.RUnlock()
	var set jose.JSONWebKeySet
	for _, k := range s.oauth.keys {
		set.Keys = append(set.Keys, k.Public())
	}
	writeJSON(w, http.StatusOK, set)
}

// oauthError is an error of RFC 6749 (4.1.2.1 and 5.2). Description is made of
// fixed words: nothing that a request said.
type oauthError struct{ code, description string }

// oauthRequest is an authorization request that was found good.
type oauthRequest struct {
	Client    string      `json:"client"`
	Redirect  string      `json:"redirect"`
	State     string      `json:"state"`
	Nonce     string      `json:"nonce"`
	Challenge string      `json:"challenge"` // PKCE S256; empty if the client need not
	Username  string      `json:"username"`  // of a step-up; empty for a sign-in by whomever
	Hint      string      `json:"hint,omitempty"`
	Choose    bool        `json:"choose,omitempty"` // the account that was used last shall not be suggested
	Wanted    oauthWanted `json:"wanted,omitzero"`
	Browser   []byte      `json:"browser"` // SHA-256 of the cookie of the browser that asked
	Origin    string      `json:"origin"`  // by which it came, so that the cookie comes along to finish
	Pushed    bool        `json:"pushed"`  // by the client, which had authenticated
}

// redirectable reads which client asks and where its answer goes. Before both
// are known to belong together nothing may be redirected (RFC 6749, 4.1.2.1).
func (s *Server) redirectable(q url.Values) (*OAuthClient, *oauthRequest) {
	id, to, state := q["client_id"], q["redirect_uri"], q["state"]
	if len(id) != 1 || len(to) != 1 || len(state) > 1 {
		return nil, nil
	}
	i := slices.IndexFunc(s.opt.Clients, func(c OAuthClient) bool { return c.ID == id[0] })
	if i < 0 || !slices.Contains(s.opt.Clients[i].RedirectURIs, to[0]) {
		return nil, nil
	}
	return &s.opt.Clients[i], &oauthRequest{Client: id[0], Redirect: to[0], State: q.Get("state")}
}

// complete reads the rest of an authorization request.
func (rq *oauthRequest) complete(c *OAuthClient, q url.Values) *oauthError {
	invalid := func(text string) *oauthError { return &oauthError{"invalid_request", text} }
	for name, values := range q {
		if len(values) > 1 {
			return invalid("a parameter was sent more than once")
		}
		if len(values[0]) > 4096 {
			return invalid("a parameter is too long")
		}
		switch name {
		case "request":
			return &oauthError{"request_not_supported", "request objects are not supported"}
		case "registration":
			return &oauthError{"registration_not_supported", "registration is not supported"}
		}
	}
	if q.Get("response_type") != "code" {
		return &oauthError{"unsupported_response_type", "response_type must be code"}
	}
	if m := q.Get("response_mode"); m != "" && m != "query" {
		return invalid("response_mode must be query")
	}
	if !slices.Contains(strings.Fields(q.Get("scope")), "openid") {
		return &oauthError{"invalid_scope", "scope must contain openid"}
	}
	for _, p := range strings.Fields(q.Get("prompt")) {
		if p == "none" { // a face is never shown without the person
			return &oauthError{"login_required", "the person must act"}
		}
	}
	rq.Nonce, rq.Challenge = q.Get("nonce"), q.Get("code_challenge")
	switch method := q.Get("code_challenge_method"); {
	case rq.Challenge == "" && method == "" && c.PKCEOptional:
	case rq.Challenge == "":
		return invalid("code_challenge is required")
	case method != "S256":
		return invalid("code_challenge_method must be S256")
	default:
		if b, err := base64.RawURLEncoding.DecodeString(rq.Challenge); err != nil || len(b) != sha256.Size {
			return invalid("code_challenge must be 43 characters of base64url")
		}
	}

	return rq.want(q)
}

// answerTo is where the browser takes an answer to a request.
func (s *Server) answerTo(rq *oauthRequest, answer url.Values) string {
	u, err := url.Parse(rq.Redirect)
	if err != nil {
		return "" // openOAuth parsed it
	}
	q := u.Query()
	for k := range answer {
		q.Set(k, answer.Get(k))
	}
	if rq.State != "" {
		q.Set("state", rq.State)
	}
	q.Set("iss", s.oauthIssuer()) // RFC 9207
	u.RawQuery = q.Encode()
	return u.String()
}

func (s *Server) denyTo(rq *oauthRequest, e *oauthError) string {
	return s.answerTo(rq, url.Values{"error": {e.code}, "error_description": {e.description}})
}

// seeOther redirects without a body: http.Redirect would write the address into one.
func seeOther(w http.ResponseWriter, to string) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

// oauthAuthorize opens a face check for the user named in claims, or for whoever
// says a name at the authenticator, and sends the browser there, or back with an
// error. At the end the authenticator sends the browser to finish, which wants the
// cookie set here.
//
// Who may be asked depends on who names the user:
//
//   - In a pushed request the client does, which has authenticated. A user who
//     cannot show a face comes back at once as access_denied with the reason, and
//     what fails counts for the user (bucketOwn).
//   - In a front-channel request whoever holds the browser does: the client_id is
//     public. It is a typed name. Nothing looks here whether there is such a user;
//     for every name the authenticator opens, runs as for a typed name that nobody
//     has, and ends with the same answers (denial); what differs is a fraction of a
//     millisecond (see decoy). What fails counts for the typed name (bucketTyped),
//     as do the openings themselves (bucketOpens). In a browser that was recognised
//     as this user before, what fails counts for the user, and openings do not count.
//
// What 1Kosmos itself does here is unknown.
func (s *Server) oauthAuthorize(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if r.ParseForm() != nil {
		s.oauthPage(w, r, "The request could not be read.")
		return
	}
	q := r.Form
	if r.Method == http.MethodPost {
		q = r.PostForm
	}
	uri := q.Get("request_uri")
	if uri != "" {
		pushed, err := s.pulled(ctx, uri, q.Get("client_id"))
		if err != nil {
			s.oauthTrouble(w, r, err, "This request has ended or was used before.")
			return
		}
		q = pushed
	}
	client, rq := s.redirectable(q)
	if client == nil {
		s.oauthPage(w, r, "The application that sent you here is not registered with this address.")
		return
	}
	if e := rq.complete(client, q); e != nil {
		seeOther(w, s.denyTo(rq, e))
		return
	}

	rq.Pushed = uri != ""
	named := rq.Username != ""
	typed := named && !rq.Pushed && !s.recognised(r, rq.Username)
	var reason string
	var err error
	switch {
	case typed:
		reason, err = s.openTyped(ctx, rq.Username)
	case named && rq.Pushed:
		reason, err = s.challengeable(ctx, rq.Username)
	}
	if err != nil {
		s.oauthTrouble(w, r, err, "")
		return
	}
	if reason == "" && named && !typed && !s.limit.allow("oauth2/"+foldName(rq.Username), askWrite, s.now()) {
		reason = ReasonTooManyAttempts
	}
	if reason != "" {
		seeOther(w, s.denyTo(rq, &oauthError{"access_denied", reason}))
		return
	}

	cookie := randomText()
	rq.Browser, rq.Origin = hashOf(cookie), s.origin(r)
	detail, err := json.Marshal(rq)
	if err != nil {
		s.oauthTrouble(w, r, err, "")
		return
	}
	u := &stepUp{
		Kind: kindOAuth2, Username: rq.Username, Detail: detail,
		Show:    stepUpShow{Application: client.ID, Account: maskAccount(rq.Username), Purpose: oauthPurpose},
		Expires: s.now().Add(oauthStepUpTTL),
	}
	if err := s.newStepUp(ctx, u); err != nil {
		s.oauthTrouble(w, r, err, "")
		return
	}
	path := "/oauth2/"
	if !named {
		path = "/" // the authenticator wants it, too
	}
	http.SetCookie(w, &http.Cookie{
		Name: oauthCookie(u.ID), Value: cookie, Path: path, MaxAge: int((oauthStepUpTTL + oauthCodeTTL) / time.Second),
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
	seeOther(w, s.authenticatorURL(r, u.ID))
}

// oauthCookie is the name of the cookie for one step-up: a browser may be at several.
func oauthCookie(id string) string {
	sum := sha256.Sum256([]byte(id)) // the id is a bearer secret, and names are less well kept than values
	return "__Secure-oauth2-" + base64.RawURLEncoding.EncodeToString(sum[:6])
}

// by reports whether this is the browser that made the request for a step-up.
func (rq *oauthRequest) by(r *http.Request, id string) bool {
	cookie, err := r.Cookie(oauthCookie(id))
	return err == nil && hmac.Equal(hashOf(cookie.Value), rq.Browser)
}

// oauthEnd is where the authenticator sends the browser when it is done.
func (s *Server) oauthEnd(_ context.Context, u *stepUp) (string, error) {
	var rq oauthRequest
	if err := json.Unmarshal(u.Detail, &rq); err != nil {
		return "", nil // purged: it ended long ago
	}
	return rq.Origin + s.oauthPath() + "/v1/authorize/" + url.PathEscape(u.ID) + "/finish", nil
}

// oauthFinish answers the authorization request whose step-up has ended, to the
// browser that made it. Coming again brings a new code and ends the one before,
// until one was redeemed.
func (s *Server) oauthFinish(w http.ResponseWriter, r *http.Request) {
	ctx, id := r.Context(), r.PathValue("id")
	const notHere = "This step belongs to another browser, or has ended. Please go back to where you came from and start again."
	u, err := s.stepUp(ctx, id)
	if errors.Is(err, errNoSession) || err == nil && (u.Kind != kindOAuth2 || u.Detail == nil) {
		s.oauthPage(w, r, notHere)
		return
	}
	var rq oauthRequest
	if err == nil {
		err = json.Unmarshal(u.Detail, &rq)
	}
	if err != nil {
		s.oauthTrouble(w, r, err, "")
		return
	}
	if !rq.by(r, id) {
		s.oauthPage(w, r, notHere)
		return
	}
	switch u.State {
	case stepUpMatch:
		var level string
		if u.Answer != nil {
			level, err = s.userLevel(ctx, u.Answer.Username)
		}
		if err != nil && !errors.Is(err, errNoUser) {
			s.oauthTrouble(w, r, err, "")
			return
		}
		acr, ok := rq.Wanted.met(level)
		if !ok {
			seeOther(w, s.denyTo(&rq, &oauthError{oauthUnmet, "the assurance level was not reached"}))
			return
		}
		code, err := s.newCode(ctx, u, codeGrant{
			u.ID, rq.Client, rq.Redirect, rq.Nonce, rq.Challenge, acr, rq.Wanted.methods(level), rq.Wanted.Scope,
		})
		if err != nil {
			s.oauthTrouble(w, r, err, notHere)
			return
		}
		seeOther(w, s.answerTo(&rq, url.Values{"code": {code}}))
	case stepUpRefused:
		seeOther(w, s.denyTo(&rq, &oauthError{"access_denied", rq.denial(u.Reason)}))
	case stepUpExpired:
		seeOther(w, s.denyTo(&rq, &oauthError{"access_denied", oauthTimeLimit}))
	default: // not done yet
		seeOther(w, s.authenticatorURL(r, id))
	}
}

// denial is what a refused step-up's reason becomes on its way through the
// browser. Where the name was typed it is one that a name which nobody has can come
// to as well.
func (rq *oauthRequest) denial(reason string) string {
	switch {
	case rq.Pushed && rq.Username != "", findings[reason] == poor:
	case reason == ReasonDeclined, reason == ReasonTooManyAttempts, reason == ReasonRetriesExhausted:
	default:
		return api.ReasonFaceMismatch
	}
	return reason
}

// errGrant is a code, token or pushed request that is not there, not in time,
// used before, or another client's.
var errGrant = errors.New("oauth2: no such grant")

func randomText() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

func hashOf(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

func grantPlace(hash []byte) string { return "oauth_grants/value/" + fmt.Sprintf("%x", hash) }

// putGrant keeps v under a new secret, which it returns, and forgets what is old.
func (s *Server) putGrant(ctx context.Context, tx *sql.Tx, kind, origin string, ttl time.Duration, v any) (string, error) {
	secret, now := randomText(), s.now()
	hash := hashOf(secret)
	sealed, err := s.store.sealJSON(grantPlace(hash), v)
	if err != nil {
		return "", err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM oauth_grants WHERE expires <= ?`, now.Add(-oauthRememberFor).UnixMilli()); err != nil {
		return "", fmt.Errorf("grants: %w", err)
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO oauth_grants (hash, kind, origin, expires, used, value) VALUES (?, ?, ?, ?, 0, ?)`,
		hash, kind, origin, now.Add(ttl).UnixMilli(), sealed); err != nil {
		return "", fmt.Errorf("grants: %w", err)
	}
	return secret, nil
}

// readGrant opens a grant into v. used says that take took it before.
func (s *Server) readGrant(ctx context.Context, tx *sql.Tx, kind string, hash []byte, v any) (used bool, err error) {
	var sealed []byte
	var expires, n int64
	err = tx.QueryRowContext(ctx, `SELECT expires, used, value FROM oauth_grants WHERE hash = ? AND kind = ?`, hash, kind).Scan(&expires, &n, &sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return false, errGrant
	}
	if err != nil {
		return false, fmt.Errorf("grants: %w", err)
	}
	if n == 0 && s.now().UnixMilli() >= expires {
		return false, errGrant
	}
	return n > 0, s.store.openJSON(grantPlace(hash), sealed, v)
}

func useGrant(ctx context.Context, tx *sql.Tx, hash []byte) error {
	if _, err := tx.ExecContext(ctx, `UPDATE oauth_grants SET used = used + 1 WHERE hash = ?`, hash); err != nil {
		return fmt.Errorf("grants: %w", err)
	}
	return nil
}

// codeGrant is what a code stands for.
type codeGrant struct {
	StepUp    string   `json:"stepup"`
	Client    string   `json:"client"`
	Redirect  string   `json:"redirect"`
	Nonce     string   `json:"nonce"`
	Challenge string   `json:"challenge"`
	ACR       string   `json:"acr"`
	AMR       []string `json:"amr"`
	Scope     []string `json:"scope"`
}

// newCode makes the one code of a step-up that counts: it ends another that was
// not redeemed, and after one that was there is no other.
func (s *Server) newCode(ctx context.Context, u *stepUp, g codeGrant) (code string, err error) {
	if u.Answer == nil || !s.now().Before(u.Answer.At.Add(oauthStepUpTTL)) {
		return "", errGrant
	}
	err = s.store.update(ctx, func(tx *sql.Tx) error {
		var used int
		if err := tx.QueryRowContext(ctx, `SELECT COALESCE(SUM(used), 0) FROM oauth_grants WHERE origin = ? AND kind = ?`, u.ID, grantCode).Scan(&used); err != nil {
			return fmt.Errorf("grants: %w", err)
		}
		if used > 0 {
			return errGrant
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM oauth_grants WHERE origin = ? AND kind = ?`, u.ID, grantCode); err != nil {
			return fmt.Errorf("grants: %w", err)
		}
		code, err = s.putGrant(ctx, tx, grantCode, u.ID, oauthCodeTTL, g)
		return err
	})
	return code, err
}

// oauthClient authenticates a client by client_secret_basic.
func (s *Server) oauthClient(r *http.Request) *OAuthClient {
	id, secret, ok := r.BasicAuth()
	if !ok {
		return nil
	}
	// Both were form-encoded before (RFC 6749, 2.3.1).
	id, err1 := url.QueryUnescape(id)
	secret, err2 := url.QueryUnescape(secret)
	if err1 != nil || err2 != nil {
		return nil
	}
	for i, c := range s.opt.Clients {
		if c.ID == id && sameSecret(secret, c.Secret) {
			return &s.opt.Clients[i]
		}
	}
	return nil
}

// oauthForm reads the form of an authenticated client. When it returns nil it has answered.
func (s *Server) oauthForm(w http.ResponseWriter, r *http.Request) *OAuthClient {
	client := s.oauthClient(r)
	if client == nil {
		w.Header().Set("WWW-Authenticate", `Basic realm="oauth2"`)
		oauthRefuse(w, http.StatusUnauthorized, &oauthError{"invalid_client", "client authentication failed"})
		return nil
	}
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		oauthRefuse(w, http.StatusBadRequest, &oauthError{"invalid_request", "the body must be a form"})
		return nil
	}
	for _, values := range r.PostForm {
		if len(values) > 1 {
			oauthRefuse(w, http.StatusBadRequest, &oauthError{"invalid_request", "a parameter was sent more than once"})
			return nil
		}
	}
	if id := r.PostForm.Get("client_id"); id != "" && id != client.ID {
		oauthRefuse(w, http.StatusBadRequest, &oauthError{"invalid_request", "client_id is another client's"})
		return nil
	}
	return client
}

func oauthRefuse(w http.ResponseWriter, status int, e *oauthError) {
	w.Header().Set("Pragma", "no-cache") // RFC 6749, 5.1
	writeJSON(w, status, map[string]string{"error": e.code, "error_description": e.description})
}

// oauthPush takes an authorization request from the client itself (RFC 9126).
func (s *Server) oauthPush(w http.ResponseWriter, r *http.Request) {
	client := s.oauthForm(w, r)
	if client == nil {
		return
	}
	q := r.PostForm
	q.Set("client_id", client.ID)
	_, rq := s.redirectable(q)
	refuse := &oauthError{"invalid_request", "redirect_uri is not registered"}
	if rq != nil {
		refuse = rq.complete(client, q)
	}
	if q.Has("request_uri") {
		refuse = &oauthError{"invalid_request", "request_uri cannot be pushed"}
	}
	if refuse != nil {
		oauthRefuse(w, http.StatusBadRequest, refuse)
		return
	}
	var secret string
	err := s.store.update(r.Context(), func(tx *sql.Tx) (err error) {
		secret, err = s.putGrant(r.Context(), tx, grantPushed, "", oauthPushTTL, q)
		return err
	})
	if err != nil {
		s.internal(w, "push an authorization request", err)
		return
	}
	writeJSON(w, http.StatusCreated, map[string]any{"request_uri": pushedPrefix + secret, "expires_in": int(oauthPushTTL / time.Second)})
}

const pushedPrefix = "urn:ietf:params:oauth:request_uri:"

// pulled takes a pushed request, once.
func (s *Server) pulled(ctx context.Context, uri, client string) (url.Values, error) {
	secret, ok := strings.CutPrefix(uri, pushedPrefix)
	if !ok {
		return nil, errGrant
	}
	var q url.Values
	err := s.store.update(ctx, func(tx *sql.Tx) error {
		hash := hashOf(secret)
		used, err := s.readGrant(ctx, tx, grantPushed, hash, &q)
		if err != nil {
			return err
		}
		if used || q.Get("client_id") != client {
			return errGrant
		}
		return useGrant(ctx, tx, hash)
	})
	return q, err
}

// oauthToken redeems a code, once. A second use also ends the access token of
// the first (RFC 6749, 4.1.2).
func (s *Server) oauthToken(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	client := s.oauthForm(w, r)
	if client == nil {
		return
	}
	q := r.PostForm
	if q.Get("grant_type") != "authorization_code" {
		oauthRefuse(w, http.StatusBadRequest, &oauthError{"unsupported_grant_type", "grant_type must be authorization_code"})
		return
	}
	hash := hashOf(q.Get("code"))
	origin := fmt.Sprintf("%x", hash)
	var g codeGrant
	good := false
	err := s.store.update(ctx, func(tx *sql.Tx) error {
		used, err := s.readGrant(ctx, tx, grantCode, hash, &g)
		if err != nil {
			return err
		}
		if g.Client != client.ID {
			return errGrant // as if it were not there; the owner can still redeem it
		}
		if used {
			if _, err := tx.ExecContext(ctx, `DELETE FROM oauth_grants WHERE origin = ? AND kind = ?`, origin, grantToken); err != nil {
				return fmt.Errorf("grants: %w", err)
			}
			return nil
		}
		// From here on the code is spent, whether the rest is right or not.
		good = g.Redirect == q.Get("redirect_uri") && provesChallenge(g.Challenge, q.Get("code_verifier"))
		return useGrant(ctx, tx, hash)
	})
	if err != nil && !errors.Is(err, errGrant) {
		s.internal(w, "redeem a code", err)
		return
	}
	invalid := &oauthError{"invalid_grant", "the code is unknown, used, expired, or another request's"}
	if err != nil || !good {
		oauthRefuse(w, http.StatusBadRequest, invalid)
		return
	}

	u, err := s.stepUp(ctx, g.StepUp)
	var person *wallet
	if err == nil {
		username := u.Username
		if username == "" && u.Answer != nil { // a sign-in
			username = u.Answer.Username
		}
		person, err = s.wallet(ctx, username)
	}
	switch {
	case errors.Is(err, errNoSession), errors.Is(err, errNoUser), errors.Is(err, errNotEnrolled), errors.Is(err, errDisabled):
		// Switched off or removed since the match.
	case err != nil:
		s.internal(w, "redeem a code", err)
		return
	case u.Kind != kindOAuth2 || u.State != stepUpMatch || u.Answer == nil || u.Answer.DID != person.DID:
	default:
		s.issue(ctx, w, client, &g, u, person, origin)
		return
	}
	oauthRefuse(w, http.StatusBadRequest, invalid)
}

// provesChallenge checks PKCE (RFC 7636, 4.6). A verifier without a challenge is
// refused, so that a challenge cannot be taken out of a request unnoticed (RFC 9700, 2.1.1).
func provesChallenge(challenge, verifier string) bool {
	if challenge == "" {
		return verifier == ""
	}
	if len(verifier) < 43 || len(verifier) > 128 {
		return false
	}
	return hmac.Equal([]byte(base64.RawURLEncoding.EncodeToString(hashOf(verifier))), []byte(challenge))
}

// issue answers with the ID token of a match, and an access token for userinfo.
func (s *Server) issue(ctx context.Context, w http.ResponseWriter, client *OAuthClient, g *codeGrant, u *stepUp, person *wallet, origin string) {
	// The name that is on record, however the request spelled it.
	about := g.about(person)
	var access string
	err := s.store.update(ctx, func(tx *sql.Tx) (err error) {
		access, err = s.putGrant(ctx, tx, grantToken, origin, oauthTokenTTL, about)
		return err
	})
	if err != nil {
		s.internal(w, "make an access token", err)
		return
	}
	now := s.now()
	claims := map[string]any{
		"iss": s.oauthIssuer(), "sub": person.UID, "aud": client.ID,
		"iat": now.Unix(), "exp": now.Add(oauthTokenTTL).Unix(), "auth_time": u.Answer.At.Unix(),
		"acr": g.ACR, "amr": g.AMR, "at_hash": base64.RawURLEncoding.EncodeToString(hashOf(access)[:sha256.Size/2]),
		oauthUserClaim: person.Username,
	}
	if b := u.Answer.block(); b != nil {
		claims["kosmoscope"] = b
	}
	if g.Nonce != "" {
		claims["nonce"] = g.Nonce
	}
	token, err := s.signIDToken(claims)
	if err != nil {
		s.internal(w, "sign an ID token", err)
		return
	}
	w.Header().Set("Pragma", "no-cache")
	writeJSON(w, http.StatusOK, map[string]any{
		"access_token": access, "token_type": "Bearer", "expires_in": int(oauthTokenTTL / time.Second), "scope": strings.Join(g.Scope, " "), "id_token": token,
	})
}

func (s *Server) signIDToken(claims map[string]any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	s.oauth.mu.RLock()
	key := s.oauth.keys[0]
	s.oauth.mu.RUnlock()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// oauthUserInfo answers whom an access token is about (OpenID Connect Core, 5.3).
func (s *Server) oauthUserInfo(w http.ResponseWriter, r *http.Request) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	about := map[string]any{}
	err := errGrant
	if strings.EqualFold(scheme, "Bearer") && token != "" {
		err = s.store.update(r.Context(), func(tx *sql.Tx) error {
			_, err := s.readGrant(r.Context(), tx, grantToken, hashOf(strings.TrimSpace(token)), &about)
			return err
		})
	}
	switch {
	case errors.Is(err, errGrant):
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		oauthRefuse(w, http.StatusUnauthorized, &oauthError{"invalid_token", "the access token is unknown or expired"})
	case err != nil:
		s.internal(w, "read an access token", err)
	default:
		writeJSON(w, http.StatusOK, about)
	}
}

// oauthPage tells the person what cannot be told to an application.
func (s *Server) oauthPage(w http.ResponseWriter, r *http.Request, message string) {
	pageHeaders(w)
	s.refuse(w, r, http.StatusBadRequest, "invalid_request", message)
}

func (s *Server) oauthTrouble(w http.ResponseWriter, r *http.Request, err error, gone string) {
	if errors.Is(err, errGrant) {
		s.oauthPage(w, r, gone)
		return
	}
	s.log.Error("kosmos: oauth2", "error", err)
	pageHeaders(w)
	s.refuse(w, r, http.StatusInternalServerError, "internal_error", "Something went wrong on our side. Please try again in a minute.")
}
