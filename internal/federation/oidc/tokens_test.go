package oidc_test

import (
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/federation/oidc"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// annaMatched is the account anna@example.com, whose face was matched a minute ago.
func annaMatched() *federation.Answer {
	return &federation.Answer{
		Session: "s2", Subject: "p2", Sub: "pairwise-2", Matched: true, AuthTime: idaNow.Add(-time.Minute),
		Identifier: "anna@example.com", ACR: federation.ACRFace, Met: true, AMR: []string{"face"},
		IALLevel: "IAL2", IALSource: "1kosmos_ial",
	}
}

func tokenFor(a *federation.Answer, profile federation.Profile, claims string, scope ...string) oidc.Input {
	return oidc.Input{
		Client: &federation.Client{ID: "rp", Profile: profile}, Claims: claims, Scope: append([]string{"openid"}, scope...), Answer: a,
		Issuer: "https://id.example.com/federation/t1", Now: idaNow, TTL: 5 * time.Minute,
	}
}

// told makes both and fails on any error.
func told(t *testing.T, in oidc.Input) (id, info map[string]any) {
	t.Helper()
	id, err := oidc.IDToken(in)
	if err != nil {
		t.Fatal(err)
	}
	if info, err = oidc.UserInfo(in); err != nil {
		t.Fatal(err)
	}
	return id, info
}

func names(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

func TestIDTokenOfAMatch(t *testing.T) {
	t.Parallel()
	in := tokenFor(annaMatched(), federation.ProfileNone, "")
	// RFC 7515's example of a token is as good as any; its half hash is from openssl.
	in.Nonce, in.AccessToken = "n-0S6_WzA2Mj", "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"
	id, info := told(t, in)
	want := map[string]any{
		"iss": "https://id.example.com/federation/t1", "aud": "rp", "sub": "pairwise-2", "sid": "s2", "nonce": "n-0S6_WzA2Mj",
		"iat": idaNow.Unix(), "exp": idaNow.Unix() + 300, "auth_time": idaNow.Unix() - 60,
		"acr": federation.ACRFace, "amr": []string{"face"}, "at_hash": "77QmUPtjPfzWtF2AnpK9RQ",
	}
	if !reflect.DeepEqual(id, want) {
		t.Errorf("%v", id)
	}
	// openid alone learns how sure we are, and of nobody in particular.
	if got := names(info); !slices.Equal(got, []string{"acr", "auth_time", "face_matched", "ial_level", "ial_source", "idv_status", "sub"}) {
		t.Error(got)
	}
	if info["idv_status"] != "none" || info["face_matched"] != true || info["ial_level"] != "IAL2" || info["auth_time"] != idaNow.Unix()-60 {
		t.Error(info)
	}

	in.Scope, in.AccessToken, in.Nonce = []string{"openid", "profile", "email"}, "", ""
	id, info = told(t, in)
	for _, n := range []string{"at_hash", "nonce", "azp", "email", "verified_claims"} {
		if _, has := id[n]; has {
			t.Errorf("ID token has %s", n)
		}
	}
	if info["preferred_username"] != "anna@example.com" || info["email"] != "anna@example.com" || info["email_verified"] != true || info["user_identifier"] != "anna@example.com" {
		t.Error(info)
	}
	if id["user_identifier"] != "anna@example.com" || id["auth_time"] != idaNow.Unix()-60 {
		t.Error(id)
	}

	a := annaMatched()
	for _, other := range []string{"anna", "anna@localhost", `"a b"@example.com`, "Anna <anna@example.com>", "änna@example.com", "anna@exämple.com", "a@b@example.com", "anna@[192.0.2.1]", "+4912345"} {
		a.Identifier = other
		_, info = told(t, tokenFor(a, federation.ProfileNone, `{"userinfo":{"email":null}}`, "profile", "email"))
		if _, has := info["email"]; has || info["email_verified"] != nil || info["preferred_username"] != other {
			t.Errorf("%s: %v", other, info)
		}
	}
}

// A stranger with a valid passport and a victim's hint is somebody, and nobody's
// account: not by any scope, claim or profile.
func TestAStrangerIsNobodysAccount(t *testing.T) {
	t.Parallel()
	const victim = "victim@example.com"
	ask := `{"id_token":{"email":{"essential":true},"email_verified":{"value":true},"preferred_username":{"value":"victim@example.com"},"user_identifier":null,` +
		`"sid":{"value":"x"},"iss":{"value":"x"},"sub":null,"verified_claims":{"claims":{"email":{"value":"victim@example.com"},"given_name":null}}},` +
		`"userinfo":{"email":{"value":"victim@example.com"},"preferred_username":null,"user_identifier":null}}`
	for _, profile := range []federation.Profile{federation.ProfileNone, federation.ProfileDescope, federation.ProfileOkta, federation.ProfileEntra} {
		a := annaProofed()
		a.Identifier = victim // even if somebody in front of us makes this mistake
		in := tokenFor(a, profile, ask, "profile", "email", "phone", "identity_assurance", "offline_access")
		in.Hint = victim
		id, info := told(t, in)
		for _, out := range []map[string]any{id, info} {
			for name, v := range out {
				if s, ok := v.(string); ok && s == victim || slices.Contains([]string{"email", "email_verified", "preferred_username", "user_identifier"}, name) {
					t.Errorf("%s: %s is %v", profile, name, v)
				}
			}
			if out["sub"] != "pairwise-1" || out["face_matched"] == true {
				t.Errorf("%s: %v", profile, out)
			}
		}
		// The implicit answer for Entra is not given at all.
		in.ResponseType = "id_token"
		for _, hint := range []string{victim, `{"u":"victim@example.com","s":"theirs"}`, oidc.EntraKeep(victim, "theirs")} {
			in.Hint = hint
			out, err := oidc.IDToken(in)
			if profile == federation.ProfileEntra && proof.CodeOf(err) != proof.CodeUnmet || out["sub"] == "theirs" {
				t.Errorf("%s: %v %v", profile, out, err)
			}
		}
	}
}

func TestClaimsByScope(t *testing.T) {
	t.Parallel()
	person := []string{"birthdate", "document_country", "document_type", "family_name", "given_name", "name"}
	for _, c := range []struct {
		profile  federation.Profile
		scope    []string
		id, info []string // of the claims about the person
	}{
		{federation.ProfileNone, nil, nil, nil},
		{federation.ProfileNone, []string{"email"}, nil, nil},
		{federation.ProfileNone, []string{"profile"}, person, append([]string{"gender"}, person...)},
		{federation.ProfileNone, []string{"identity_assurance"}, nil, append([]string{"verified_claims"}, person...)},
		{federation.ProfileDescope, nil, person, person},
	} {
		id, info := told(t, tokenFor(annaProofed(), c.profile, "", c.scope...))
		for what, x := range map[string]struct {
			got  map[string]any
			want []string
		}{"ID token": {id, c.id}, "userinfo": {info, c.info}} {
			var got []string
			for _, n := range append([]string{"gender", "verified_claims", "email"}, person...) {
				if _, has := x.got[n]; has {
					got = append(got, n)
				}
			}
			slices.Sort(got)
			if want := slices.Sorted(slices.Values(x.want)); !slices.Equal(got, want) {
				t.Errorf("%s %v: %s has %v, not %v", c.profile, c.scope, what, got, want)
			}
		}
	}
	// The scope alone gives the whole element, as door A has it.
	_, info := told(t, tokenFor(engineProofed(), federation.ProfileNone, "", "identity_assurance"))
	if err := schemaOf(t, "verified_claims.json").Validate(plainJSON(t, info["verified_claims"])); err != nil {
		t.Error(err)
	}
	v := info["verified_claims"].(map[string]any)["verification"].(map[string]any)
	if v["trust_framework"] != "kosmoscope_engine" || v["assessed"] != false || v["assurance_level"] != nil || v["evidence"] == nil {
		t.Error(v)
	}
	// Asked for in one place, it is told in that place.
	id, info := told(t, tokenFor(annaProofed(), federation.ProfileNone, `{"id_token":{"verified_claims":{"claims":{"gender":null}}}}`, "identity_assurance"))
	if id["verified_claims"] == nil || info["verified_claims"] != nil {
		t.Error(id["verified_claims"], info["verified_claims"])
	}
	id, info = told(t, tokenFor(annaProofed(), federation.ProfileNone, `{"userinfo":{"verified_claims":[{"claims":{"gender":null}}]}}`))
	if _, list := info["verified_claims"].([]any); id["verified_claims"] != nil || !list {
		t.Error(id["verified_claims"], info["verified_claims"])
	}
}

func TestSingleClaims(t *testing.T) {
	t.Parallel()
	id, info := told(t, tokenFor(annaProofed(), federation.ProfileNone,
		`{"id_token":{"given_name":{"essential":true},"birthdate":{"value":"1999-01-01","essential":true},"ial_level":{"values":["IAL2","IAL3"]},"salary":null},"userinfo":{"nationality":null}}`))
	if id["given_name"] != "ANNA MARIA" || id["birthdate"] != nil || id["ial_level"] != "IAL2" || info["nationality"] != "UTO" || info["given_name"] != nil {
		t.Error(id, info)
	}
	// What the claims parameter says of a subject binds.
	in := tokenFor(annaProofed(), federation.ProfileNone, `{"id_token":{"sub":{"value":"pairwise-2"}}}`)
	if _, err := oidc.IDToken(in); proof.CodeOf(err) != proof.CodeLoginRequired {
		t.Error(err)
	}
	if _, err := oidc.UserInfo(in); proof.CodeOf(err) != proof.CodeLoginRequired {
		t.Error(err)
	}
	told(t, tokenFor(annaProofed(), federation.ProfileNone, `{"userinfo":{"sub":{"value":"pairwise-1"}}}`))
}

func TestACR(t *testing.T) {
	t.Parallel()
	a := annaProofed()
	a.ACR, a.Met, a.AMR, a.Session = "", false, nil, ""
	id, info := told(t, tokenFor(a, federation.ProfileNone, ""))
	for _, n := range []string{"acr", "amr", "sid"} {
		if id[n] != nil || info[n] != nil {
			t.Errorf("%s is made up", n)
		}
	}
	// A voluntary one that is not met: what holds instead.
	a.ACR, a.AMR = federation.ACRProofing, []string{"doc"}
	id, _ = told(t, tokenFor(a, federation.ProfileNone, `{"id_token":{"acr":{"value":"/assurance/ial/3"}}}`))
	if id["acr"] != federation.ACRProofing {
		t.Error(id)
	}
}

// Nothing incomplete is signed.
func TestNoTokenAboutNobody(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*oidc.Input){
		"no subject":   func(in *oidc.Input) { in.Answer.Sub = "" },
		"no answer":    func(in *oidc.Input) { in.Answer = nil },
		"no client":    func(in *oidc.Input) { in.Client = nil },
		"no issuer":    func(in *oidc.Input) { in.Issuer = "" },
		"no auth_time": func(in *oidc.Input) { in.Answer.AuthTime = time.Time{} },
		"no end":       func(in *oidc.Input) { in.TTL = 0 },
	} {
		in := tokenFor(annaMatched(), federation.ProfileNone, "")
		change(&in)
		if out, err := oidc.IDToken(in); err == nil || out != nil {
			t.Errorf("%s: %v", name, out)
		}
	}
}
