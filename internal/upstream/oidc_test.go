package upstream_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/upstream"
)

const (
	oidcID        = "client one" // needs encoding in an Authorization header
	oidcSecret    = "se:cret/+ of sixteen"
	oidcUser      = "ada@example.com"
	oidcChallenge = "0199aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee"
	oidcReturn    = "https://bridge.example/c/return"
)

// makeKey is made once: RSA keys take their time.
var makeKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

var makeOtherKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// idp is an OpenID provider of a few lines that answers what the test wants.
type idp struct {
	t     testing.TB
	web   *httptest.Server
	now   time.Time
	nonce string // of the request that is answered

	mu       sync.Mutex
	metadata map[string]any
	keys     jose.JSONWebKeySet
	claims   map[string]any // of the ID token
	sign     func(claims map[string]any) string
	token    http.HandlerFunc // instead of the ordinary answer
	userinfo http.HandlerFunc
	redeemed []url.Values
	fetches  map[string]int
}

func newIDP(t testing.TB) *idp {
	t.Helper()
	p := &idp{t: t, now: time.Unix(1_800_000_000, 0), fetches: map[string]int{}}
	p.web = httptest.NewTLSServer(p)
	t.Cleanup(p.web.Close)
	p.metadata = map[string]any{
		"issuer": p.web.URL + "/oauth2", "authorization_endpoint": p.web.URL + "/authorize?tenant=1", "token_endpoint": p.web.URL + "/token",
		"jwks_uri": p.web.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256", "ES256", "HS256", "none"},
	}
	p.keys.Keys = []jose.JSONWebKey{{Key: &makeKey().PublicKey, KeyID: "k1", Algorithm: "RS256", Use: "sig"}}
	p.claims = map[string]any{
		"iss": p.web.URL + "/oauth2", "sub": "u-1", "aud": oidcID, "iat": p.now.Unix(), "exp": p.now.Unix() + 300, "auth_time": p.now.Unix(),
		"acr": "liveID push", "amr": []string{"face"}, "username": oidcUser,
		"kosmoscope": map[string]any{"score": 0.93, "liveness": "none"},
	}
	p.sign = signWith(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: makeKey(), KeyID: "k1"}})
	return p
}

func signWith(k jose.SigningKey) func(map[string]any) string {
	return func(claims map[string]any) string {
		s, err := jose.NewSigner(k, nil)
		if err != nil {
			panic(err)
		}
		b, _ := json.Marshal(claims)
		token, err := s.Sign(b)
		if err != nil {
			panic(err)
		}
		text, err := token.CompactSerialize()
		if err != nil {
			panic(err)
		}
		return text
	}
}

func (p *idp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fetches[r.URL.Path]++
	answer := func(v any) {
		w.Header().Set("Content-Type", "application/json;charset=utf-8")
		_ = json.NewEncoder(w).Encode(v)
	}
	switch r.URL.Path {
	case "/oauth2/.well-known/openid-configuration":
		answer(p.metadata)
	case "/keys":
		answer(p.keys)
	case "/token":
		if p.token != nil {
			p.token(w, r)
			return
		}
		id, secret, _ := r.BasicAuth()
		if id != url.QueryEscape(oidcID) || secret != url.QueryEscape(oidcSecret) {
			p.t.Error("the client did not authenticate as RFC 6749, 2.3.1 says")
		}
		_ = r.ParseForm()
		p.redeemed = append(p.redeemed, r.PostForm)
		claims := maps.Clone(p.claims)
		if _, ok := claims["nonce"]; !ok {
			claims["nonce"] = p.nonce
		}
		answer(map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": p.sign(claims)})
	case "/userinfo":
		p.userinfo(w, r)
	default:
		w.Header().Set("Content-Type", "text/html") // as the tenant's web root does
		_, _ = io.WriteString(w, "<!doctype html>")
	}
}

func (p *idp) client(change func(*upstream.OIDCConfig)) *upstream.OIDC {
	p.t.Helper()
	cfg := upstream.OIDCConfig{
		DiscoveryURL: p.web.URL + "/oauth2/.well-known/openid-configuration", ClientID: oidcID, ClientSecret: oidcSecret,
		HTTPClient: p.web.Client(), Now: func() time.Time { return p.now },
	}
	if change != nil {
		change(&cfg)
	}
	o, err := upstream.NewOIDC(cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	return o
}

func oidcOpen(t *testing.T, p *idp, o *upstream.OIDC) proof.StepUpSession {
	t.Helper()
	s, err := o.Open(t.Context(), journey.OpenStepUp{
		Challenge: oidcChallenge, Deadline: p.now.Add(10 * time.Minute), ReturnURL: oidcReturn,
		Request: proof.ChallengeRequest{UserIdentifier: oidcUser},
	})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	p.nonce = u.Query().Get("nonce")
	p.mu.Unlock()
	s.Returned = map[string]string{"code": "c1", "state": u.Query().Get("state")}
	return s.StepUpSession
}

func oidcPoll(t *testing.T, o *upstream.OIDC, s proof.StepUpSession) (journey.StepUpProgress, error) {
	t.Helper()
	return o.Poll(t.Context(), journey.PollStepUp{StepUpSession: s, UserIdentifier: oidcUser})
}

// noVerdict checks that err is typed, and that neither it nor the progress says anything.
func noVerdict(t *testing.T, got journey.StepUpProgress, err error, reason proof.Reason, temporary bool) {
	t.Helper()
	var e *proof.Error
	if !errors.As(err, &e) || e.Reason != reason || e.Temporary != temporary {
		t.Errorf("error %v, want %s, temporary %v", err, reason, temporary)
	}
	if got != (journey.StepUpProgress{}) {
		t.Errorf("an error came with %+v", got)
	}
	if err != nil {
		for _, secret := range []string{oidcUser, oidcSecret, "c1", "eyJ"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error tells %q", secret)
			}
		}
	}
}

func TestOIDCRequest(t *testing.T) {
	p := newIDP(t)
	o := p.client(nil)
	s := oidcOpen(t, p, o)
	if o.Backend() != "oidc" || s.Scan {
		t.Error("not a page for any browser")
	}
	u, _ := url.Parse(s.URL)
	q := u.Query()
	for name, want := range map[string]string{
		"tenant": "1", "response_type": "code", "client_id": oidcID, "scope": "openid email profile", "redirect_uri": oidcReturn, "code_challenge_method": "S256",
		"claims": `{"id_token":{"acr":{"essential":true,"values":["liveID push"]},"username":"` + oidcUser + `"}}`,
	} {
		if q.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, q.Get(name), want)
		}
	}
	if id, ok := upstream.ChallengeOfState(q.Get("state")); !ok || id != oidcChallenge {
		t.Errorf("the state leads to %q", id)
	}
	again := oidcOpen(t, p, o)
	other, _ := url.Parse(again.URL)
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		if len(q.Get(name)) < 43 || other.Query().Get(name) == q.Get(name) {
			t.Errorf("%s is not random", name)
		}
	}
	if strings.Contains(s.URL, "verifier") || p.fetches["/oauth2/.well-known/openid-configuration"] != 1 {
		t.Error("the verifier is in the URL, or metadata is not kept")
	}

	// The answer is the person's, once.
	s = oidcOpen(t, p, o)
	u, _ = url.Parse(s.URL)
	got, err := oidcPoll(t, o, s)
	if err != nil || got.Status != proof.ChallengeMatch || got.Confidence == nil || *got.Confidence != 0.93 || got.Liveness != proof.LivenessNone || got.Reason != "" {
		t.Fatalf("%+v, %v", got, err)
	}
	sent := p.redeemed[0]
	sum := sha256.Sum256([]byte(sent.Get("code_verifier")))
	if base64.RawURLEncoding.EncodeToString(sum[:]) != u.Query().Get("code_challenge") || sent.Get("redirect_uri") != oidcReturn || sent.Get("code") != "c1" ||
		sent.Get("grant_type") != "authorization_code" {
		t.Errorf("redeemed with %v", sent)
	}
}

func TestOIDCPending(t *testing.T) {
	p := newIDP(t)
	o := p.client(func(c *upstream.OIDCConfig) { c.SessionTTL = 2 * time.Minute })
	s := oidcOpen(t, p, o)
	s.Returned = nil
	if got, err := oidcPoll(t, o, s); err != nil || got.Status != proof.ChallengePending || got.Reason != "" {
		t.Errorf("%+v, %v", got, err)
	}
	p.now = p.now.Add(2 * time.Minute)
	if got, err := oidcPoll(t, o, s); err != nil || got.Status != proof.ChallengeExpired || got.Reason != proof.ReasonTimeLimit {
		t.Errorf("after its time: %+v, %v", got, err)
	}
	opened, err := p.client(nil).Open(t.Context(), journey.OpenStepUp{
		Challenge: oidcChallenge, Deadline: p.now.Add(time.Minute), ReturnURL: oidcReturn, Request: proof.ChallengeRequest{UserIdentifier: oidcUser}})
	if err != nil || !opened.Ends.Equal(p.now.Add(time.Minute)) {
		t.Errorf("ends %v, %v", opened.Ends, err)
	}
	if len(p.redeemed) != 0 {
		t.Error("something was redeemed")
	}
}

// What comes back without a code, or not from the provider that was asked.
func TestOIDCReturned(t *testing.T) {
	for name, c := range map[string]struct {
		returned map[string]string // state is added unless it is there
		status   proof.ChallengeStatus
		reason   proof.Reason
	}{
		"mismatch":        {map[string]string{"error": "access_denied", "error_description": "face_mismatch"}, proof.ChallengeNoMatch, proof.ReasonFaceMismatch},
		"uncertain":       {map[string]string{"error": "access_denied", "error_description": "face_uncertain"}, proof.ChallengeNoMatch, proof.ReasonFaceUncertain},
		"declined":        {map[string]string{"error": "access_denied", "error_description": "declined"}, proof.ChallengeFailed, proof.ReasonDeclined},
		"unknown user":    {map[string]string{"error": "access_denied", "error_description": "user_unknown"}, proof.ChallengeFailed, proof.ReasonUserUnknown},
		"not enrolled":    {map[string]string{"error": "access_denied", "error_description": "user_not_enrolled"}, proof.ChallengeFailed, proof.ReasonUserNotEnrolled},
		"disabled":        {map[string]string{"error": "access_denied", "error_description": "user_disabled"}, proof.ChallengeFailed, proof.ReasonUserDisabled},
		"too many":        {map[string]string{"error": "access_denied", "error_description": "too_many_attempts"}, proof.ChallengeFailed, proof.ReasonTooManyAttempts},
		"no liveness":     {map[string]string{"error": "access_denied", "error_description": "liveness_unavailable"}, proof.ChallengeFailed, proof.ReasonLivenessUnavailable},
		"time":            {map[string]string{"error": "access_denied", "error_description": "time_limit"}, proof.ChallengeExpired, proof.ReasonTimeLimit},
		"in their words":  {map[string]string{"error": "access_denied", "error_description": "The user said no"}, proof.ChallengeNoMatch, proof.ReasonProviderRejected},
		"no description":  {map[string]string{"error": "access_denied"}, proof.ChallengeNoMatch, proof.ReasonProviderRejected},
		"other error":     {map[string]string{"error": "unmet_authentication_requirements"}, proof.ChallengeFailed, proof.ReasonUpstreamRejected},
		"match as error":  {map[string]string{"error": "match", "code": "c1"}, proof.ChallengeFailed, proof.ReasonUpstreamRejected},
		"error with code": {map[string]string{"error": "access_denied", "code": "c1"}, proof.ChallengeNoMatch, proof.ReasonProviderRejected},

		"no state":      {map[string]string{"code": "c1", "state": ""}, "", proof.ReasonAnswerReplayed},
		"other state":   {map[string]string{"code": "c1", "state": oidcChallenge + "." + strings.Repeat("A", 43)}, "", proof.ReasonAnswerReplayed},
		"refused state": {map[string]string{"error": "access_denied", "state": "x"}, "", proof.ReasonAnswerReplayed},
		"other issuer":  {map[string]string{"code": "c1", "iss": "https://evil.example"}, "", proof.ReasonAnswerUntrusted},
		"nothing":       {map[string]string{}, "", proof.ReasonUpstreamMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			p := newIDP(t)
			o := p.client(nil)
			s := oidcOpen(t, p, o)
			state := s.Returned["state"]
			s.Returned = maps.Clone(c.returned)
			if _, there := c.returned["state"]; !there {
				s.Returned["state"] = state
			}
			got, err := oidcPoll(t, o, s)
			if c.status == "" {
				noVerdict(t, got, err, c.reason, false)
			} else if err != nil || got != (journey.StepUpProgress{Status: c.status, Reason: c.reason}) {
				t.Errorf("%+v, %v", got, err)
			}
			if len(p.redeemed) != 0 {
				t.Error("a code was redeemed")
			}
		})
	}
}

// A provider that says that it names itself in answers must do so (RFC 9207).
func TestOIDCIssuerMissing(t *testing.T) {
	p := newIDP(t)
	p.metadata["authorization_response_iss_parameter_supported"] = true
	o := p.client(nil)
	s := oidcOpen(t, p, o)
	got, err := oidcPoll(t, o, s)
	noVerdict(t, got, err, proof.ReasonAnswerUntrusted, false)
	s.Returned["iss"] = p.web.URL + "/oauth2"
	if got, err := oidcPoll(t, o, s); err != nil || got.Status != proof.ChallengeMatch {
		t.Errorf("%+v, %v", got, err)
	}
}

func publicPEM(k *rsa.PublicKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(k)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// Tokens as an attacker, or another client of the same provider, might make them.
func TestOIDCHostileTokens(t *testing.T) {
	set := func(name string, v any) func(*idp) { return func(p *idp) { p.claims[name] = v } }
	without := func(names ...string) func(*idp) {
		return func(p *idp) {
			for _, n := range names {
				delete(p.claims, n)
			}
		}
	}
	signed := func(k jose.SigningKey) func(*idp) { return func(p *idp) { p.sign = signWith(k) } }
	raw := func(make func(p *idp, claims []byte) string) func(*idp) {
		return func(p *idp) {
			p.sign = func(c map[string]any) string { b, _ := json.Marshal(c); return make(p, b) }
		}
	}
	b64 := base64.RawURLEncoding.EncodeToString
	other := jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: makeOtherKey(), KeyID: "k1"}}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	mismatch := journey.StepUpProgress{Status: proof.ChallengeNoMatch, Reason: proof.ReasonSubjectMismatch}

	for name, c := range map[string]struct {
		change func(*idp)
		reason proof.Reason            // of the error
		want   *journey.StepUpProgress // instead
	}{
		"alg none": {raw(func(_ *idp, c []byte) string { return b64([]byte(`{"alg":"none"}`)) + "." + b64(c) + "." }), proof.ReasonAnswerUntrusted, nil},
		"alg none with the key's name": {raw(func(_ *idp, c []byte) string {
			return b64([]byte(`{"alg":"none","kid":"k1"}`)) + "." + b64(c) + ".AAAA"
		}),
			proof.ReasonAnswerUntrusted, nil},
		"HS256 with the public key (PEM)": {signed(jose.SigningKey{Algorithm: jose.HS256, Key: publicPEM(&makeKey().PublicKey)}), proof.ReasonAnswerUntrusted, nil},
		"HS256 with the modulus":          {signed(jose.SigningKey{Algorithm: jose.HS256, Key: makeKey().N.Bytes()}), proof.ReasonAnswerUntrusted, nil},
		"HS256 with our secret":           {signed(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(strings.Repeat(oidcSecret, 2))}), proof.ReasonAnswerUntrusted, nil},
		"HS256 with a key of theirs": {func(p *idp) {
			shared := []byte(strings.Repeat("k", 32))
			p.keys.Keys = append(p.keys.Keys, jose.JSONWebKey{Key: shared, KeyID: "oct", Algorithm: "HS256"})
			p.sign = signWith(jose.SigningKey{Algorithm: jose.HS256, Key: jose.JSONWebKey{Key: shared, KeyID: "oct"}})
		}, proof.ReasonAnswerUntrusted, nil},
		"RS512":                       {signed(jose.SigningKey{Algorithm: jose.RS512, Key: jose.JSONWebKey{Key: makeKey(), KeyID: "k1"}}), proof.ReasonAnswerUntrusted, nil},
		"PS256, which is not offered": {signed(jose.SigningKey{Algorithm: jose.PS256, Key: jose.JSONWebKey{Key: makeKey(), KeyID: "k1"}}), proof.ReasonAnswerUntrusted, nil},
		"another key, same name":      {signed(other), proof.ReasonAnswerUntrusted, nil},
		"another key, no name":        {signed(jose.SigningKey{Algorithm: jose.RS256, Key: makeOtherKey()}), proof.ReasonAnswerUntrusted, nil},
		"another key, unknown name":   {signed(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: makeOtherKey(), KeyID: "k9"}}), proof.ReasonAnswerUntrusted, nil},
		"key in the header": {func(p *idp) {
			p.sign = func(c map[string]any) string {
				s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: makeOtherKey(), KeyID: "k1"}}, &jose.SignerOptions{EmbedJWK: true})
				if err != nil {
					panic(err)
				}
				b, _ := json.Marshal(c)
				token, _ := s.Sign(b)
				text, _ := token.CompactSerialize()
				return text
			}
		}, proof.ReasonAnswerUntrusted, nil},
		"key for encryption":        {func(p *idp) { p.keys.Keys[0].Use = "enc" }, proof.ReasonAnswerUntrusted, nil},
		"key for another algorithm": {func(p *idp) { p.keys.Keys[0].Algorithm = "RS512" }, proof.ReasonAnswerUntrusted, nil},
		"claims changed": {func(p *idp) {
			good := p.sign
			p.sign = func(c map[string]any) string {
				parts := strings.Split(good(map[string]any{}), ".")
				b, _ := json.Marshal(c)
				return parts[0] + "." + b64(b) + "." + parts[2]
			}
		}, proof.ReasonAnswerUntrusted, nil},
		"JSON serialization": {func(p *idp) {
			good := p.sign
			p.sign = func(c map[string]any) string {
				parts := strings.Split(good(c), ".")
				b, _ := json.Marshal(map[string]string{"protected": parts[0], "payload": parts[1], "signature": parts[2]})
				return string(b)
			}
		}, proof.ReasonAnswerUntrusted, nil},
		"garbage": {raw(func(*idp, []byte) string { return "x.y.z" }), proof.ReasonAnswerUntrusted, nil},
		"not an object": {func(p *idp) {
			p.sign = func(map[string]any) string {
				s, _ := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: makeKey(), KeyID: "k1"}}, nil)
				token, _ := s.Sign([]byte("null"))
				text, _ := token.CompactSerialize()
				return text
			}
		}, proof.ReasonUpstreamMalformed, nil},

		"iss":                {set("iss", "https://evil.example/oauth2"), proof.ReasonAnswerUntrusted, nil},
		"iss with a slash":   {func(p *idp) { p.claims["iss"] = p.web.URL + "/oauth2/" }, proof.ReasonAnswerUntrusted, nil},
		"no iss":             {without("iss"), proof.ReasonAnswerUntrusted, nil},
		"iss in capitals":    {func(p *idp) { p.claims["ISS"] = p.claims["iss"]; delete(p.claims, "iss") }, proof.ReasonAnswerUntrusted, nil},
		"aud":                {set("aud", "another client"), proof.ReasonAnswerUntrusted, nil},
		"no aud":             {without("aud"), proof.ReasonAnswerUntrusted, nil},
		"empty aud":          {set("aud", []string{}), proof.ReasonAnswerUntrusted, nil},
		"extra aud":          {set("aud", []string{oidcID, "another client"}), proof.ReasonAnswerUntrusted, nil},
		"extra aud with azp": {func(p *idp) { p.claims["aud"] = []string{oidcID, "another client"}; p.claims["azp"] = oidcID }, proof.ReasonAnswerUntrusted, nil},
		"azp":                {set("azp", "another client"), proof.ReasonAnswerUntrusted, nil},
		"azp is no text":     {set("azp", 1), proof.ReasonAnswerUntrusted, nil},
		"nonce":              {set("nonce", strings.Repeat("A", 43)), proof.ReasonAnswerUntrusted, nil},
		"empty nonce":        {set("nonce", ""), proof.ReasonAnswerUntrusted, nil},
		"null nonce":         {set("nonce", nil), proof.ReasonAnswerUntrusted, nil},
		"expired":            {func(p *idp) { p.claims["exp"] = p.now.Unix() - 60 }, proof.ReasonAnswerUntrusted, nil},
		"no exp":             {without("exp"), proof.ReasonAnswerUntrusted, nil},
		"exp is text":        {set("exp", "9999999999"), proof.ReasonAnswerUntrusted, nil},
		"exp is enormous":    {set("exp", 1e300), proof.ReasonAnswerUntrusted, nil},
		"from the future":    {func(p *idp) { p.claims["iat"] = p.now.Unix() + 61 }, proof.ReasonAnswerUntrusted, nil},
		"older than we":      {func(p *idp) { p.claims["iat"] = p.now.Unix() - 61 }, proof.ReasonAnswerUntrusted, nil},
		"no iat":             {without("iat"), proof.ReasonAnswerUntrusted, nil},
		"not yet valid":      {func(p *idp) { p.claims["nbf"] = p.now.Unix() + 61 }, proof.ReasonAnswerUntrusted, nil},
		"an earlier login":   {func(p *idp) { p.claims["auth_time"] = p.now.Unix() - 3600 }, proof.ReasonAnswerUntrusted, nil},
		"auth_time is text":  {set("auth_time", "now"), proof.ReasonAnswerUntrusted, nil},

		"acr":                {set("acr", "otp sms"), proof.ReasonAnswerUntrusted, nil},
		"acr in a list":      {set("acr", []string{"otp sms", "liveID push"}), proof.ReasonAnswerUntrusted, nil},
		"null acr":           {set("acr", nil), proof.ReasonAnswerUntrusted, nil},
		"amr":                {set("amr", []string{"otp"}), proof.ReasonAnswerUntrusted, nil},
		"empty amr":          {set("amr", []string{}), proof.ReasonAnswerUntrusted, nil},
		"amr, bad acr":       {set("acr", "0"), proof.ReasonAnswerUntrusted, nil},
		"neither":            {without("acr", "amr"), proof.ReasonAnswerUntrusted, nil},
		"nobody":             {without("username"), proof.ReasonAnswerUntrusted, nil},
		"user is no text":    {set("username", []string{oidcUser}), proof.ReasonAnswerUntrusted, nil},
		"another user":       {set("username", "bob@example.com"), "", &mismatch},
		"longer user":        {set("username", oidcUser+".evil"), "", &mismatch},
		"user with a Kelvin": {func(p *idp) { p.claims["username"] = strings.Replace(oidcUser, "e", "\u0435", 1) }, "", &mismatch},
		"taken back by its own block": {set("kosmoscope", map[string]any{"match_result": "no_match", "reason": "face_mismatch"}), "",
			&journey.StepUpProgress{Status: proof.ChallengeNoMatch, Reason: proof.ReasonFaceMismatch}},

		// And what is good.
		"acr alone":             {without("amr"), "", &journey.StepUpProgress{Status: proof.ChallengeMatch}},
		"amr alone":             {without("acr"), "", &journey.StepUpProgress{Status: proof.ChallengeMatch}},
		"amr among others":      {set("amr", []string{"mfa", "face"}), "", &journey.StepUpProgress{Status: proof.ChallengeMatch}},
		"aud in a list":         {set("aud", []string{oidcID}), "", &journey.StepUpProgress{Status: proof.ChallengeMatch}},
		"name in capitals":      {set("username", strings.ToUpper(oidcUser)), "", &journey.StepUpProgress{Status: proof.ChallengeMatch}},
		"no auth_time":          {without("auth_time"), "", &journey.StepUpProgress{Status: proof.ChallengeMatch}},
		"a clock a little slow": {func(p *idp) { p.claims["iat"] = p.now.Unix() - 59; p.claims["exp"] = p.now.Unix() - 59 }, "", &journey.StepUpProgress{Status: proof.ChallengeMatch}},
		"ES256": {func(p *idp) {
			p.keys.Keys = append(p.keys.Keys, jose.JSONWebKey{Key: &ec.PublicKey, KeyID: "e1"})
			p.sign = signWith(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: ec, KeyID: "e1"}})
		}, "", &journey.StepUpProgress{Status: proof.ChallengeMatch}},
		"no name of the key": {signed(jose.SigningKey{Algorithm: jose.RS256, Key: makeKey()}), "", &journey.StepUpProgress{Status: proof.ChallengeMatch}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newIDP(t)
			c.change(p)
			o := p.client(nil)
			s := oidcOpen(t, p, o)
			got, err := oidcPoll(t, o, s)
			if c.want == nil {
				noVerdict(t, got, err, c.reason, false)
				return
			}
			if err != nil || got.Status != c.want.Status || got.Reason != c.want.Reason {
				t.Errorf("%+v, %v", got, err)
			}
			if got.Status != proof.ChallengeMatch && got.Confidence != nil {
				t.Error("a confidence without a match")
			}
		})
	}
}

// What a tenant says that names no method is believed only by configuration, and
// a score only if there is one.
func TestOIDCUnnamed(t *testing.T) {
	p := newIDP(t)
	for _, name := range []string{"acr", "amr", "kosmoscope"} {
		delete(p.claims, name)
	}
	p.claims["preferred_username"] = oidcUser
	delete(p.claims, "username")
	o := p.client(func(c *upstream.OIDCConfig) { c.AllowUnnamed, c.UsernameClaim = true, "preferred_username" })
	got, err := oidcPoll(t, o, oidcOpen(t, p, o))
	if err != nil || got != (journey.StepUpProgress{Status: proof.ChallengeMatch}) {
		t.Errorf("%+v, %v", got, err)
	}
	p.claims["acr"] = "otp sms" // what is said still counts
	got, err = oidcPoll(t, o, oidcOpen(t, p, o))
	noVerdict(t, got, err, proof.ReasonAnswerUntrusted, false)
}

func TestOIDCKeyRotation(t *testing.T) {
	p := newIDP(t)
	o := p.client(nil)
	if got, err := oidcPoll(t, o, oidcOpen(t, p, o)); err != nil || got.Status != proof.ChallengeMatch {
		t.Fatalf("%+v, %v", got, err)
	}
	p.keys.Keys = append([]jose.JSONWebKey{{Key: &makeOtherKey().PublicKey, KeyID: "k2"}}, p.keys.Keys...)
	p.sign = signWith(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: makeOtherKey(), KeyID: "k2"}})
	if got, err := oidcPoll(t, o, oidcOpen(t, p, o)); err != nil || got.Status != proof.ChallengeMatch {
		t.Errorf("after a rotation: %+v, %v", got, err)
	}
	if n := p.fetches["/keys"]; n != 2 {
		t.Errorf("%d fetches of the keys", n)
	}
}

// Answers of the token endpoint that are no token.
func TestOIDCTokenEndpoint(t *testing.T) {
	say := func(status int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for name, c := range map[string]struct {
		token     http.HandlerFunc
		reason    proof.Reason
		temporary bool
	}{
		"code used":   {say(400, "application/json", `{"error":"invalid_grant"}`), proof.ReasonAnswerReplayed, false},
		"bad client":  {say(401, "application/json", `{"error":"invalid_client"}`), proof.ReasonUpstreamAuth, false},
		"bare 401":    {say(401, "text/html", ``), proof.ReasonUpstreamAuth, false},
		"bad request": {say(400, "application/json", `{"error":"invalid_request"}`), proof.ReasonUpstreamRejected, false},
		"slow down":   {say(429, "application/json", `{}`), proof.ReasonUpstreamRateLimited, true},
		"down":        {say(503, "text/html", ``), proof.ReasonUpstreamUnavailable, true},
		"no ID token": {say(200, "application/json", `{"access_token":"x"}`), proof.ReasonUpstreamMalformed, false},
		"HTML":        {say(200, "text/html", `{"id_token":"a.b.c"}`), proof.ReasonUpstreamMalformed, false},
		"a list":      {say(200, "application/json", `[]`), proof.ReasonUpstreamMalformed, false},
		"endless":     {say(200, "application/json", strings.Repeat(" ", 1<<20+1)), proof.ReasonUpstreamMalformed, false},
		"a redirect":  {say(302, "application/json", `{"id_token":"a.b.c"}`), proof.ReasonUpstreamRejected, false},
		"broken off":  {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, proof.ReasonUpstreamUnavailable, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newIDP(t)
			p.token = c.token
			o := p.client(nil)
			got, err := oidcPoll(t, o, oidcOpen(t, p, o))
			noVerdict(t, got, err, c.reason, c.temporary)
			var e *proof.Error
			if errors.As(err, &e) && name == "slow down" && e.RetryAfter != 7*time.Second {
				t.Errorf("retry after %v", e.RetryAfter)
			}
		})
	}
}

// When the provider comes back, the same code is tried again; and while its keys
// cannot be had, no code is spent.
func TestOIDCTriesAgain(t *testing.T) {
	p := newIDP(t)
	o := p.client(nil)
	s := oidcOpen(t, p, o)
	keys := p.metadata["jwks_uri"]
	down := p.client(nil)
	p.metadata["jwks_uri"] = p.web.URL + "/nowhere"
	got, err := oidcPoll(t, down, s)
	noVerdict(t, got, err, proof.ReasonUpstreamMalformed, false)
	if len(p.redeemed) != 0 {
		t.Error("the code was spent without keys")
	}
	p.metadata["jwks_uri"] = keys
	p.token = func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	got, err = oidcPoll(t, o, s)
	noVerdict(t, got, err, proof.ReasonUpstreamUnavailable, true)
	p.token = nil
	if got, err := oidcPoll(t, o, s); err != nil || got.Status != proof.ChallengeMatch {
		t.Errorf("%+v, %v", got, err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got, err = o.Poll(ctx, journey.PollStepUp{StepUpSession: s, UserIdentifier: oidcUser})
	noVerdict(t, got, err, proof.ReasonUpstreamTimeout, true)
}

func TestOIDCMetadata(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*idp)
		reason proof.Reason
	}{
		"another issuer":      {func(p *idp) { p.metadata["issuer"] = "https://evil.example" }, proof.ReasonUpstreamMalformed},
		"token elsewhere":     {func(p *idp) { p.metadata["token_endpoint"] = "https://evil.example/token" }, proof.ReasonUpstreamMalformed},
		"authorize elsewhere": {func(p *idp) { p.metadata["authorization_endpoint"] = "https://evil.example/" }, proof.ReasonUpstreamMalformed},
		"keys elsewhere":      {func(p *idp) { p.metadata["jwks_uri"] = "https://evil.example/" }, proof.ReasonUpstreamMalformed},
		"in the clear":        {func(p *idp) { p.metadata["token_endpoint"] = strings.Replace(p.web.URL, "https", "http", 1) }, proof.ReasonUpstreamMalformed},
		"with a user":         {func(p *idp) { p.metadata["token_endpoint"] = strings.Replace(p.web.URL, "//", "//a@", 1) }, proof.ReasonUpstreamMalformed},
		"another port":        {func(p *idp) { p.metadata["token_endpoint"] = "https://127.0.0.1/token" }, proof.ReasonUpstreamMalformed},
		"symmetric only":      {func(p *idp) { p.metadata["id_token_signing_alg_values_supported"] = []string{"HS256"} }, proof.ReasonUpstreamMalformed},
		"not JSON":            {func(p *idp) { p.metadata["issuer"] = 1 }, proof.ReasonUpstreamMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			p := newIDP(t)
			c.change(p)
			_, err := p.client(nil).Open(t.Context(), journey.OpenStepUp{
				Challenge: oidcChallenge, Deadline: p.now.Add(time.Minute), ReturnURL: oidcReturn, Request: proof.ChallengeRequest{UserIdentifier: oidcUser}})
			if proof.ReasonOf(err) != c.reason {
				t.Errorf("%v", err)
			}
		})
	}
	p := newIDP(t)
	delete(p.metadata, "id_token_signing_alg_values_supported")
	o := p.client(nil)
	if got, err := oidcPoll(t, o, oidcOpen(t, p, o)); err != nil || got.Status != proof.ChallengeMatch {
		t.Errorf("RS256 by default: %+v, %v", got, err)
	}
}

func TestOIDCEligibility(t *testing.T) {
	p := newIDP(t)
	no := &proof.Error{Code: proof.CodeConflict, Reason: proof.ReasonUserNotEnrolled, Message: "no"}
	o := p.client(func(c *upstream.OIDCConfig) {
		c.Eligibility = func(_ context.Context, user string) error {
			if user == oidcUser {
				return no
			}
			return nil
		}
	})
	_, err := o.Open(t.Context(), journey.OpenStepUp{Challenge: oidcChallenge, ReturnURL: oidcReturn, Request: proof.ChallengeRequest{UserIdentifier: oidcUser}})
	if !errors.Is(err, no) || len(p.fetches) != 0 {
		t.Errorf("%v, fetched %v", err, p.fetches)
	}
	if _, err := o.Open(t.Context(), journey.OpenStepUp{Challenge: oidcChallenge}); proof.CodeOf(err) != proof.CodeInvalid {
		t.Errorf("nobody: %v", err)
	}
}

func TestOIDCConfig(t *testing.T) {
	good := upstream.OIDCConfig{DiscoveryURL: "https://a.example/.well-known/openid-configuration", ClientID: "a", ClientSecret: "b"}
	for name, change := range map[string]func(*upstream.OIDCConfig){
		"no client":       func(c *upstream.OIDCConfig) { c.ClientID = "" },
		"no secret":       func(c *upstream.OIDCConfig) { c.ClientSecret = "" },
		"no URL":          func(c *upstream.OIDCConfig) { c.DiscoveryURL = "" },
		"in the clear":    func(c *upstream.OIDCConfig) { c.DiscoveryURL = "http://a.example/.well-known/openid-configuration" },
		"issuer unknown":  func(c *upstream.OIDCConfig) { c.DiscoveryURL = "https://a.example/metadata" },
		"no openid":       func(c *upstream.OIDCConfig) { c.Scopes = []string{"email"} },
		"a URL as a host": func(c *upstream.OIDCConfig) { c.AllowedHosts = []string{"https://b.example"} },
	} {
		c := good
		change(&c)
		if _, err := upstream.NewOIDC(c); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	good.DiscoveryURL, good.Issuer = "https://a.example/metadata", "https://a.example"
	if _, err := upstream.NewOIDC(good); err != nil {
		t.Error(err)
	}
}

func TestChallengeOfState(t *testing.T) {
	random := strings.Repeat("A", 43)
	for state, want := range map[string]string{
		oidcChallenge + "." + random:           oidcChallenge,
		oidcChallenge:                          "",
		"":                                     "",
		"." + random:                           "",
		oidcChallenge + "." + random + "A":     "",
		oidcChallenge + "." + random[1:] + "!": "",
		oidcChallenge + "." + random[1:] + ".": "",
		"{" + oidcChallenge[1:] + "." + random: "",
		strings.ReplaceAll(oidcChallenge, "-", "_") + "." + random: "",
	} {
		if id, ok := upstream.ChallengeOfState(state); id != want || ok != (want != "") {
			t.Errorf("%q: %q %v", state, id, ok)
		}
	}
}

func FuzzChallengeOfState(f *testing.F) {
	f.Add(oidcChallenge + "." + strings.Repeat("A", 43))
	f.Fuzz(func(t *testing.T, state string) {
		id, ok := upstream.ChallengeOfState(state)
		if ok != (id != "") || ok && !strings.HasPrefix(state, id+".") {
			t.Errorf("%q: %q %v", state, id, ok)
		}
	})
}

// Whatever claims the provider signs: a match is for this client, request and user.
func FuzzOIDCClaims(f *testing.F) {
	p := newIDP(f)
	good, _ := json.Marshal(p.claims)
	f.Add(good)
	f.Add([]byte(`{"aud":null,"exp":1e999}`))
	o, err := upstream.NewOIDC(upstream.OIDCConfig{
		DiscoveryURL: p.web.URL + "/oauth2/.well-known/openid-configuration", ClientID: oidcID, ClientSecret: oidcSecret,
		HTTPClient: p.web.Client(), Now: func() time.Time { return p.now },
	})
	if err != nil {
		f.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: makeKey(), KeyID: "k1"}}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, claims []byte) {
		p.sign = func(map[string]any) string {
			token, err := signer.Sign(claims)
			if err != nil {
				t.Skip()
			}
			text, _ := token.CompactSerialize()
			return text
		}
		s, err := o.Open(t.Context(), journey.OpenStepUp{Challenge: oidcChallenge, Deadline: p.now.Add(time.Hour), ReturnURL: oidcReturn,
			Request: proof.ChallengeRequest{UserIdentifier: oidcUser}})
		if err != nil {
			t.Fatal(err)
		}
		s.Returned = map[string]string{"code": "c1", "state": s.ID}
		got, err := o.Poll(t.Context(), journey.PollStepUp{StepUpSession: s.StepUpSession, UserIdentifier: oidcUser})
		// Nobody but the provider knows this session's nonce.
		if err == nil || got != (journey.StepUpProgress{}) {
			t.Errorf("%+v for %s", got, claims)
		}
	})
}
