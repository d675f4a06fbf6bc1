package federation_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// TestTakeover has somebody with a valid passport of their own try to become somebody
// else, by everything that a browser can bring along (promise 3). Descope joins
// accounts by e-mail, so that one wrong answer here hands over an account.
func TestTakeover(t *testing.T) {
	t.Parallel()
	w := shared.open(t)
	victim := enrolled(t, w, "victim")
	at := func(t *testing.T, client string) *op {
		o := newOP(t, w, client, stranger(t, w))
		o.p.Account = victim
		return o
	}
	// What the victim is to each client, and tokens that were stolen from them.
	mine := map[string]tokens{}
	for _, client := range []string{basic, foreign} {
		o := newOP(t, w, client, person(t, w))
		o.p.Account = victim
		verifier := random() + random() + random()
		code := o.code("login_hint", victim, "acr_values", faceACR, "scope", "openid email profile", "code_challenge", challengeOf(verifier), "code_challenge_method", "S256")
		mine[client] = o.checked(o.redeem(code, "code_verifier", verifier))
		if o.userinfo(mine[client])["email"] != victim {
			t.Fatalf("the victim is not themselves at %s: %v", client, mine[client].claims)
		}
	}
	// notVictim holds an answer to being of somebody new.
	notVictim := func(t *testing.T, o *op, x tokens) {
		t.Helper()
		info := o.userinfo(x)
		nobody(t, x.claims, info)
		for client, v := range mine {
			if x.claims["sub"] == v.claims["sub"] {
				t.Errorf("the stranger has the victim's sub of %s", client)
			}
		}
		if all := str(x.claims) + str(info); strings.Contains(all, victim) || strings.Contains(all, "ERIKSSON") {
			t.Errorf("something of the victim's is told: %s", all)
		}
		if info["family_name"] != nil && info["family_name"] != "STRANGE" {
			t.Errorf("the claims of somebody else: %v", info)
		}
	}
	scope := "openid email profile identity_assurance"
	hints := map[string][]string{
		"login_hint":                       {"login_hint", victim},
		"login_hint in capitals":           {"login_hint", strings.ToUpper(victim)},
		"id_token_hint":                    {"id_token_hint", mine[basic].raw},
		"claims sub":                       {"claims", `{"userinfo":{"email":{"value":"` + victim + `"}}}`},
		"login_hint and level":             {"login_hint", victim, "acr_values", proofingACR},
		"login_hint that is an object":     {"login_hint", `{"sub":"` + victim + `"}`},
		"parameters that nobody defined":   {"username", victim, "email", victim, "sub", str(mine[basic].claims["sub"]), "user_identifier", victim},
		"login_hint beside somebody's own": {"login_hint", victim, "prompt", "login"},
	}
	for name, hint := range hints {
		t.Run("with a document, "+name, func(t *testing.T) {
			o := at(t, basic)
			o.p.Way = "document"
			x := o.tokens(append([]string{"scope", scope}, hint...)...)
			if !slices.Contains(o.p.Saw, "capture") {
				t.Fatalf("saw %v", o.p.Saw)
			}
			notVictim(t, o, x)
		})
	}
	t.Run("id_token_hint of another client", func(t *testing.T) {
		o := at(t, basic)
		o.p.Way = "document"
		got := o.ask("scope", scope, "id_token_hint", mine[foreign].raw)
		if got.Get("code") == "" { // refusing it is as good
			return
		}
		notVictim(t, o, o.checked(o.redeem(got.Get("code"))))
	})
	t.Run("the claims parameter names the victim's sub", func(t *testing.T) {
		o := at(t, basic)
		got := o.ask("scope", scope, "claims", `{"id_token":{"sub":{"value":"`+str(mine[basic].claims["sub"])+`"}}}`)
		if code := got.Get("code"); code != "" {
			if r := o.redeem(code); r.status == http.StatusOK {
				t.Errorf("tokens: %s", r.body)
			}
		}
	})

	// With the wrong face there is no code at all.
	for name, ask := range map[string][]string{
		"login_hint":              {"login_hint", victim, "acr_values", faceACR},
		"id_token_hint":           {"id_token_hint", mine[basic].raw, "acr_values", faceACR},
		"a name typed on a page":  {"acr_values", faceACR},
		"login_hint, no acr":      {"login_hint", victim},
		"login_hint, essential":   {"login_hint", victim, "claims", `{"id_token":{"acr":{"essential":true,"value":"` + faceACR + `"}}}`},
		"typed, level or nothing": {"login_hint", victim, "acr_values", "/assurance/ial/1"},
	} {
		t.Run("with the wrong face, "+name, func(t *testing.T) {
			o := at(t, basic)
			o.p.Way = "face"
			q := o.params(append([]string{"scope", "openid email profile"}, ask...)...)
			end := o.visit(q)
			if !slices.Contains(o.p.Saw, "authenticator") {
				t.Fatalf("saw %v, ended at %s: %s", o.p.Saw, end.URL, end.Text)
			}
			if !end.Home || end.Params().Get("code") != "" || end.Params().Get("error") == "" {
				t.Errorf("ended at %s", end.URL)
			}
			// Nor has the browser a session of anybody's now.
			o.p.Account = ""
			o.refusedWith("login_required", "prompt", "none")
		})
	}

	// A session of one's own does not become another's by asking.
	t.Run("from a session of one's own", func(t *testing.T) {
		o := at(t, basic)
		own := o.tokens("scope", scope)
		for name, hint := range hints {
			got := o.ask(append(append([]string{"scope", scope}, hint...), "prompt", "none")...)
			if code := got.Get("code"); code != "" {
				x := o.checked(o.redeem(code))
				notVictim(t, o, x)
				if x.claims["sub"] != own.claims["sub"] {
					t.Errorf("%s: sub %v, and the session is %v's", name, x.claims["sub"], own.claims["sub"])
				}
			} else if e := got.Get("error"); e != "login_required" && e != "interaction_required" && e != "invalid_request" {
				t.Errorf("%s: %s", name, e)
			}
		}
		got := o.ask("scope", scope, "prompt", "none", "id_token_hint", mine[basic].raw)
		if got.Get("error") != "login_required" {
			t.Errorf("prompt=none with the victim's token: %v", got)
		}
	})

	// What belongs to one browser or client is worth nothing in another's hands.
	t.Run("a code of another client", func(t *testing.T) {
		o := at(t, basic)
		code := o.code("scope", scope)
		thief := newOP(t, w, foreign, o.p)
		if r := thief.redeem(code); r.status < 400 || r.json["error"] != "invalid_grant" {
			t.Errorf("another client redeemed it: %d %s", r.status, r.body)
		}
	})
	t.Run("the end of another browser's run", func(t *testing.T) {
		o := at(t, basic)
		for _, path := range []string{"/continue", "/continue?id=1", "/who/1"} {
			end, err := o.p.Visit(soon(t), issuer(w)+path, elsewhere)
			if err != nil {
				t.Fatal(err)
			}
			if end.Home || end.Status < 400 {
				t.Errorf("%s led to %d %s", path, end.Status, end.URL)
			}
		}
	})
	t.Run("an essential level that nobody asserts", func(t *testing.T) {
		o := at(t, basic)
		o.p.Way = "document"
		o.refusedWith("unmet_authentication_requirements", "scope", scope, "claims", `{"id_token":{"acr":{"essential":true,"value":"/assurance/ial/2"}}}`)
		o = at(t, levelled)
		o.p.Way = "document"
		verifier := random() + random() + random()
		o.refusedWith("unmet_authentication_requirements", "scope", scope, "code_challenge", challengeOf(verifier), "code_challenge_method", "S256")
		// What the browser asks cannot lower what the client insists on.
		o.refusedWith("unmet_authentication_requirements", "acr_values", proofingACR, "scope", scope, "code_challenge", challengeOf(verifier), "code_challenge_method", "S256")
	})
	t.Run("a refusal is no open redirect", func(t *testing.T) {
		o := at(t, basic)
		for _, change := range [][]string{
			{"client_id", "nobody"}, {"client_id", "-"}, {"client_id", sp}, {"redirect_uri", "https://evil.example/"}, {"redirect_uri", "-"},
		} {
			o.stopped(o.params(change...))
		}
		q := o.params()
		q.Add("redirect_uri", "https://evil.example/")
		o.stopped(q)
		for _, bad := range []string{"https://evil.example/", "//evil.example", "https://rp.example/bye/more"} {
			end, err := o.p.Visit(soon(t), issuer(w)+"/logout?"+url.Values{"client_id": {basic}, "post_logout_redirect_uri": {bad}}.Encode(), "https://evil.example")
			if err != nil {
				t.Fatal(err)
			}
			if end.Home || end.Status < 400 {
				t.Errorf("logout led to %d %s", end.Status, end.URL)
			}
		}
	})
}
