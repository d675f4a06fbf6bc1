package oidc_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/federation/oidc"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// entraKey is one for all tests: an RSA key takes a while.
var entraKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// keysOnly answers every request with one set of keys.
type keysOnly []byte

func (k keysOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(k))), Request: r}, nil
}

// For New, which wants them; nothing here reaches them.
type (
	noCore  struct{ oidc.Core }
	noStore struct{ federation.Store }
	noKeys  struct{ oidc.Keys }
)

func signHint(t *testing.T, alg jose.SignatureAlgorithm, key any, claims map[string]any) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", "7_Zuf"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	j, err := s.Sign(b)
	if err != nil {
		t.Fatal(err)
	}
	text, err := j.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

const (
	entraIssuer = "https://login.microsoftonline.com/9122040d-6c67-4c5b-b112-36a304b66dad/v2.0"
	entraApp    = "600b719b-3766-4dc5-95a6-3c4a8dc31885"
)

func TestEntraHint(t *testing.T) {
	t.Parallel()
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: entraKey().Public(), KeyID: "7_Zuf", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	p := oidc.New(oidc.Options{
		Core: noCore{}, Store: noStore{}, Keys: noKeys{}, PublicURL: "https://id.example.com", Now: func() time.Time { return idaNow },
		ClientIP: func(*http.Request) netip.Addr { return netip.Addr{} }, HTTPClient: &http.Client{Transport: keysOnly(set)},
	})
	client := &federation.Client{ID: "entra", Profile: federation.ProfileEntra, OIDC: &federation.OIDCClient{Entra: &federation.Entra{
		Issuer: entraIssuer, JWKSURI: "https://login.microsoftonline.com/common/discovery/v2.0/keys", AppID: entraApp,
	}}}
	// As Microsoft's page has it: it expired before it was issued.
	good := map[string]any{
		"ver": "2.0", "iss": entraIssuer, "sub": "mBfcvuhSHkDWVgV72x2ruIYdSsPSvcj2R0qfc6mGEAA", "aud": entraApp,
		"exp": idaNow.Unix() - 1, "iat": idaNow.Unix(), "nbf": idaNow.Unix(), "name": "Test User 2",
		"preferred_username": "testuser2@contoso.com", "oid": "951ddb04-b16d-45f3-bbf7-b0fa18fa7aee", "tid": "9122040d-6c67-4c5b-b112-36a304b66dad",
	}
	with := func(name string, v any) map[string]any {
		m := maps.Clone(good)
		if m[name] = v; v == nil {
			delete(m, name)
		}
		return m
	}
	hint := func(claims map[string]any) string { return signHint(t, jose.RS256, entraKey(), claims) }

	user, keep, err := p.EntraHint(t.Context(), client, hint(good))
	if err != nil || user != "testuser2@contoso.com" || keep != oidc.EntraKeep("testuser2@contoso.com", "mBfcvuhSHkDWVgV72x2ruIYdSsPSvcj2R0qfc6mGEAA") {
		t.Fatal(user, keep, err)
	}
	byOID := *client
	byOID.OIDC = &federation.OIDCClient{Entra: &federation.Entra{Issuer: entraIssuer, JWKSURI: client.OIDC.Entra.JWKSURI, AppID: entraApp, UserClaim: "oid"}}
	if user, _, err = p.EntraHint(t.Context(), &byOID, hint(with("aud", []string{entraApp}))); err != nil || user != good["oid"] {
		t.Fatal(user, err)
	}
	if _, _, err = p.EntraHint(t.Context(), client, hint(with("iat", idaNow.Add(-12*time.Minute).Unix()))); err != nil {
		t.Error("of twelve minutes ago, and two of them are skew:", err)
	}

	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signed := hint(good)
	for name, bad := range map[string]string{
		"nothing":                 "",
		"no token":                "testuser2@contoso.com",
		"another's key":           signHint(t, jose.RS256, other, good),
		"another algorithm":       signHint(t, jose.ES256, curve, good),
		"a secret that is public": signHint(t, jose.HS256, set, good),
		"not signed":              "eyJhbGciOiJub25lIn0." + strings.Split(signed, ".")[1] + ".",
		"tampered":                strings.Replace(signed, ".", ".A", 1),
		"too long":                hint(with("x", strings.Repeat("x", 9<<10))),
		"another issuer":          hint(with("iss", strings.Replace(entraIssuer, "9122040d", "9122040e", 1))),
		"no issuer":               hint(with("iss", nil)),
		"another audience":        hint(with("aud", "600b719b-0000-4dc5-95a6-3c4a8dc31885")),
		"one audience of two":     hint(with("aud", []string{entraApp, "other"})),
		"no audience":             hint(with("aud", nil)),
		"issued long ago":         hint(with("iat", idaNow.Add(-12*time.Minute-time.Second).Unix())),
		"issued tomorrow":         hint(with("iat", idaNow.Add(24*time.Hour).Unix())),
		"not issued":              hint(with("iat", nil)),
		"not yet":                 hint(with("nbf", idaNow.Add(time.Hour).Unix())),
		"expired long ago":        hint(with("exp", idaNow.Add(-time.Hour).Unix())),
		"without an end":          hint(with("exp", nil)),
		"no subject":              hint(with("sub", "")),
		"a subject of two lines":  hint(with("sub", "a\nb")),
		"no user":                 hint(with("preferred_username", nil)),
		"a user that is none":     hint(with("preferred_username", 7)),
		"an empty user":           hint(with("preferred_username", "  ")),
		"times that are none":     hint(with("iat", "now")),
	} {
		user, keep, err := p.EntraHint(t.Context(), client, bad)
		if proof.CodeOf(err) != proof.CodeInvalid || user != "" || keep != oidc.EntraKeep("", "") {
			t.Errorf("%s: %q %v", name, user, err)
		}
		if e, ok := err.(*proof.Error); ok && (e.Field != "id_token_hint" || strings.Contains(e.Message, "contoso")) {
			t.Errorf("%s: %v", name, e)
		}
	}
	if _, _, err := p.EntraHint(t.Context(), &federation.Client{OIDC: &federation.OIDCClient{}}, signed); proof.CodeOf(err) != proof.CodeForbidden {
		t.Error(err)
	}
	broken := oidc.New(oidc.Options{
		Core: noCore{}, Store: noStore{}, Keys: noKeys{}, PublicURL: "https://id.example.com", Now: func() time.Time { return idaNow },
		HTTPClient: &http.Client{Transport: keysOnly("<html>")},
	})
	if _, _, err := broken.EntraHint(t.Context(), client, signed); proof.CodeOf(err) != proof.CodeUnavailable {
		t.Error(err)
	}
}

func TestEntraToken(t *testing.T) {
	t.Parallel()
	// The request of Microsoft's page.
	const asked = `{"id_token":{"acr":{"essential":true,"values":["possessionorinherence"]},"amr":{"essential":true,"values":` +
		`["face","fido","fpt","hwk","iris","otp","pop","retina","sc","sms","swk","tel","vbm"]}}}`
	ask := func(a *federation.Answer, claims, hint string) (map[string]any, error) {
		in := tokenFor(a, federation.ProfileEntra, claims, "profile", "email")
		in.Hint, in.Nonce, in.ResponseType = hint, "n", "id_token"
		return oidc.IDToken(in)
	}
	keep := oidc.EntraKeep("anna@example.com", "entra-sub")
	got, err := ask(annaMatched(), asked, keep)
	want := map[string]any{
		"iss": "https://id.example.com/federation/t1", "aud": "rp", "sub": "entra-sub", "nonce": "n", "iat": idaNow.Unix(), "exp": idaNow.Unix() + 300,
		"auth_time": idaNow.Unix() - 60, "acr": "possessionorinherence", "amr": []string{"face"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v %v", got, err)
	}
	for acr, want := range map[string]string{
		`{"values":["knowledge","knowledgeorinherence"]}`: "knowledgeorinherence", `{"value":"inherence"}`: "inherence",
		`{"value":"knowledgeorpossessionorinherence"}`: "knowledgeorpossessionorinherence", `null`: "inherence",
		`{"value":"possession"}`: "", `{"value":"knowledgeorpossession"}`: "", `{"value":"/assurance/ial/2"}`: "",
	} {
		got, err := ask(annaMatched(), `{"id_token":{"acr":`+acr+`}}`, keep)
		if (want == "") != (proof.CodeOf(err) == proof.CodeUnmet) || want != "" && got["acr"] != want {
			t.Errorf("%s: %v %v", acr, got["acr"], err)
		}
	}
	if _, err := ask(annaMatched(), `{"id_token":{"amr":{"values":["fido","otp"]}}}`, keep); proof.CodeOf(err) != proof.CodeUnmet {
		t.Error("a method that is not ours:", err)
	}
	for name, hint := range map[string]string{
		"of somebody else": oidc.EntraKeep("bob@example.com", "entra-sub"), "none": "", "without a sub": oidc.EntraKeep("anna@example.com", ""),
		"what a browser wrote": `{"u":"anna@example.com","s":"entra-sub"}`,
	} {
		if got, err := ask(annaMatched(), asked, hint); proof.CodeOf(err) != proof.CodeUnmet || got["sub"] == "entra-sub" {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
	// In the code flow it is a client like any other, whatever the hint.
	in := tokenFor(annaMatched(), federation.ProfileEntra, asked)
	in.Hint = keep
	if got, err := oidc.IDToken(in); err != nil || got["sub"] != "pairwise-2" || got["acr"] != federation.ACRFace {
		t.Error(got, err)
	}
}
