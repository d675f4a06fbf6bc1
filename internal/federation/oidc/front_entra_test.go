package oidc_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/federation/oidc"
)

// keyServer answers every request with one set of keys.
type keyServer []byte

func (k keyServer) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(k)), Request: r,
	}, nil
}

const (
	frontEntra       = "https://login.example.net/tid/v2.0"
	frontEntraClaims = `{"id_token":{"acr":{"essential":true,"values":["possessionorinherence"]},"amr":{"essential":true,"values":["face","fido"]}}}`
)

func frontEntraWorld(t *testing.T) (*world, url.Values) {
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: theKeys().rsa.Public(), KeyID: "ms1", Use: "sig", Algorithm: "RS256"}}})
	if err != nil {
		t.Fatal(err)
	}
	w := frontWorld(func(o *oidc.Options) { o.HTTPClient = &http.Client{Transport: keyServer(keys)} })
	w.core.add(federation.Client{ID: "entra", Name: "Entra", Profile: federation.ProfileEntra, OIDC: &federation.OIDCClient{
		RedirectURIs: []string{frontBack}, AuthMethod: "none",
		Entra: &federation.Entra{Issuer: frontEntra, JWKSURI: "https://login.example.net/keys", AppID: "app-1"},
	}})
	now := w.clock.Now()
	hint := signWith(t, jose.RS256, theKeys().rsa, "ms1", map[string]any{
		"iss": frontEntra, "aud": "app-1", "sub": "entra-sub", "preferred_username": "ann@example.com",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(-time.Second).Unix(),
	})
	return w, url.Values{
		"client_id": {"entra"}, "response_type": {"id_token"}, "response_mode": {"form_post"}, "redirect_uri": {frontBack}, "scope": {"openid"},
		"state": {"st"}, "nonce": {"n-1"}, "claims": {frontEntraClaims}, "id_token_hint": {hint}, "client-request-id": {"x"},
	}
}

func TestEntraInFront(t *testing.T) {
	t.Parallel()
	w, v := frontEntraWorld(t)
	w.answered()
	action, fields := w.visit("POST", authorizePath, v).posted(t)
	if action != frontBack || fields.Get("state") != "st" || fields.Has("code") {
		t.Fatalf("the form goes to %q with %v", action, fields)
	}
	if a := w.core.lastAsk(); a.Hint != "ann@example.com" || a.HintSubject != "" || !a.Essential || len(a.ACR) != 1 || a.ACR[0] != federation.ACRFace {
		t.Errorf("asks %+v", a)
	}
	payload, err := w.keys.Verify(t.Context(), tenant, fields.Get("id_token"))
	if err != nil {
		t.Fatal(err)
	}
	j, err := jose.ParseSignedCompact(fields.Get("id_token"), []jose.SignatureAlgorithm{jose.RS256}) // Entra takes no other
	if err != nil || j.Signatures[0].Header.KeyID != tenant+"-RS256" {
		t.Errorf("signed with %v, %v", j, err)
	}
	var got map[string]any
	json.Unmarshal(payload, &got)
	for name, want := range map[string]any{
		"iss": issuer, "aud": "entra", "sub": "entra-sub", "nonce": "n-1", "acr": "possessionorinherence",
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if amr := texts(got["amr"]); len(amr) != 1 || amr[0] != "face" {
		t.Errorf("amr is %v", amr)
	}
}

func TestEntraInFrontRefuses(t *testing.T) {
	t.Parallel()
	other := func(a *federation.Answer) { a.Identifier = "bob@example.com" }
	for name, c := range map[string]struct {
		change func(w *world, v url.Values)
		answer func(*federation.Answer)
		code   string
	}{
		"no nonce":          {change: func(_ *world, v url.Values) { v.Del("nonce") }, code: "invalid_request"},
		"no hint":           {change: func(_ *world, v url.Values) { v.Del("id_token_hint") }, code: "invalid_request"},
		"a hint of our own": {change: func(w *world, v url.Values) { v.Set("id_token_hint", ownToken(t, w)) }, code: "invalid_request"},
		"an old hint":       {change: func(w *world, _ url.Values) { w.clock.Advance(time.Hour) }, code: "invalid_request"},
		"in the query":      {change: func(_ *world, v url.Values) { v.Set("response_mode", "query") }, code: "invalid_request"},
		"no mode":           {change: func(_ *world, v url.Values) { v.Del("response_mode") }, code: "invalid_request"},
		"another factor": {change: func(_ *world, v url.Values) {
			v.Set("claims", `{"id_token":{"acr":{"essential":true,"values":["possession"]}}}`)
		}, code: "unmet_authentication_requirements"},
		"somebody else":      {answer: other, code: "access_denied"},
		"a document alone":   {answer: func(a *federation.Answer) { a.Matched, a.Proofed = false, true }, code: "access_denied"},
		"not what was asked": {answer: func(a *federation.Answer) { a.Met = false }, code: "unmet_authentication_requirements"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, v := frontEntraWorld(t)
			w.answered()
			if c.answer != nil {
				w.answered(c.answer)
			}
			if c.change != nil {
				c.change(w, v)
			}
			_, fields := w.visit("POST", authorizePath, v).posted(t)
			if fields.Get("error") != c.code || fields.Has("id_token") || fields.Get("iss") != issuer {
				t.Errorf("got %v, want %s", fields, c.code)
			}
		})
	}
}

func ownToken(t *testing.T, w *world) string {
	s, err := w.keys.Sign(t.Context(), tenant, "RS256", "JWT", []byte(`{"iss":"`+frontEntra+`","aud":"app-1","sub":"x","preferred_username":"ann@example.com"}`))
	if err != nil {
		t.Fatal(err)
	}
	return s
}
