package federation_test

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/kosmoscope/kosmoscope/test/world"
)

// wanted is a request for verified claims in both places.
var wanted = fields{
	"id_token": fields{"verified_claims": fields{"verification": fields{"trust_framework": nil, "time": nil}, "claims": fields{"given_name": nil, "family_name": nil, "birthdate": nil}}},
	"userinfo": fields{"verified_claims": fields{"verification": fields{"trust_framework": nil}, "claims": fields{"family_name": nil}}},
}

// task is what an npm client is to do, with changes.
func task(t *testing.T, w *world.World, client string, changes fields) fields {
	t.Helper()
	out := fields{"issuer": issuer(w), "client_id": client, "client_secret": secretOf(client), "redirect_uri": shared.home(t), "scope": "openid"}
	maps.Copy(out, changes)
	return out
}

// proved holds what a client took for true to a proofing of the passport's holder, and
// nobody's account.
func proved(t *testing.T, w *world.World, client string, done fields) {
	t.Helper()
	claims, info := object(t, done, "claims"), object(t, done, "userinfo")
	if claims["iss"] != issuer(w) || claims["nonce"] != done["nonce"] || claims["acr"] != proofingACR || claims["sub"] != info["sub"] {
		t.Errorf("claims %v of %s", claims, client)
	}
	if amr := list(claims["amr"]); len(amr) == 0 || slices.Contains(amr, "pwd") {
		t.Errorf("amr %v", amr)
	}
	v := object(t, claims, "verified_claims")
	person := object(t, v, "claims")
	if person["given_name"] != "ANNA MARIA" || person["family_name"] != "ERIKSSON" || person["birthdate"] != "1974-08-12" {
		t.Errorf("verified claims %v", person)
	}
	if f := object(t, v, "verification")["trust_framework"]; f == "" || f == "nist_800_63A" {
		t.Errorf("trust framework %v", f)
	}
	if got := keys(object(t, object(t, info, "verified_claims"), "claims")); !slices.Equal(got, []string{"family_name"}) {
		t.Errorf("userinfo tells %v", got)
	}
	nobody(t, claims, info)
}

// nobody sees that nothing says whose account this is.
func nobody(t *testing.T, all ...fields) {
	t.Helper()
	for _, m := range all {
		for _, name := range []string{"email", "email_verified", "user_identifier", "preferred_username", "phone_number"} {
			if m[name] != nil {
				t.Errorf("%s is %v after a proofing alone", name, m[name])
			}
		}
		if m["face_matched"] == true {
			t.Error("face_matched after a proofing alone")
		}
	}
}

// recognised holds what a client took for true to a match of user's face.
func recognised(t *testing.T, w *world.World, user string, done fields) {
	t.Helper()
	claims, info := object(t, done, "claims"), object(t, done, "userinfo")
	if claims["iss"] != issuer(w) || claims["nonce"] != done["nonce"] || claims["acr"] != faceACR || claims["sub"] != info["sub"] {
		t.Errorf("claims %v", claims)
	}
	if !slices.Contains(list(claims["amr"]), "face") {
		t.Errorf("amr %v", claims["amr"])
	}
	if info["email"] != user || info["email_verified"] != true || info["face_matched"] != true {
		t.Errorf("userinfo %v", info)
	}
}

func list(v any) (out []string) {
	all, _ := v.([]any)
	for _, one := range all {
		out = append(out, str(one))
	}
	return out
}

// npmClients are the relying parties from npm.
var npmClients = []string{"openid-client", "oauth4webapi"}

func TestClientsProof(t *testing.T) {
	t.Parallel()
	w := shared.open(t)
	for _, name := range npmClients {
		t.Run(name, func(t *testing.T) {
			p := person(t, w)
			o := signIn(t, p, name, task(t, w, strict, fields{"scope": "openid identity_assurance", "claims": wanted, "params": fields{"acr_values": proofingACR}}))
			proved(t, w, strict, o.done(t))
			if !slices.Contains(p.Saw, "capture") || slices.Contains(p.Saw, "authenticator") {
				t.Errorf("the person saw %v", p.Saw)
			}
		})
	}
	t.Run("RS256 and client_secret_post", func(t *testing.T) {
		o := signIn(t, person(t, w), "openid-client", task(t, w, rsa, fields{"auth": "client_secret_post", "alg": "RS256", "scope": "openid identity_assurance", "claims": wanted}))
		proved(t, w, rsa, o.done(t))
	})
	t.Run("PAR, private_key_jwt, PKCE and claims", func(t *testing.T) {
		o := signIn(t, person(t, w), "openid-client", task(t, w, signing, fields{
			"auth": "private_key_jwt", "key": shared.key, "kid": "rp-key", "par": true, "claims": wanted,
			"params": fields{"acr_values": proofingACR},
		}))
		proved(t, w, signing, o.done(t))
	})
	t.Run("public client, form_post", func(t *testing.T) {
		o := signIn(t, person(t, w), "openid-client", task(t, w, public, fields{
			"auth": "none", "form_post": true, "scope": "openid identity_assurance", "claims": wanted, "params": fields{"response_mode": "form_post"},
		}))
		proved(t, w, public, o.done(t))
	})
	t.Run("refresh", func(t *testing.T) {
		done := signIn(t, person(t, w), "openid-client", task(t, w, basic, fields{
			"pkce": false, "scope": "openid identity_assurance offline_access", "claims": wanted, "params": fields{"prompt": "consent"},
		})).done(t)
		proved(t, w, basic, done)
		if object(t, done, "refreshed_userinfo")["sub"] != object(t, done, "claims")["sub"] {
			t.Errorf("after the refresh: %v", done)
		}
	})
}

func TestClientsStepUp(t *testing.T) {
	t.Parallel()
	w := shared.open(t)
	user := enrolled(t, w, "step-up")
	for _, name := range npmClients {
		t.Run(name, func(t *testing.T) {
			p := person(t, w)
			p.Account = user
			done := signIn(t, p, name, task(t, w, strict, fields{"scope": "openid email", "params": fields{"acr_values": faceACR, "login_hint": user}})).done(t)
			recognised(t, w, user, done)
			if !slices.Contains(p.Saw, "authenticator") || slices.Contains(p.Saw, "capture") {
				t.Errorf("the person saw %v", p.Saw)
			}
			// From then on the session answers, for as long as max_age lets it.
			saw := len(p.Saw)
			again := signIn(t, p, name, task(t, w, strict, fields{"scope": "openid email", "max_age": 600, "params": fields{"acr_values": faceACR, "max_age": "600"}})).done(t)
			recognised(t, w, user, again)
			if object(t, again, "claims")["sub"] != object(t, done, "claims")["sub"] || len(p.Saw) != saw {
				t.Errorf("the second time: %v, having shown %v", again, p.Saw[saw:])
			}
			// Nobody learns at another client that it is the same person.
			p.Account = user
			other := signIn(t, p, name, task(t, w, foreign, fields{"scope": "openid email", "params": fields{"acr_values": faceACR, "login_hint": user}})).done(t)
			if object(t, other, "claims")["sub"] == object(t, done, "claims")["sub"] {
				t.Error("two clients know the person by the same sub")
			}
		})
	}
	t.Run("id_token_hint", func(t *testing.T) {
		p := person(t, w)
		p.Account = user
		first := signIn(t, p, "openid-client", task(t, w, strict, fields{"scope": "openid email", "params": fields{"acr_values": faceACR, "login_hint": user}})).done(t)
		elsewhere := person(t, w)
		elsewhere.Account = user
		second := signIn(t, elsewhere, "openid-client", task(t, w, strict, fields{"scope": "openid email", "params": fields{"acr_values": faceACR, "id_token_hint": first["id_token"]}})).done(t)
		recognised(t, w, user, second)
		if object(t, first, "claims")["sub"] != object(t, second, "claims")["sub"] {
			t.Error("the same person has two subs at one client")
		}
	})
	t.Run("Descope", func(t *testing.T) { // no PKCE, no acr: the client's default; without a hint the page asks who
		p := person(t, w)
		p.Account = user
		done := signIn(t, p, "openid-client", task(t, w, descope, fields{"pkce": false, "scope": "openid email profile"})).done(t)
		recognised(t, w, user, done)
		for _, name := range []string{"ial_level", "idv_status"} {
			if object(t, done, "userinfo")[name] == nil {
				t.Errorf("no flat %s: %v", name, done)
			}
		}
	})
	t.Run("CIBA", func(t *testing.T) {
		ciba(t, w, user)
	})
}

// ciba is a step-up without a browser of the client: the client names the person, who
// answers at the address that it is told.
func ciba(t *testing.T, w *world.World, user string) {
	o := newOP(t, w, back, person(t, w))
	o.p.Account = user
	r := o.post("/bc-authorize", url.Values{"scope": {"openid email"}, "login_hint": {user}, "acr_values": {faceACR}, "binding_message": {"Payment 42"}})
	id, address := str(r.json["auth_req_id"]), str(r.json["challenge_url"])
	if r.status != http.StatusOK || id == "" || number(r.json["interval"]) <= 0 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	at, err := o.p.Visit(soon(t), address, elsewhere)
	if err != nil || at.Step != "done" {
		t.Fatalf("%v, %+v", err, at)
	}
	in := url.Values{"grant_type": {"urn:openid:params:grant-type:ciba"}, "auth_req_id": {id}}
	x := o.checked(o.post("/token", in))
	if x.claims["acr"] != faceACR || o.userinfo(x)["email"] != user {
		t.Errorf("claims %v", x.claims)
	}
	if r := o.post("/token", in); r.status != http.StatusBadRequest {
		t.Errorf("the second time: %d %s", r.status, r.body)
	}
}

// TestClientsRefuse has each client refuse what was changed on its way.
func TestClientsRefuse(t *testing.T) {
	t.Parallel()
	w := shared.open(t)
	p := person(t, w)
	plain := task(t, w, strict, nil)
	signIn(t, p, "openid-client", plain).done(t) // with documents; from then on the session answers
	for _, name := range npmClients {
		for what, change := range map[string]fields{
			"signature": {"forge": "signature"}, "subject": {"forge": "subject"}, "level": {"forge": "level"}, "alg none": {"forge": "unsigned"}, "another key": {"forge": "key"},
			"nonce": {"wrong_nonce": true}, "state": {"wrong_state": true}, "iss": {"wrong_iss": true},
		} {
			t.Run(name+", "+what, func(t *testing.T) {
				changed := maps.Clone(plain)
				maps.Copy(changed, change)
				o := signIn(t, p, name, changed)
				if o.Refused == nil || !strings.HasPrefix(o.Refused.Code, "OAUTH_") {
					t.Errorf("%s", o)
				}
			})
		}
	}
}

// TestGoOIDC signs in with coreos/go-oidc.
func TestGoOIDC(t *testing.T) {
	t.Parallel()
	w := shared.open(t)
	user := enrolled(t, w, "go-oidc")
	ctx := soon(t)
	provider, err := oidc.NewProvider(ctx, issuer(w))
	if err != nil {
		t.Fatal(err)
	}
	client := oauth2.Config{ClientID: strict, ClientSecret: secretOf(strict), RedirectURL: elsewhere, Endpoint: provider.Endpoint(), Scopes: []string{"openid", "email", "identity_assurance"}}
	verifier := provider.Verifier(&oidc.Config{ClientID: strict, SupportedSigningAlgs: []string{"ES256"}})
	// go signs a person in, and gives the raw ID token and what the client makes of it.
	run := func(t *testing.T, p *world.Person, more ...oauth2.AuthCodeOption) (string, *oidc.IDToken, fields) {
		t.Helper()
		state, nonce, pkce := random(), random(), oauth2.GenerateVerifier()
		at, err := p.Visit(soon(t), client.AuthCodeURL(state, append(more, oidc.Nonce(nonce), oauth2.S256ChallengeOption(pkce))...), elsewhere)
		if err != nil || !at.Home || at.Params().Get("state") != state {
			t.Fatalf("%v, %+v", err, at)
		}
		token, err := client.Exchange(soon(t), at.Params().Get("code"), oauth2.VerifierOption(pkce))
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := token.Extra("id_token").(string)
		id, err := verifier.Verify(ctx, raw)
		if err != nil {
			t.Fatal(err)
		}
		if id.Nonce != nonce || id.VerifyAccessToken(token.AccessToken) != nil {
			t.Errorf("nonce %q, at_hash %v", id.Nonce, id.VerifyAccessToken(token.AccessToken))
		}
		info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
		if err != nil {
			t.Fatal(err)
		}
		out := fields{"nonce": nonce}
		var claims, told fields
		if err := errors.Join(id.Claims(&claims), info.Claims(&told)); err != nil {
			t.Fatal(err)
		}
		out["claims"], out["userinfo"] = claims, told
		return raw, id, out
	}
	t.Run("proofing", func(t *testing.T) {
		raw, _, done := run(t, person(t, w), oauth2.SetAuthURLParam("acr_values", proofingACR))
		if v := object(t, object(t, done, "userinfo"), "verified_claims"); object(t, v, "claims")["family_name"] != "ERIKSSON" {
			t.Errorf("userinfo %v", done)
		}
		nobody(t, object(t, done, "claims"), object(t, done, "userinfo"))
		head, body, _ := strings.Cut(raw, ".")
		payload, signature, _ := strings.Cut(body, ".")
		for what, forged := range map[string]string{
			"signature": head + "." + payload + "." + flipped(signature),
			"payload":   head + "." + flipped(payload) + "." + signature,
			"alg none":  "eyJhbGciOiJub25lIn0." + payload + ".",
		} {
			if _, err := verifier.Verify(ctx, forged); err == nil {
				t.Errorf("a token with another %s was taken", what)
			}
		}
		if _, err := provider.Verifier(&oidc.Config{ClientID: basic, SupportedSigningAlgs: []string{"ES256"}}).Verify(ctx, raw); err == nil {
			t.Error("another client took the token")
		}
	})
	t.Run("step-up", func(t *testing.T) {
		p := person(t, w)
		p.Account = user
		client.Scopes = []string{"openid", "email"}
		_, _, done := run(t, p, oauth2.SetAuthURLParam("acr_values", faceACR), oauth2.SetAuthURLParam("login_hint", user))
		recognised(t, w, user, done)
	})
}

// flipped changes a letter in the middle.
func flipped(s string) string {
	b := []byte(s)
	i := len(b) / 2
	if b[i] == 'A' {
		b[i] = 'B'
	} else {
		b[i] = 'A'
	}
	return string(b)
}
