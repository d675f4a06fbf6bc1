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
	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/blockid"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// OIDCConfig says how the tenant's OpenID provider is reached and what is
// believed of it. DiscoveryURL, ClientID and ClientSecret are required.
type OIDCConfig struct {
	// DiscoveryURL is the whole address of the metadata: where 1Kosmos has it is
	// not documented, AdminX shows it as Metadata URL (reference 6.1).
	DiscoveryURL string
	// Issuer that the metadata must name. Empty: the one for which OpenID Connect
	// Discovery 1.0 puts the metadata at DiscoveryURL.
	Issuer       string
	ClientID     string
	ClientSecret string
	Scopes       []string // default openid, email, profile, as in the documented request (reference 4.3)
	NoPKCE       bool     // for a tenant that refuses it: support is not documented

	ACRValues []string // methods asked for; default "liveID push" alone
	// AcceptedACR and AcceptedAMR are what the ID token may say was done. A token
	// that says neither is not believed, unless AllowUnnamed: what 1Kosmos puts
	// there is not documented (reference 4.3), so that an operator whose tenant says
	// nothing must decide to believe that it did what was asked.
	AcceptedACR  []string // default ACRValues
	AcceptedAMR  []string // default "face" (RFC 8176) and ACRValues; one of those in the token must be among them
	AllowUnnamed bool

	UsernameClaim string // of the ID token, with the user who was recognised; default "username"
	// SessionTTL is how long one authorization request is worth following. Default:
	// as long as the challenge. Nothing exists at the provider before the person goes
	// there, and one who is there when the request is replaced comes back with an
	// answer that no longer counts.
	SessionTTL time.Duration

	HTTPClient   *http.Client // default one of its own; redirects are never followed
	AllowedHosts []string     // NAME or NAME:PORT that metadata may lead to, besides the host of DiscoveryURL

	// Eligibility tells, as StepUp.Open does, that the user cannot be challenged.
	// Nil if the tenant gives no access for asking; then the provider says so at the
	// end, or only that nobody was recognised.
	Eligibility func(ctx context.Context, userIdentifier string) error
	Now         func() time.Time // default time.Now
}

// OIDC is journey.StepUp by an OpenID provider (reference 4.3): the person goes
// there with a request that names them, and comes back with a code for an ID
// token that does. Only Returned, which the browser brings back, makes Poll ask
// the provider.
type OIDC struct {
	cfg   OIDCConfig
	http  *http.Client
	hosts map[string]bool // host:port, lower case

	mu       sync.Mutex
	provider *oidcProvider // nil until it was found
	keys     *oidcKeys     // nil until they were fetched
}

var _ journey.StepUp = (*OIDC)(nil)

const (
	oidcTimeout   = 10 * time.Second // of one call
	oidcMaxBody   = 1 << 20          // of one answer
	oidcSkew      = time.Minute      // between their clock and ours
	oidcCacheFor  = 10 * time.Minute // metadata and keys; a key that is not there is looked for at once
	oidcDiscovery = "/.well-known/openid-configuration"
)

// oidcAlgorithms that may sign an ID token. No symmetric one: whoever knows a
// shared secret could make such a token.
var oidcAlgorithms = []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.PS256}

// NewOIDC checks the configuration. It asks the provider nothing.
func NewOIDC(cfg OIDCConfig) (*OIDC, error) {
	if cfg.ClientID == "" || cfg.ClientSecret == "" {
		return nil, errors.New("upstream: oidc: ClientID and ClientSecret are required")
	}
	if len(cfg.Scopes) == 0 {
		cfg.Scopes = []string{"openid", "email", "profile"}
	}
	if !slices.Contains(cfg.Scopes, "openid") {
		return nil, errors.New("upstream: oidc: Scopes must contain openid")
	}
	if len(cfg.ACRValues) == 0 {
		cfg.ACRValues = []string{"liveID push"}
	}
	if len(cfg.AcceptedACR) == 0 {
		cfg.AcceptedACR = cfg.ACRValues
	}
	if len(cfg.AcceptedAMR) == 0 {
		cfg.AcceptedAMR = append([]string{"face"}, cfg.ACRValues...)
	}
	cfg.UsernameClaim = cmp.Or(cfg.UsernameClaim, "username")
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	o := &OIDC{cfg: cfg, hosts: map[string]bool{}}
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
		o.cfg.Issuer = issuer
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

func (o *OIDC) Backend() string { return "oidc" }

// oidcSession is the Secret of a session.
type oidcSession struct {
	State    string `json:"state"`
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier,omitempty"` // PKCE
	Redirect string `json:"redirect"`
	Opened   int64  `json:"opened"` // unix seconds, as Ends
	Ends     int64  `json:"ends"`
}

// Open makes the address of an authorization request; nothing exists at the
// provider before the person goes there. r.ReturnURL must be registered with it.
func (o *OIDC) Open(ctx context.Context, r journey.OpenStepUp) (journey.OpenedStepUp, error) {
	var none journey.OpenedStepUp
	if r.Request.UserIdentifier == "" {
		return none, proof.Invalid("user_identifier", "is required")
	}
	if r.ReturnURL == "" {
		return none, oidcFault(proof.ReasonUpstreamRejected, "there is no address to come back to", nil)
	}
	if o.cfg.Eligibility != nil {
		if err := o.cfg.Eligibility(ctx, r.Request.UserIdentifier); err != nil {
			return none, err
		}
	}
	p, err := o.discover(ctx)
	if err != nil {
		return none, err
	}
	now := o.cfg.Now()
	ends := r.Deadline
	if o.cfg.SessionTTL > 0 {
		ends = earlier(now.Add(o.cfg.SessionTTL), ends)
	}
	s := oidcSession{
		State: r.Challenge + "." + oidcRandom(), Nonce: oidcRandom(), Redirect: r.ReturnURL, Opened: now.Unix(), Ends: ends.Unix(),
	}
	claims, err := json.Marshal(map[string]any{"id_token": map[string]any{
		"username": r.Request.UserIdentifier,
		"acr":      map[string]any{"essential": true, "values": o.cfg.ACRValues},
	}})
	if err != nil {
		return none, oidcFault(proof.ReasonInternal, "the request cannot be written", err)
	}
	u := *p.authorize
	q := u.Query()
	q.Set("response_type", "code")
	q.Set("client_id", o.cfg.ClientID)
	q.Set("scope", strings.Join(o.cfg.Scopes, " "))
	q.Set("redirect_uri", s.Redirect)
	q.Set("state", s.State)
	q.Set("nonce", s.Nonce)
	q.Set("claims", string(claims))
	if !o.cfg.NoPKCE {
		s.Verifier = oidcRandom()
		sum := sha256.Sum256([]byte(s.Verifier))
		q.Set("code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]))
		q.Set("code_challenge_method", "S256")
	}
	u.RawQuery = q.Encode()
	secret, err := json.Marshal(s)
	if err != nil {
		return none, oidcFault(proof.ReasonInternal, "the session cannot be written", err)
	}
	return journey.OpenedStepUp{
		StepUpSession: proof.StepUpSession{ID: s.State, URL: u.String(), Returns: true, State: s.State, Secret: secret},
		Ends:          ends,
	}, nil
}

// ChallengeOfState finds for which challenge a browser comes back. It proves
// nothing: that the state is the right one, Poll checks.
func ChallengeOfState(state string) (id string, ok bool) {
	id, random, ok := strings.Cut(state, ".")
	if !ok || len(id) != 36 || len(random) != oidcRandomLen || uuid.Validate(id) != nil {
		return "", false
	}
	if _, err := base64.RawURLEncoding.DecodeString(random); err != nil {
		return "", false
	}
	return id, true
}

const oidcRandomLen = 43 // 32 bytes

func oidcRandom() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// Poll redeems what the browser brought back. A code is good once: when the
// answer to it is lost, here or on the way, the next Poll ends in
// answer_replayed and the person has to show their face again.
func (o *OIDC) Poll(ctx context.Context, p journey.PollStepUp) (journey.StepUpProgress, error) {
	var none journey.StepUpProgress
	var s oidcSession
	if err := json.Unmarshal(p.Secret, &s); err != nil || s.State == "" || s.Nonce == "" {
		return none, oidcFault(proof.ReasonInternal, "the session cannot be read", nil)
	}
	if p.UserIdentifier == "" {
		return none, proof.Invalid("user_identifier", "is required")
	}
	back := p.Returned
	if len(back) == 0 {
		if o.cfg.Now().Unix() >= s.Ends {
			return sessionOver, nil
		}
		return stillPending, nil
	}
	if !hmac.Equal([]byte(back["state"]), []byte(s.State)) {
		return none, oidcFault(proof.ReasonAnswerReplayed, "the browser brought back the answer to another request", nil)
	}
	provider, err := o.discover(ctx)
	if err != nil {
		return none, err
	}
	// RFC 9207: an answer of another provider must not be redeemed at this one.
	if iss := back["iss"]; iss != "" && iss != provider.Issuer || iss == "" && provider.NamesIssuer {
		return none, oidcFault(proof.ReasonAnswerUntrusted, "the answer is of another provider", nil)
	}
	if e := back["error"]; e != "" {
		return oidcRefusal(e, back["error_description"]), nil
	}
	if back["code"] == "" {
		return none, oidcFault(proof.ReasonUpstreamMalformed, "the browser brought back neither code nor error", nil)
	}
	// The keys first: once the code is spent, nothing more should have to go well.
	if _, err := o.signingKeys(ctx, provider, false); err != nil {
		return none, err
	}
	token, err := o.redeem(ctx, provider, back["code"], s)
	if err != nil {
		return none, err
	}
	claims, err := o.verify(ctx, provider, token)
	if err != nil {
		return none, err
	}
	return o.judge(provider, claims, s, p.UserIdentifier)
}

// oidcRefusal reads an error of the authorization endpoint. That the description
// of access_denied is one of our reasons is so at the local 1Kosmos only; it came
// through a browser, and the worst that it can say is no.
func oidcRefusal(code, description string) journey.StepUpProgress {
	reason := proof.Reason(description)
	switch {
	case code != "access_denied":
		return journey.StepUpProgress{Status: proof.ChallengeFailed, Reason: proof.ReasonUpstreamRejected}
	case reason == proof.ReasonTimeLimit:
		return sessionOver
	}
	return refusal(reason)
}

// oidcProvider is what the metadata says.
type oidcProvider struct {
	Issuer      string   `json:"issuer"`
	Authorize   string   `json:"authorization_endpoint"`
	Token       string   `json:"token_endpoint"`
	Keys        string   `json:"jwks_uri"`
	Algorithms  []string `json:"id_token_signing_alg_values_supported"`
	NamesIssuer bool     `json:"authorization_response_iss_parameter_supported"`

	authorize, token, keys *url.URL
	algorithms             []jose.SignatureAlgorithm
	until                  time.Time
}

// discover reads the metadata, and believes only endpoints on hosts that the
// configuration names: one of them is shown to the person, to another goes our secret.
func (o *OIDC) discover(ctx context.Context) (*oidcProvider, error) {
	o.mu.Lock()
	p := o.provider
	o.mu.Unlock()
	if p != nil && o.cfg.Now().Before(p.until) {
		return p, nil
	}
	body, err := o.fetch(ctx, o.cfg.DiscoveryURL)
	if err != nil {
		return nil, err
	}
	p = new(oidcProvider)
	if json.Unmarshal(body, p) != nil {
		return nil, oidcFault(proof.ReasonUpstreamMalformed, "the provider's metadata cannot be read", nil)
	}
	if p.Issuer != o.cfg.Issuer {
		return nil, oidcFault(proof.ReasonUpstreamMalformed, "the provider's metadata names another issuer", nil)
	}
	if p.authorize, p.token, p.keys = o.trusted(p.Authorize), o.trusted(p.Token), o.trusted(p.Keys); p.authorize == nil || p.token == nil || p.keys == nil {
		return nil, oidcFault(proof.ReasonUpstreamMalformed, "the provider's metadata names a host that is not allowed", nil)
	}
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
	p.until = o.cfg.Now().Add(oidcCacheFor)
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

func (o *OIDC) signingKeys(ctx context.Context, p *oidcProvider, renew bool) (*oidcKeys, error) {
	o.mu.Lock()
	k := o.keys
	o.mu.Unlock()
	if k != nil && !renew && o.cfg.Now().Before(k.until) {
		return k, nil
	}
	body, err := o.fetch(ctx, p.keys.String())
	if err != nil {
		return nil, err
	}
	k = &oidcKeys{until: o.cfg.Now().Add(oidcCacheFor)}
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

// redeem exchanges the code for an ID token (client_secret_basic, as documented).
func (o *OIDC) redeem(ctx context.Context, p *oidcProvider, code string, s oidcSession) (idToken string, err error) {
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {s.Redirect}}
	if s.Verifier != "" {
		form.Set("code_verifier", s.Verifier)
	}
	ctx, cancel := context.WithTimeout(ctx, oidcTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.token.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return "", oidcFault(proof.ReasonInternal, "the request cannot be made", nil)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(o.cfg.ClientID), url.QueryEscape(o.cfg.ClientSecret))
	status, header, body, err := o.send(req)
	if err != nil {
		return "", err
	}
	var answer struct {
		IDToken string `json:"id_token"`
		Error   string `json:"error"`
	}
	readable := isJSON(header) && json.Unmarshal(body, &answer) == nil
	switch {
	case status == http.StatusOK && readable && answer.IDToken != "":
		return answer.IDToken, nil
	case status == http.StatusOK:
		return "", oidcFault(proof.ReasonUpstreamMalformed, "the provider answered a code without an ID token", nil)
	case readable && answer.Error == "invalid_grant":
		return "", oidcFault(proof.ReasonAnswerReplayed, "the provider does not take this code, or not again", nil)
	case status == http.StatusUnauthorized || readable && (answer.Error == "invalid_client" || answer.Error == "unauthorized_client"):
		return "", oidcFault(proof.ReasonUpstreamAuth, "the provider refused our client credentials", nil)
	}
	return "", o.refused(status, header)
}

// verify checks who signed the token. It looks for new keys once when there is
// none that may have signed it.
func (o *OIDC) verify(ctx context.Context, p *oidcProvider, raw string) (oidcClaims, error) {
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

// judge checks what a token of the provider says (OpenID Connect Core, 3.1.3.7),
// that it says it about this request, and then whom it is about.
func (o *OIDC) judge(p *oidcProvider, c oidcClaims, s oidcSession, user string) (journey.StepUpProgress, error) {
	untrusted := func(text string) (journey.StepUpProgress, error) {
		return journey.StepUpProgress{}, oidcFault(proof.ReasonAnswerUntrusted, text, nil)
	}
	now := o.cfg.Now()
	if text(c, "iss") != p.Issuer {
		return untrusted("the ID token is of another issuer")
	}
	if aud := c.texts("aud"); len(aud) != 1 || aud[0] != o.cfg.ClientID { // we trust no other audience
		return untrusted("the ID token is for somebody else")
	}
	if _, there := c["azp"]; there && text(c, "azp") != o.cfg.ClientID {
		return untrusted("the ID token was issued to somebody else")
	}
	if exp, ok := c.moment("exp"); !ok || !now.Before(exp.Add(oidcSkew)) {
		return untrusted("the ID token has expired")
	}
	opened := time.Unix(s.Opened, 0).Add(-oidcSkew)
	if iat, ok := c.moment("iat"); !ok || iat.After(now.Add(oidcSkew)) || iat.Before(opened) {
		return untrusted("the ID token is not of this request's time")
	}
	if nbf, ok := c.moment("nbf"); ok && nbf.After(now.Add(oidcSkew)) {
		return untrusted("the ID token is not valid yet")
	}
	if !hmac.Equal([]byte(text(c, "nonce")), []byte(s.Nonce)) {
		return untrusted("the ID token is for another request")
	}
	// A face shown before it was asked for, in an earlier login, is no answer.
	if _, there := c["auth_time"]; there {
		if at, ok := c.moment("auth_time"); !ok || at.After(now.Add(oidcSkew)) || at.Before(opened) {
			return untrusted("the ID token rests on an earlier login")
		}
	}
	if !o.done(c) {
		return untrusted("the ID token does not say that the face was shown")
	}
	recognised := text(c, o.cfg.UsernameClaim)
	if recognised == "" {
		return untrusted("the ID token does not say who was recognised")
	}
	if !blockid.SameUser(recognised, user) {
		return someoneElse, nil
	}
	return matched(readExtension(c))
}

// done reports whether the token says that one of the accepted methods was used.
func (o *OIDC) done(c oidcClaims) bool {
	_, acrThere := c["acr"]
	_, amrThere := c["amr"]
	if acrThere && !slices.Contains(o.cfg.AcceptedACR, text(c, "acr")) {
		return false
	}
	if amrThere && !slices.ContainsFunc(c.texts("amr"), func(m string) bool { return slices.Contains(o.cfg.AcceptedAMR, m) }) {
		return false
	}
	return acrThere || amrThere || o.cfg.AllowUnnamed
}

// trusted parses an address that configuration or metadata names; nil unless it
// is https and on an allowed host.
func (o *OIDC) trusted(raw string) *url.URL {
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
func (o *OIDC) fetch(ctx context.Context, address string) ([]byte, error) {
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

func (o *OIDC) send(req *http.Request) (status int, header http.Header, body []byte, err error) {
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
func (o *OIDC) refused(status int, header http.Header) *proof.Error {
	e := &proof.Error{Code: proof.CodeUnavailable, Temporary: true, Err: fmt.Errorf("HTTP status %d", status)}
	if n, err := strconv.Atoi(header.Get("Retry-After")); err == nil && n > 0 && n < 3600 {
		e.RetryAfter = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(header.Get("Retry-After")); err == nil {
		e.RetryAfter = min(max(at.Sub(o.cfg.Now()), 0), time.Hour)
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
