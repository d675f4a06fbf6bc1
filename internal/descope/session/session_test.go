package session_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/kosmoscope/kosmoscope/internal/descope/session"
)

const project = "P2aaaaaaaaaaaaaaaaaaaaaaaaaa"

func sign(t *testing.T, alg jose.SignatureAlgorithm, key any, kid string, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(b)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestVerify(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/keys/"+project {
			http.NotFound(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
			{Key: &rsaKey.PublicKey, KeyID: "r", Algorithm: "RS256", Use: "sig"},
			{Key: &ecKey.PublicKey, KeyID: "e", Algorithm: "ES384", Use: "sig"},
		}})
	}))
	defer srv.Close()
	now := time.Unix(1_800_000_000, 0)
	v := session.New(srv.URL, project, srv.Client(), func() time.Time { return now })

	good := func(more map[string]any) map[string]any {
		c := map[string]any{"iss": project, "sub": "U2x", "drn": "DS", "exp": now.Unix() + 60, "iat": now.Unix(), "amr": []string{"email"}}
		for k, value := range more {
			c[k] = value
		}
		return c
	}
	rs := func(more map[string]any) string { return sign(t, jose.RS256, rsaKey, "r", good(more)) }
	for name, test := range map[string]struct {
		token  string
		ok, su bool
	}{
		"session":           {rs(nil), true, false},
		"stepped up":        {rs(map[string]any{"su": true}), true, true},
		"issuer as URL":     {rs(map[string]any{"iss": "https://api.descope.com/" + project}), true, false},
		"elliptic key":      {sign(t, jose.ES384, ecKey, "e", good(nil)), true, false},
		"just over":         {rs(map[string]any{"exp": now.Unix() - 2}), true, false},
		"refresh token":     {rs(map[string]any{"drn": "DSR"}), false, false},
		"kind left out":     {rs(map[string]any{"drn": nil}), false, false},
		"another project":   {rs(map[string]any{"iss": "P2bbbbbbbbbbbbbbbbbbbbbbbbbb"}), false, false},
		"over":              {rs(map[string]any{"exp": now.Unix() - 6}), false, false},
		"no end":            {rs(map[string]any{"exp": nil}), false, false},
		"not yet":           {rs(map[string]any{"nbf": now.Unix() + 60}), false, false},
		"nobody":            {rs(map[string]any{"sub": ""}), false, false},
		"stepped up a bit":  {rs(map[string]any{"su": "true"}), false, false},
		"a stranger's key":  {sign(t, jose.RS256, stranger, "r", good(nil)), false, false},
		"an unknown key":    {sign(t, jose.RS256, stranger, "s", good(nil)), false, false},
		"a shared secret":   {sign(t, jose.HS256, []byte(strings.Repeat("k", 32)), "r", good(nil)), false, false},
		"nothing":           {"", false, false},
		"something":         {"a.b.c", false, false},
		"cut":               {rs(nil)[:200], false, false},
		"unsigned":          {"eyJhbGciOiJub25lIn0.e30.", false, false},
		"signature of none": {rs(nil)[:strings.LastIndex(rs(nil), ".")+1], false, false},
	} {
		s, err := v.Verify(context.Background(), test.token)
		if (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err != nil {
			if !errors.Is(err, session.ErrInvalid) {
				t.Errorf("%s: %v, not ErrInvalid", name, err)
			}
			continue
		}
		if s.UserID != "U2x" || s.SteppedUp != test.su || !slices.Equal(s.Methods, []string{"email"}) {
			t.Errorf("%s: %+v", name, s)
		}
	}

	away := session.New("http://127.0.0.1:1", project, srv.Client(), nil)
	if _, err := away.Verify(context.Background(), rs(nil)); err == nil || errors.Is(err, session.ErrInvalid) {
		t.Errorf("without keys: %v", err)
	}
}

func TestChallenge(t *testing.T) {
	for want, s := range map[string]*session.Session{"invalid_token": nil, "insufficient_user_authentication": {}} {
		w := httptest.NewRecorder()
		session.Challenge(w, s)
		if w.Code != 401 || !strings.Contains(w.Header().Get("WWW-Authenticate"), `error="`+want+`"`) {
			t.Errorf("%d %q", w.Code, w.Header().Get("WWW-Authenticate"))
		}
	}
}
