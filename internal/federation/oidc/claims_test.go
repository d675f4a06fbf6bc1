package oidc_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/federation/oidc"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

func TestClaimsParameter(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string]string{
		"no JSON":                    `{"id_token":`,
		"more behind it":             `{} {}`,
		"no object":                  `[]`,
		"a text":                     `"id_token"`,
		"null":                       `null`,
		"a section that is none":     `{"id_token":["acr"]}`,
		"a claim that is a text":     `{"userinfo":{"email":"me@example.com"}}`,
		"a claim that is a list":     `{"userinfo":{"email":[]}}`,
		"essential that is none":     `{"id_token":{"acr":{"essential":"yes"}}}`,
		"values that are none":       `{"id_token":{"acr":{"values":"x"}}}`,
		"values without any":         `{"id_token":{"acr":{"values":[]}}}`,
		"value and values":           `{"id_token":{"acr":{"value":"x","values":["x"]}}}`,
		"an acr that is no text":     `{"id_token":{"acr":{"value":2}}}`,
		"an acr that is empty":       `{"id_token":{"acr":{"values":["x",""]}}}`,
		"a sub that is no text":      `{"id_token":{"sub":{"value":{}}}}`,
		"max_age below zero":         `{"id_token":{"birthdate":{"max_age":-1}}}`,
		"max_age that is a text":     `{"id_token":{"birthdate":{"max_age":"1"}}}`,
		"max_age out of this world":  `{"id_token":{"birthdate":{"max_age":1e999}}}`,
		"verified_claims null":       `{"id_token":{"verified_claims":null}}`,
		"verified_claims a text":     `{"id_token":{"verified_claims":"all"}}`,
		"verified_claims none":       `{"id_token":{"verified_claims":[]}}`,
		"verified_claims of a text":  `{"id_token":{"verified_claims":["all"]}}`,
		"too many verified_claims":   `{"id_token":{"verified_claims":[` + strings.Repeat(`{"claims":{}},`, 8) + `{"claims":{}}]}}`,
		"without claims":             `{"id_token":{"verified_claims":{"verification":{"trust_framework":null}}}}`,
		"claims null":                `{"id_token":{"verified_claims":{"claims":null}}}`,
		"a verified claim as a text": `{"id_token":{"verified_claims":{"claims":{"given_name":"Anna"}}}}`,
		"a verification as a text":   `{"id_token":{"verified_claims":{"verification":"x","claims":{}}}}`,
		"a framework as a text":      `{"id_token":{"verified_claims":{"verification":{"trust_framework":"x"},"claims":{}}}}`,
		"evidence null":              `{"id_token":{"verified_claims":{"verification":{"evidence":null},"claims":{}}}}`,
		"evidence none":              `{"id_token":{"verified_claims":{"verification":{"evidence":[]},"claims":{}}}}`,
		"evidence of a text":         `{"id_token":{"verified_claims":{"verification":{"evidence":["document"]},"claims":{}}}}`,
		"evidence without a type":    `{"id_token":{"verified_claims":{"verification":{"evidence":[{"time":null}]},"claims":{}}}}`,
		"evidence of any type":       `{"id_token":{"verified_claims":{"verification":{"evidence":[{"type":null}]},"claims":{}}}}`,
		"evidence of some types":     `{"id_token":{"verified_claims":{"verification":{"evidence":[{"type":{"values":["document"]}}]},"claims":{}}}}`,
		"checks as an object":        `{"id_token":{"verified_claims":{"verification":{"evidence":[{"type":{"value":"document"},"check_details":{}}]},"claims":{}}}}`,
		"a document as a list":       `{"id_token":{"verified_claims":{"verification":{"evidence":[{"type":{"value":"document"},"document_details":[]}]},"claims":{}}}}`,
		"an issuer's name as a text": `{"id_token":{"verified_claims":{"verification":{"evidence":[{"type":{"value":"document"},"document_details":{"issuer":{"name":"x"}}}]},"claims":{}}}}`,
		"nested too deep":            `{"id_token":{"x":{"value":` + strings.Repeat("[", 11) + strings.Repeat("]", 11) + `}}}`,
		"no UTF-8":                   "{\"id_token\":{\"\xff\":null}}",
		"longer than 8 KB":           `{"id_token":{"` + strings.Repeat("x", 8<<10) + `":null}}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := oidc.ParseClaims(raw)
			e, ok := err.(*proof.Error)
			if !ok || e.Code != proof.CodeInvalid || e.Field != "claims" || strings.Contains(e.Message, "given_name") {
				t.Errorf("%v", err)
			}
		})
	}

	for name, raw := range map[string]string{
		"nothing": ``, "empty": `{}`, "sections that are null": `{"id_token":null,"userinfo":null}`, "unknown": `{"access_token":7,"id_token":{}}`,
	} {
		if c, err := oidc.ParseClaims(raw); err != nil || c.Compact() != nil || c.WantsProofing() || c.Sub() != "" || c.AuthTime() {
			t.Errorf("%s: %v %s", name, err, c.Compact())
		}
	}
	c, err := oidc.ParseClaims(` { "access_token" : {} , "userinfo": {"verified_claims": {"claims": {"x<y": null}}, "sub": {"value": "p2"}},
		"id_token": {"acr": {"essential": true, "values": ["/assurance/ial/2/", "urn:kosmoscope:acr:liveid"]}, "amr": {"value": "face"}, "auth_time": {"essential": true}}}`)
	if err == nil {
		c, err = c.Again()
	}
	if err != nil {
		t.Fatal(err)
	}
	values, essential := c.ACR()
	if !slices.Equal(values, []string{"/assurance/ial/2/", "urn:kosmoscope:acr:liveid"}) || !essential || !slices.Equal(c.AMR(), []string{"face"}) ||
		c.Sub() != "p2" || !c.AuthTime() || !c.WantsProofing() {
		t.Error(values, essential, c.AMR(), c.Sub(), c.AuthTime(), c.WantsProofing())
	}
	if s := string(c.Compact()); strings.ContainsAny(s, " \n") || strings.Contains(s, "access_token") || !strings.Contains(s, "x<y") {
		t.Error(s)
	}
	// An essential acr without a value insists on nothing (Core 5.5.1.1).
	if c, err = oidc.ParseClaims(`{"id_token":{"acr":{"essential":true}}}`); err != nil {
		t.Fatal(err)
	} else if values, essential := c.ACR(); len(values) > 0 || essential {
		t.Error(values, essential)
	}
}

// Alternatives are answered each by itself, with an array, even if one is left.
func TestAlternatives(t *testing.T) {
	t.Parallel()
	result, request := schemaOf(t, "verified_claims.json"), schemaOf(t, "verified_claims_request.json")
	eidas := `{"verification":{"trust_framework":{"value":"eidas"}},"claims":{"given_name":null}}`
	nist := `{"verification":{"trust_framework":{"value":"nist_800_63A"}},"claims":{"family_name":null}}`
	any := `{"claims":{"birthdate":null}}`
	gotNIST := `{"verification":{"trust_framework":"nist_800_63A"},"claims":{"family_name":"MUELLER"}}`
	gotAny := `{"verification":{"trust_framework":"nist_800_63A"},"claims":{"birthdate":"1974-08-12"}}`
	selects(t, request, result, annaProofed(), `[`+eidas+`,`+nist+`,`+any+`]`, `[`+gotNIST+`,`+gotAny+`]`)
	selects(t, request, result, annaProofed(), `[`+eidas+`,`+nist+`]`, `[`+gotNIST+`]`)
	selects(t, request, result, annaProofed(), `[`+eidas+`]`, `null`)
}

// Verified claims are those of the person in this session, and of a proof that stands.
func TestNobodysClaims(t *testing.T) {
	t.Parallel()
	result, request := schemaOf(t, "verified_claims.json"), schemaOf(t, "verified_claims_request.json")
	for name, change := range map[string]func(*federation.Answer){
		"neither proofed nor matched": func(a *federation.Answer) { a.Proofed = false },
		"failed":                      func(a *federation.Answer) { a.Verification.Status = proof.Failed },
		"gone":                        func(a *federation.Answer) { a.Verification = proof.Verification{} },
		"no framework":                func(a *federation.Answer) { a.Outcome.Framework = "" },
		"nothing that may be seen":    func(a *federation.Answer) { a.Outcome.Claims = proof.Claims{} },
	} {
		t.Run(name, func(t *testing.T) {
			a := annaProofed()
			change(a)
			selects(t, request, result, a, `{"claims":{"given_name":null}}`, `null`)
		})
	}
}

// The schemas must be able to fail.
func TestSchemasFail(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string][]string{
		"verified_claims.json": {
			`null`, `{}`, `[]`, `{"verification":{},"claims":{"given_name":"A"}}`, `{"verification":{"trust_framework":"x"},"claims":{}}`,
			`{"verification":{"trust_framework":"x"},"claims":{"birthdate":"1974-13-12"}}`, `{"verification":{"trust_framework":"x","time":"now"},"claims":{"gender":"x"}}`,
			`{"verification":{"trust_framework":"x","evidence":[{}]},"claims":{"gender":"x"}}`, `{"verification":{"trust_framework":"x","evidence":[]},"claims":{"gender":"x"}}`,
			`{"verification":{"trust_framework":"x","evidence":[{"type":"document","document_details":{}}]},"claims":{"gender":"x"}}`,
			`{"verification":{"trust_framework":"x"},"claims":{"email":"a@b.example"}}`, `{"verification":{"trust_framework":null},"claims":{"gender":"x"}}`,
		},
		"verified_claims_request.json": {
			`null`, `[]`, `{}`, `{"claims":{"given_name":"A"}}`, `{"claims":{"given_name":{"essential":1}}}`, `{"claims":{},"verification":{"evidence":[{}]}}`,
			`{"claims":{},"verification":{"time":{"max_age":-1}}}`, `{"claims":{"x":{"value":1,"values":[1]}}}`,
		},
	} {
		s := schemaOf(t, name)
		for _, b := range bad {
			v, err := jsonschema.UnmarshalJSON(strings.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			if s.Validate(v) == nil {
				t.Errorf("%s accepts %s", name, b)
			}
		}
	}
}

// FuzzClaims: what parses is valid by the schema of requests, survives the way through
// a code, and is answered alike before and after, by something valid.
func FuzzClaims(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"id_token":{"acr":{"essential":true,"values":["/assurance/ial/2"]},"sub":{"value":"x"}}}`,
		`{"id_token":{"verified_claims":{"verification":{"trust_framework":null,"time":{"max_age":63113852}},"claims":{"given_name":null,"birthdate":{"value":"1974-08-12"}}}}}`,
		`{"id_token":{"verified_claims":[{"verification":{"trust_framework":{"values":["nist_800_63A"]},"evidence":[{"type":{"value":"document"},"check_details":[{"check_method":null}],` +
			`"document_details":{"type":{"values":["passport"]},"issuer":{"country_code":null},"date_of_expiry":{"max_age":0}}}]},"claims":{"nationalities":{"value":["UTO"]}}},{"claims":{"gender":null}}]}}`,
		`{"id_token":{"verified_claims":{"verification":{"evidence":[{"type":{"value":"document"},"document_details":{"value":{},"essential":{}}}]},"claims":{"family_name":{"fuzzy":"false"}}}}}`,
		"{\"id_token\":{\"\u2028<\":{\"value\":1e300}}}",
	} {
		f.Add(seed)
	}
	result, request := schemaOf(f, "verified_claims.json"), schemaOf(f, "verified_claims_request.json")
	f.Fuzz(func(t *testing.T, raw string) {
		c, err := oidc.ParseClaims(raw)
		if err != nil {
			if proof.CodeOf(err) != proof.CodeInvalid {
				t.Fatal(err)
			}
			return
		}
		var top struct {
			IDToken struct {
				Verified json.RawMessage `json:"verified_claims"`
			} `json:"id_token"`
		}
		compact := c.Compact()
		if len(compact) > 0 && json.Unmarshal(compact, &top) != nil {
			t.Fatalf("cannot be read: %s", compact)
		}
		if v := top.IDToken.Verified; len(v) > 0 {
			in, err := jsonschema.UnmarshalJSON(bytes.NewReader(v))
			if err != nil {
				t.Fatal(err)
			}
			if err := request.Validate(in); err != nil {
				t.Errorf("%s: %v", v, err)
			}
		}
		again, err := c.Again()
		if err != nil || !bytes.Equal(again.Compact(), compact) {
			t.Fatalf("%v: %s became %s", err, compact, again.Compact())
		}
		for _, a := range []*federation.Answer{annaProofed(), engineProofed(), {}} {
			v := c.Verified(a, idaNow)
			if !reflect.DeepEqual(v, again.Verified(a, idaNow)) {
				t.Error("another answer after the way through a code")
			}
			if v == nil {
				continue
			}
			if err := result.Validate(plainJSON(t, v)); err != nil {
				t.Errorf("%s: %v", compact, err)
			}
		}
		for _, profile := range []federation.Profile{federation.ProfileNone, federation.ProfileOkta} {
			in := oidc.Input{
				Client: &federation.Client{ID: "rp", Profile: profile}, Claims: raw, Scope: []string{"openid", "profile"}, Answer: annaProofed(),
				Issuer: "https://id.example.com", Now: idaNow, TTL: 1 << 40,
			}
			for _, make := range []func(oidc.Input) (map[string]any, error){oidc.IDToken, oidc.UserInfo} {
				out, err := make(in)
				if err != nil && proof.CodeOf(err) != proof.CodeLoginRequired {
					t.Error(err)
				}
				if err == nil && (out["sub"] != "pairwise-1" || out["email"] != nil || out["preferred_username"] != nil || out["user_identifier"] != nil) {
					t.Error(out)
				}
			}
		}
	})
}
