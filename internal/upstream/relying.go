package upstream

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// relying is what any relying party of the tenant's OpenID provider does, whatever
// it asks and believes: discovery, keys, the request's protection, the exchange of
// the code, and the checks of OpenID Connect Core, 3.1.3.7. OIDC and Federated
// are made of it.
type relying struct {
	rp    relyingConfig
	http  *http.Client
	hosts map[string]bool // host:port, lower case

	mu       sync.Mutex
	provider *oidcProvider // nil until it was found
	keys     *oidcKeys     // nil until they were fetched
}

// relyingConfig is the part of OIDCConfig and FederatedConfig that both have.
type relyingConfig struct {
	DiscoveryURL string
	Issuer       string
	ClientID     string
	ClientSecret string
	Scopes       []string
	NoPKCE       bool
	HTTPClient   *http.Client
	AllowedHosts []string
	Now          func() time.Time
}

// newRelying checks the configuration. It asks the provider nothing.
func newRelying(cfg relyingConfig) (*relying, error) {
	if cfg.ClientID == "" || cfg.ClientSecret == "" {
		return nil, errors.New("upstream: oidc: ClientID and ClientSecret are required")
	}
	if len(cfg.Scopes) == 0 {
		cfg.Scopes = []string{"openid", "email", "profile"}
	}
	if !slices.Contains(cfg.Scopes, "openid") {
		return nil, errors.New("upstream: oidc: Scopes must contain openid")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	o := &relying{rp: cfg, hosts: map[string]bool{}}
	discovery, err := url.Parse(cfg.DiscoveryURL)
	if err != nil || discovery.Hostname() == "" {
		return nil, errors.New("upstream: oidc: DiscoveryURL must be a whole https URL")
	}
	for _, h := range append([]string{discovery.Host}, cfg.AllowedHosts...) {
		u, err := url.Parse("https://" + h)
		if err != nil || u.Host != h || u.Hostname() == "" {
			return nil, errors.New("upstream: oidc: a host must be NAME or NAME:PORT")
		}
		o.hosts[oidcHost(u)] = true
	}
	if o.trusted(cfg.DiscoveryURL) == nil {
		return nil, errors.New("upstream: oidc: DiscoveryURL must be a whole https URL")
	}
	if cfg.Issuer == "" {
		issuer, ok := strings.CutSuffix(cfg.DiscoveryURL, oidcDiscovery)
		if !ok {
			return nil, fmt.Errorf("upstream: oidc: Issuer is required, because DiscoveryURL does not end in %s", oidcDiscovery)
		}
		o.rp.Issuer = issuer
	}
	client := cfg.HTTPClient
	if client == nil {
		client = &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	}
	own := *client
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	o.http = &own
	return o, nil
}

// oidcExchange is one authorization request, as whoever made it keeps it until the
// browser comes back.
type oidcExchange struct {
	State    string `json:"state"`
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier,omitempty"` // PKCE
	Redirect string `json:"redirect"`
	Opened   int64  `json:"opened"` // unix seconds
}

// request makes an authorization request for the code flow, with what more there
// is to say in extra.
func (o *relying) request(p *oidcProvider, state, redirect string, scopes []string, extra url.Values) (string, oidcExchange) {
	x := oidcExchange{State: state, Nonce: oidcRandom(), Redirect: redirect, Opened: o.rp.Now().Unix()}
	u := *p.authorize
	q := u.Query()
	for name := range extra {
		q.Set(name, extra.Get(name))
	}
	q.Set("response_type", "code")
	q.Set("client_id", o.rp.ClientID)
	q.Set("scope", strings.Join(scopes, " "))
	q.Set("redirect_uri", x.Redirect)
	q.Set("state", x.State)
	q.Set("nonce", x.Nonce)
	if !o.rp.NoPKCE {
		x.Verifier = oidcRandom()
		sum := sha256.Sum256([]byte(x.Verifier))
		q.Set("code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]))
		q.Set("code_challenge_method", "S256")
	}
	u.RawQuery = q.Encode()
	return u.String(), x
}

// answered checks that what the browser brought back answers this request, and
// comes from this provider.
func (o *relying) answered(ctx context.Context, x oidcExchange, back map[string]string) (*oidcProvider, error) {
	if !hmac.Equal([]byte(back["state"]), []byte(x.State)) {
		return nil, oidcFault(proof.ReasonAnswerReplayed, "the browser brought back the answer to another request", nil)
	}
	p, err := o.discover(ctx)
	if err != nil {
		return nil, err
	}
	// RFC 9207: an answer of another provider must not be redeemed at this one.
	if iss := back["iss"]; iss != "" && iss != p.Issuer || iss == "" && p.NamesIssuer {
		return nil, oidcFault(proof.ReasonAnswerUntrusted, "the answer is of another provider", nil)
	}
	return p, nil
}

// exchange redeems the code that the browser brought back, and checks who signed
// what for whom. What the token says of the person is for believe and the caller.
func (o *relying) exchange(ctx context.Context, p *oidcProvider, x oidcExchange, back map[string]string) (oidcClaims, oidcTokens, error) {
	if code := back["code"]; code == "" || len(code) > oidcMaxCode {
		return nil, oidcTokens{}, oidcFault(proof.ReasonUpstreamMalformed, "the browser brought back neither code nor error", nil)
	}
	// The keys first: once the code is spent, nothing more should have to go well.
	if _, err := o.signingKeys(ctx, p, false); err != nil {
		return nil, oidcTokens{}, err
	}
	tokens, err := o.redeem(ctx, p, back["code"], x)
	if err != nil {
		return nil, oidcTokens{}, err
	}
	claims, err := o.verify(ctx, p, tokens.ID)
	if err == nil {
		err = o.believe(p, claims, x)
	}
	if err != nil {
		return nil, oidcTokens{}, err
	}
	return claims, tokens, nil
}

// believe checks that a token of the provider (OpenID Connect Core, 3.1.3.7) is
// for us, of now, and about this request.
func (o *relying) believe(p *oidcProvider, c oidcClaims, x oidcExchange) error {
	untrusted := func(text string) error { return oidcFault(proof.ReasonAnswerUntrusted, text, nil) }
	now := o.rp.Now()
	if text(c, "iss") != p.Issuer {
		return untrusted("the ID token is of another issuer")
	}
	if aud := c.texts("aud"); len(aud) != 1 || aud[0] != o.rp.ClientID { // we trust no other audience
		return untrusted("the ID token is for somebody else")
	}
	if _, there := c["azp"]; there && text(c, "azp") != o.rp.ClientID {
		return untrusted("the ID token was issued to somebody else")
	}
	if exp, ok := c.moment("exp"); !ok || !now.Before(exp.Add(oidcSkew)) {
		return untrusted("the ID token has expired")
	}
	if iat, ok := c.moment("iat"); !ok || iat.After(now.Add(oidcSkew)) || iat.Before(x.since()) {
		return untrusted("the ID token is not of this request's time")
	}
	if nbf, ok := c.moment("nbf"); ok && nbf.After(now.Add(oidcSkew)) {
		return untrusted("the ID token is not valid yet")
	}
	if !hmac.Equal([]byte(text(c, "nonce")), []byte(x.Nonce)) {
		return untrusted("the ID token is for another request")
	}
	if _, there := c["auth_time"]; there {
		if at, ok := c.moment("auth_time"); !ok || at.After(now.Add(oidcSkew)) {
			return untrusted("the ID token does not say when the person was there")
		}
	}
	return nil
}

// since is the earliest time, by the provider's clock, of what answers the request.
func (x oidcExchange) since() time.Time { return time.Unix(x.Opened, 0).Add(-oidcSkew) }

// older reports that the token rests on a login before the request.
func (x oidcExchange) older(c oidcClaims) bool {
	at, ok := c.moment("auth_time")
	return ok && at.Before(x.since())
}

const (
	oidcTimeout   = 10 * time.Second // of one call
	oidcMaxBody   = 1 << 20          // of one answer
	oidcMaxCode   = 8 << 10
	oidcSkew      = time.Minute      // between their clock and ours
	oidcCacheFor  = 10 * time.Minute // metadata and keys; a key that is not there is looked for at once
	oidcDiscovery = "/.well-known/openid-configuration"
)

// oidcAlgorithms that may sign an ID token. No symmetric one: whoever knows a
// shared secret could make such a token.
var oidcAlgorithms = []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.PS256}

const oidcRandomLen = 43 // 32 bytes

func oidcRandom() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// oidcProvider is what the metadata says.
type oidcProvider struct {
	Issuer      string   `json:"issuer"`
	Authorize   string   `json:"authorization_endpoint"`
	Token       string   `json:"token_endpoint"`
	Keys        string   `json:"jwks_uri"`
	UserInfo    string   `json:"userinfo_endpoint"`
	Algorithms  []string `json:"id_token_signing_alg_values_supported"`
	NamesIssuer bool     `json:"authorization_response_iss_parameter_supported"`

	authorize, token, keys *url.URL
	userinfo               *url.URL // nil: none, or none on a host that is allowed
	algorithms             []jose.SignatureAlgorithm
	until                  time.Time
}

// discover reads the metadata, and believes only endpoints on hosts that the
// configuration names: one of them is shown to the person, to another goes our secret.
func (o *relying) discover(ctx context.Context) (*oidcProvider, error) {
	o.mu.Lock()
	p := o.provider
	o.mu.Unlock()
	if p != nil && o.rp.Now().Before(p.until) {
		return p, nil
	}
	body, err := o.fetch(ctx, o.rp.DiscoveryURL)
	if err != nil {
		return nil, err
	}
	p = new(oidcProvider)
	if json.Unmarshal(body, p) != nil {
		return nil, oidcFault(proof.ReasonUpstreamMalformed, "the provider's metadata cannot be read", nil)
	}
	if p.Issuer != o.rp.Issuer {
		return nil, oidcFault(proof.ReasonUpstreamMalformed, "the provider's metadata names another issuer", nil)
	}
	if p.authorize, p.token, p.keys = o.trusted(p.Authorize), o.trusted(p.Token), o.trusted(p.Keys); p.authorize == nil || p.token == nil || p.keys == nil {
		return nil, oidcFault(proof.ReasonUpstreamMalformed, "the provider's metadata names a host that is not allowed", nil)
	}
	p.userinfo = o.trusted(p.UserInfo)
	if p.Algorithms == nil {
		p.Algorithms = []string{string(jose.RS256)}
	}
	for _, a := range oidcAlgorithms {
		if slices.Contains(p.Algorithms, string(a)) {
			p.algorithms = append(p.algorithms, a)
		}
	}
	if len(p.algorithms) == 0 {
		return nil, oidcFault(proof.ReasonUpstreamMalformed, "the provider signs with no algorithm that is allowed", nil)
	}
	p.until = o.rp.Now().Add(oidcCacheFor)
	o.mu.Lock()
	o.provider = p
	o.mu.Unlock()
	return p, nil
}

// oidcKeys are the provider's public keys.
type oidcKeys struct {
	jose.JSONWebKeySet
	until time.Time
}

func (o *relying) signingKeys(ctx context.Context, p *oidcProvider, renew bool) (*oidcKeys, error) {
	o.mu.Lock()
	k := o.keys
	o.mu.Unlock()
	if k != nil && !renew && o.rp.Now().Before(k.until) {
		return k, nil
	}
	body, err := o.fetch(ctx, p.keys.String())
	if err != nil {
		return nil, err
	}
	k = &oidcKeys{until: o.rp.Now().Add(oidcCacheFor)}
	if json.Unmarshal(body, &k.JSONWebKeySet) != nil {
		return nil, oidcFault(proof.ReasonUpstreamMalformed, "the provider's keys cannot be read", nil)
	}
	o.mu.Lock()
	o.keys = k
	o.mu.Unlock()
	return k, nil
}

// candidates are the keys that may have signed a token with this header.
func (k *oidcKeys) candidates(kid string, alg string) []jose.JSONWebKey {
	var all []jose.JSONWebKey
	for _, key := range k.Keys {
		if key.Use == "enc" || key.Algorithm != "" && key.Algorithm != alg || kid != "" && key.KeyID != kid || !key.Valid() || !key.IsPublic() {
			continue
		}
		all = append(all, key)
	}
	return all
}

// oidcTokens is what a code was worth.
type oidcTokens struct {
	ID     string `json:"id_token"`
	Access string `json:"access_token"`
}

// redeem exchanges the code for tokens (client_secret_basic, as documented).
func (o *relying) redeem(ctx context.Context, p *oidcProvider, code string, x oidcExchange) (oidcTokens, error) {
	var none oidcTokens
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {x.Redirect}}
	if x.Verifier != "" {
		form.Set("code_verifier", x.Verifier)
	}
	ctx, cancel := context.WithTimeout(ctx, oidcTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.token.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return none, oidcFault(proof.ReasonInternal, "the request cannot be made", nil)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(o.rp.ClientID), url.QueryEscape(o.rp.ClientSecret))
	status, header, body, err := o.send(req)
	if err != nil {
		return none, err
	}
	var answer struct {
		oidcTokens
		Error string `json:"error"`
	}
	readable := isJSON(header) && json.Unmarshal(body, &answer) == nil
	switch {
	case status == http.StatusOK && readable && answer.ID != "":
		return answer.oidcTokens, nil
	case status == http.StatusOK:
		return none, oidcFault(proof.ReasonUpstreamMalformed, "the provider answered a code without an ID token", nil)
	case readable && answer.Error == "invalid_grant":
		return none, oidcFault(proof.ReasonAnswerReplayed, "the provider does not take this code, or not again", nil)
	case status == http.StatusUnauthorized || readable && (answer.Error == "invalid_client" || answer.Error == "unauthorized_client"):
		return none, oidcFault(proof.ReasonUpstreamAuth, "the provider refused our client credentials", nil)
	}
	return none, o.refused(status, header)
}

// verify checks who signed the token. It looks for new keys once when there is
// none that may have signed it.
func (o *relying) verify(ctx context.Context, p *oidcProvider, raw string) (oidcClaims, error) {
	untrusted := func(text string) (oidcClaims, error) {
		return nil, oidcFault(proof.ReasonAnswerUntrusted, text, nil)
	}
	token, err := jose.ParseSignedCompact(raw, p.algorithms)
	if err != nil || len(token.Signatures) != 1 {
		return untrusted("the ID token is not signed as the provider signs")
	}
	header := token.Signatures[0].Protected
	keys, err := o.signingKeys(ctx, p, false)
	if err != nil {
		return nil, err
	}
	candidates := keys.candidates(header.KeyID, header.Algorithm)
	if len(candidates) == 0 {
		if keys, err = o.signingKeys(ctx, p, true); err != nil {
			return nil, err
		}
		candidates = keys.candidates(header.KeyID, header.Algorithm)
	}
	for _, key := range candidates {
		payload, err := token.Verify(key)
		if err != nil {
			continue
		}
		var claims oidcClaims
		if json.Unmarshal(payload, &claims) != nil || claims == nil {
			return nil, oidcFault(proof.ReasonUpstreamMalformed, "the ID token is no JSON object", nil)
		}
		return claims, nil
	}
	return untrusted("no key of the provider signed the ID token")
}

// oidcClaims are those of an ID token, by their exact names.
type oidcClaims map[string]json.RawMessage

// texts is the claim as a list of strings, of which one alone may stand without the list.
func (c oidcClaims) texts(name string) []string {
	if s := text(c, name); s != "" {
		return []string{s}
	}
	var list []string
	if json.Unmarshal(c[name], &list) != nil {
		return nil
	}
	return list
}

// moment is the claim as a time; ok is false if there is none that can be read.
func (c oidcClaims) moment(name string) (t time.Time, ok bool) {
	var f *float64
	if json.Unmarshal(c[name], &f) != nil || f == nil || !(*f > 0 && *f < 1<<40) {
		return time.Time{}, false
	}
	return time.Unix(int64(*f), 0), true
}

// trusted parses an address that configuration or metadata names; nil unless it
// is https and on an allowed host.
func (o *relying) trusted(raw string) *url.URL {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Opaque != "" || u.Fragment != "" || u.Hostname() == "" || !o.hosts[oidcHost(u)] {
		return nil
	}
	return u
}

func oidcHost(u *url.URL) string {
	return strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")) + ":" + cmp.Or(u.Port(), "443")
}

// fetch gets a public document of the provider, which must be JSON.
func (o *relying) fetch(ctx context.Context, address string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, oidcTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, oidcFault(proof.ReasonInternal, "the request cannot be made", nil)
	}
	status, header, body, err := o.send(req)
	switch {
	case err != nil:
		return nil, err
	case status != http.StatusOK:
		return nil, o.refused(status, header)
	case !isJSON(header):
		// The tenant's web root answers 200 and HTML to anything (reference 1.8).
		return nil, oidcFault(proof.ReasonUpstreamMalformed, "the provider answered something that is not JSON", nil)
	}
	return body, nil
}

func (o *relying) send(req *http.Request) (status int, header http.Header, body []byte, err error) {
	req.Header.Set("Accept", "application/json")
	res, err := o.http.Do(req)
	if err != nil {
		return 0, nil, nil, oidcTransport(req.Context(), err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err = io.ReadAll(io.LimitReader(res.Body, oidcMaxBody+1))
	if err != nil {
		return 0, nil, nil, oidcTransport(req.Context(), err)
	}
	if len(body) > oidcMaxBody {
		return 0, nil, nil, oidcFault(proof.ReasonUpstreamMalformed, "the provider answered too much", nil)
	}
	return res.StatusCode, res.Header, body, nil
}

func isJSON(h http.Header) bool {
	media, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && (media == "application/json" || strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json"))
}

// oidcFault is an error that trying again does not mend.
func oidcFault(reason proof.Reason, message string, err error) *proof.Error {
	code := proof.CodeUpstream
	if reason == proof.ReasonInternal {
		code = proof.CodeInternal
	}
	return &proof.Error{Code: code, Reason: reason, Message: message, Err: err}
}

// oidcTransport is the error of a call that brought no answer.
func oidcTransport(ctx context.Context, err error) *proof.Error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // without the address
	}
	e := &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonUpstreamUnavailable, Message: "the OpenID provider cannot be reached right now", Temporary: true, Err: err}
	if ctx.Err() != nil {
		e.Reason, e.Message = proof.ReasonUpstreamTimeout, "the OpenID provider did not answer in time"
	}
	return e
}

// refused is the error of an answer that is none of those expected.
func (o *relying) refused(status int, header http.Header) *proof.Error {
	e := &proof.Error{Code: proof.CodeUnavailable, Temporary: true, Err: fmt.Errorf("HTTP status %d", status)}
	if n, err := strconv.Atoi(header.Get("Retry-After")); err == nil && n > 0 && n < 3600 {
		e.RetryAfter = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(header.Get("Retry-After")); err == nil {
		e.RetryAfter = min(max(at.Sub(o.rp.Now()), 0), time.Hour)
	}
	switch {
	case status == http.StatusTooManyRequests:
		e.Reason, e.Message = proof.ReasonUpstreamRateLimited, "the OpenID provider asks us to slow down"
	case status >= 500:
		e.Reason, e.Message = proof.ReasonUpstreamUnavailable, "the OpenID provider cannot answer right now"
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return oidcFault(proof.ReasonUpstreamAuth, "the OpenID provider refused our client", e.Err)
	default:
		return oidcFault(proof.ReasonUpstreamRejected, "the OpenID provider refused the request", e.Err)
	}
	return e
}
