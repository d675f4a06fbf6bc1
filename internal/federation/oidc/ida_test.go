package oidc_test

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/federation/oidc"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// schemaOf compiles one of testdata/schema, formats included.
func schemaOf(t testing.TB, name string) *jsonschema.Schema {
	t.Helper()
	b, err := os.ReadFile("testdata/schema/" + name)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(name, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// plainJSON is v as a reader of the token would see it.
func plainJSON(t testing.TB, v any) any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var idaNow = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// annaProofed is somebody whose passport was examined by 1Kosmos ten days ago, and who
// is nobody's account.
func annaProofed() *federation.Answer {
	at := idaNow.Add(-10 * 24 * time.Hour)
	return &federation.Answer{
		Session: "s1", Subject: "p1", Sub: "pairwise-1", Proofed: true, AuthTime: idaNow.Add(-time.Minute),
		ACR: federation.ACRIAL2, Met: true, AMR: []string{"doc"},
		IALLevel: "IAL2", IALSource: "1kosmos_session", IALExpiresAt: idaNow.Add(24 * time.Hour),
		Verification: proof.Verification{
			ID: "0193-v", Status: proof.Verified, IALLevel: "IAL2", IALSource: "1kosmos_session", FinishedAt: at,
		},
		Outcome: proof.Outcome{
			Framework: "nist_800_63A", At: at,
			Checks: []proof.Check{{Name: "face_compare", Outcome: proof.CheckPass}},
			Claims: proof.Claims{
				GivenName: "ANNA MARIA", FamilyName: "MUELLER", BirthDate: "1974-08-12", Gender: "female", Nationality: "UTO",
				DocumentType: proof.Passport, DocumentNumber: "L898902C3", IssuingCountry: "UTO", IssueDate: "2022-04-16", ExpiryDate: "2032-04-15",
			},
		},
	}
}

// engineProofed is the same with the embedded engine.
func engineProofed() *federation.Answer {
	a, no := annaProofed(), false
	a.IALLevel, a.IALSource, a.ACR = "", "", federation.ACRProofing
	a.Verification.IALLevel, a.Verification.IALSource = "", ""
	a.Outcome.Framework, a.Outcome.Assessed = "kosmoscope_engine", &no
	return a
}

func TestVerifiedClaimsAreSelected(t *testing.T) {
	result, request := schemaOf(t, "verified_claims.json"), schemaOf(t, "verified_claims_request.json")
	const given = `"claims":{"given_name":null}`
	const answer = `{"verification":{"trust_framework":"nist_800_63A"},"claims":{"given_name":"ANNA MARIA"}}`
	answered := func(verification string) string {
		return `{"verification":` + verification + `,"claims":{"given_name":"ANNA MARIA"}}`
	}
	for name, c := range map[string]struct {
		ask, want string
		who       *federation.Answer
	}{
		"one claim":           {ask: `{"verification":{"trust_framework":null},` + given + `}`, want: answer},
		"no verification":     {ask: `{` + given + `}`, want: answer},
		"empty verification":  {ask: `{"verification":{},` + given + `}`, want: answer},
		"no claims":           {ask: `{"verification":{"trust_framework":null},"claims":{}}`, want: `null`},
		"unknown claims":      {ask: `{"claims":{"given_name":null,"salary":null,"given_name#en":null}}`, want: answer},
		"only unknown claims": {ask: `{"claims":{"salary":{"essential":true}}}`, want: `null`},
		"several claims": {
			ask:  `{"claims":{"family_name":{"essential":true},"birthdate":null,"nationalities":null,"gender":{"purpose":"to greet"}}}`,
			want: `{"verification":{"trust_framework":"nist_800_63A"},"claims":{"family_name":"MUELLER","birthdate":"1974-08-12","nationalities":["UTO"],"gender":"female"}}`,
		},
		"a claim of another value is left out": {ask: `{"claims":{"given_name":null,"birthdate":{"value":"1975-01-01","essential":true}}}`, want: answer},
		"the only claim of another value":      {ask: `{"claims":{"birthdate":{"values":["1975-01-01","1976-01-01"]}}}`, want: `null`},
		"a claim of that value":                {ask: `{"claims":{"given_name":{"values":["EVE","ANNA MARIA"]}}}`, want: answer},
		"a claim that is a list":               {ask: `{"claims":{"given_name":null,"nationalities":{"value":["DEU"]}}}`, want: answer},

		"framework of that value":           {ask: `{"verification":{"trust_framework":{"value":"nist_800_63A"}},` + given + `}`, want: answer},
		"framework of those values":         {ask: `{"verification":{"trust_framework":{"values":["eidas","nist_800_63A"]}},` + given + `}`, want: answer},
		"another framework":                 {ask: `{"verification":{"trust_framework":{"value":"eidas"}},` + given + `}`, want: `null`},
		"other frameworks, as a mere wish":  {ask: `{"verification":{"trust_framework":{"values":["eidas"],"essential":false}},` + given + `}`, want: `null`},
		"essential alone insists on naught": {ask: `{"verification":{"verification_process":{"essential":true}},` + given + `}`, want: answer},
		"level": {
			ask:  `{"verification":{"assurance_level":{"value":"ial2"}},` + given + `}`,
			want: answered(`{"trust_framework":"nist_800_63A","assurance_level":"ial2"}`),
		},
		"a higher level":                       {ask: `{"verification":{"assurance_level":{"values":["ial3"]}},` + given + `}`, want: `null`},
		"a level that nobody asserts":          {ask: `{"verification":{"assurance_level":{"value":"ial2"}},` + given + `}`, want: `null`, who: engineProofed()},
		"a level that nobody asserts, if any":  {ask: `{"verification":{"assurance_level":null},` + given + `}`, want: answered(`{"trust_framework":"kosmoscope_engine"}`), who: engineProofed()},
		"our engine is not NIST's":             {ask: `{"verification":{"trust_framework":{"value":"nist_800_63A"}},` + given + `}`, want: `null`, who: engineProofed()},
		"assessed where it is asked for":       {ask: `{"verification":{"assessed":null},` + given + `}`, want: answered(`{"trust_framework":"kosmoscope_engine","assessed":false}`), who: engineProofed()},
		"what must be assessed is not told of": {ask: `{"verification":{"assessed":{"value":true}},` + given + `}`, want: `null`, who: engineProofed()},

		"time":                         {ask: `{"verification":{"time":null},` + given + `}`, want: answered(`{"trust_framework":"nist_800_63A","time":"2026-11-10T12:00:00Z"}`)},
		"young enough to the second":   {ask: `{"verification":{"time":{"max_age":864000}},` + given + `}`, want: answered(`{"trust_framework":"nist_800_63A","time":"2026-11-10T12:00:00Z"}`)},
		"too old by a second":          {ask: `{"verification":{"time":{"max_age":863999}},` + given + `}`, want: `null`},
		"max_age of what is no time":   {ask: `{"verification":{"trust_framework":{"max_age":9999999999}},` + given + `}`, want: `null`},
		"an unknown member":            {ask: `{"verification":{"assurance_process":{"policy":null}},` + given + `}`, want: answer},
		"an unknown member, insisted":  {ask: `{"verification":{"assurance_process":{"policy":{"value":"x"}}},` + given + `}`, want: `null`},
		"a verification process, that": {ask: `{"verification":{"verification_process":{"value":"x"}},` + given + `}`, want: `null`},
	} {
		t.Run(name, func(t *testing.T) {
			who := c.who
			if who == nil {
				who = annaProofed()
			}
			selects(t, request, result, who, c.ask, c.want)
		})
	}
}

// selects asks for verified_claims and compares what comes of it. Both have to be valid,
// and the journey through a code must change nothing.
func selects(t *testing.T, request, result *jsonschema.Schema, who *federation.Answer, ask, want string) {
	t.Helper()
	in, err := jsonschema.UnmarshalJSON(strings.NewReader(ask))
	if err != nil {
		t.Fatal(err)
	}
	if err := request.Validate(in); err != nil {
		t.Errorf("the request is not valid: %v", err)
	}
	c, err := oidc.ParseClaims(`{"id_token":{"verified_claims":` + ask + `}}`)
	if err == nil {
		c, err = c.Again()
	}
	if err != nil || !c.WantsProofing() {
		t.Fatal(err, c.WantsProofing())
	}
	got := plainJSON(t, c.Verified(who, idaNow))
	if got != nil {
		if err := result.Validate(got); err != nil {
			t.Errorf("the answer is not valid: %v", err)
		}
	}
	expected, err := jsonschema.UnmarshalJSON(strings.NewReader(want))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, expected) {
		b, _ := json.Marshal(got)
		t.Errorf("got  %s\nwant %s", b, want)
	}
}

func TestEvidenceIsFiltered(t *testing.T) {
	result, request := schemaOf(t, "verified_claims.json"), schemaOf(t, "verified_claims_request.json")
	for name, c := range map[string]struct{ evidence, want string }{
		"type alone":   {`[{"type":{"value":"document"}}]`, `[{"type":"document"}]`},
		"another type": {`[{"type":{"value":"vouch"}}]`, `-`},
		"either type":  {`[{"type":{"value":"vouch"}},{"type":{"value":"document"},"time":null}]`, `[{"type":"document","time":"2026-11-10T12:00:00Z"}]`},
		"type of document, of those": {
			`[{"type":{"value":"document"},"document_details":{"type":{"values":["idcard","passport"]}}}]`,
			`[{"type":"document","document_details":{"type":"passport"}}]`,
		},
		"another type of document": {`[{"type":{"value":"document"},"document_details":{"type":{"value":"idcard"}}}]`, `-`},
		"one or the other type of document": {
			`[{"type":{"value":"document"},"document_details":{"type":{"value":"idcard"}}},{"type":{"value":"document"},"document_details":{"type":{"value":"passport"},"document_number":null}}]`,
			`[{"type":"document","document_details":{"type":"passport","document_number":"L898902C3"}}]`,
		},
		"members of the document, and its type goes with them": {
			`[{"type":{"value":"document"},"document_details":{"date_of_expiry":null,"serial_number":null,"issuer":{"country_code":null,"name":null}}}]`,
			`[{"type":"document","document_details":{"type":"passport","date_of_expiry":"2032-04-15","issuer":{"country_code":"UTO"}}}]`,
		},
		"nothing of the issuer that is known": {
			`[{"type":{"value":"document"},"document_details":{"type":null,"issuer":{"name":null}}}]`,
			`[{"type":"document","document_details":{"type":"passport"}}]`,
		},
		"all of the document": {
			`[{"type":{"value":"document"},"document_details":null}]`,
			`[{"type":"document","document_details":{"type":"passport","document_number":"L898902C3","date_of_issuance":"2022-04-16","date_of_expiry":"2032-04-15","issuer":{"country_code":"UTO"}}}]`,
		},
		"a date is over with its last second": {
			`[{"type":{"value":"document"},"document_details":{"date_of_issuance":{"max_age":145022401}}}]`,
			`[{"type":"document","document_details":{"type":"passport","date_of_issuance":"2022-04-16"}}]`,
		},
		"a document issued too long ago": {`[{"type":{"value":"document"},"document_details":{"date_of_issuance":{"max_age":145022400}}}]`, `-`},
		"a document that did not expire": {
			`[{"type":{"value":"document"},"document_details":{"date_of_expiry":{"max_age":0}}}]`,
			`[{"type":"document","document_details":{"type":"passport","date_of_expiry":"2032-04-15"}}]`,
		},
		"checks":           {`[{"type":{"value":"document"},"check_details":[{"check_method":null}]}]`, `[{"type":"document","check_details":[{"check_method":"bvr"}]}]`},
		"all checks":       {`[{"type":{"value":"document"},"check_details":null}]`, `[{"type":"document","check_details":[{"check_method":"bvr"}]}]`},
		"a check":          {`[{"type":{"value":"document"},"check_details":[{"check_method":{"value":"vcrypt"}},{"check_method":{"value":"bvr"},"organization":null}]}]`, `[{"type":"document","check_details":[{"check_method":"bvr"}]}]`},
		"a check not made": {`[{"type":{"value":"document"},"check_details":[{"check_method":{"value":"vcrypt"}}]}]`, `-`},
		"a check by somebody": {
			`[{"type":{"value":"document"},"check_details":[{"check_method":null,"organization":{"value":"x"}}]}]`, `-`,
		},
		"what the drafts called it, insisted": {`[{"type":{"value":"document"},"document":{"type":{"value":"passport"}}}]`, `-`},
		"what the drafts called it":           {`[{"type":{"value":"document"},"method":null}]`, `[{"type":"document"}]`},
	} {
		t.Run(name, func(t *testing.T) {
			want := `null`
			if c.want != "-" {
				want = `{"verification":{"trust_framework":"nist_800_63A","evidence":` + c.want + `},"claims":{"birthdate":"1974-08-12"}}`
			}
			selects(t, request, result, annaProofed(), `{"verification":{"evidence":`+c.evidence+`},"claims":{"birthdate":null}}`, want)
		})
	}
}
