package oidc_test

import (
	"encoding/json"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/federation/oidc"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// The rule in okta.go, line by line.
func TestMatchingRule(t *testing.T) {
	t.Parallel()
	const no, fuzzy, exact = 0, 1, 2 // exact: also without fuzzy
	for _, c := range []struct {
		claim, want, has string
		match            int
	}{
		{"family_name", "Eriksson", "ERIKSSON", exact},
		{"family_name", "  eriksson ", "Eriksson", exact},
		{"family_name", "Eriksson", "ERIKSON", no},
		{"family_name", "Müller", "MUELLER", exact},
		{"family_name", "Mu\u0308ller", "MUELLER", exact},
		{"family_name", "Müller", "MULLER", fuzzy},
		{"family_name", "Muller", "MUELLER", fuzzy},
		{"family_name", "Muller", "MILLER", no},
		{"family_name", "Jørgensen", "JOERGENSEN", exact},
		{"family_name", "Åström", "AASTROEM", exact},
		{"family_name", "Weiß", "WEISS", exact},
		{"family_name", "Þórsson", "THORSSON", exact},
		{"family_name", "Nuñez", "NUNEZ", exact},
		{"family_name", "Łukasz", "LUKASZ", exact},
		{"family_name", "Ǆ", "DZ", exact},
		{"family_name", "O'Connor", "OCONNOR", exact},
		{"family_name", "O’Connor", "O'CONNOR", exact},
		{"family_name", "Smith-Jones", "SMITH JONES", exact},
		{"family_name", "Smith-Jones", "SMITHJONES", fuzzy},
		{"family_name", "van der Berg", "VANDERBERG", fuzzy},
		{"family_name", "Berg", "VAN DER BERG", no},
		{"family_name", "Jones Smith", "SMITH JONES", no},
		{"family_name", "Иванов", "ИВАНОВ", exact},
		{"family_name", "Иванов", "IVANOV", no},
		{"family_name", "नीता", "नता", no},
		{"family_name", "", "ERIKSSON", no},
		{"family_name", "'", "'", no},
		{"family_name", "Eriksson", "", no},
		{"given_name", "Anna", "ANNA", exact},
		{"given_name", "Anna", "ANNA MARIA", fuzzy},
		{"given_name", "Anna Maria", "ANNA MARIA", exact},
		{"given_name", "Maria", "ANNA MARIA", no},
		{"given_name", "Ann", "ANNA MARIA", no},
		{"given_name", "Anna Maria", "ANNA", no},
		{"given_name", "Jean-Pierre", "JEAN PIERRE MARIE", fuzzy},
		{"given_name", "Dan", "DANIEL", no},
		{"birthdate", "1974-08-12", "1974-08-12", exact},
		{"birthdate", "1974-08-13", "1974-08-12", no},
		{"birthdate", "12.08.1974", "12.08.1974", no},
		{"birthdate", "", "", no},
	} {
		if got := oidc.SameName(c.claim, c.want, c.has, true); got != (c.match != no) {
			t.Errorf("%s %q and %q: %t with fuzzy", c.claim, c.want, c.has, got)
		}
		if got := oidc.SameName(c.claim, c.want, c.has, false); got != (c.match == exact) {
			t.Errorf("%s %q and %q: %t without fuzzy", c.claim, c.want, c.has, got)
		}
	}
}

func TestOktaVerdict(t *testing.T) {
	t.Parallel()
	// As Okta's guide has it, with everything that an administrator may map.
	const everything = `"given_name":{"value":"Anna","fuzzy":true},"family_name":{"value":"Müller","fuzzy":true},"middle_name":{"value":"M","fuzzy":true},` +
		`"email":{"value":"anna@example.com","fuzzy":true},"birthdate":{"value":"1974-08-12","fuzzy":true},"phone_number":{"value":"+15550100","fuzzy":true},` +
		`"address":{"street_address":{"value":"1 Main St","fuzzy":true},"country":{"value":"Utopia","fuzzy":true}}`
	names := func(more string) string {
		return `"given_name":{"value":"Anna Maria"},"family_name":{"value":"Mueller","fuzzy":false}` + more
	}
	for name, c := range map[string]struct {
		claims, want string // claims of the answer; with another level if it begins with !
		who          func(*federation.Answer)
	}{
		"everything":                  {everything, `{"birthdate":"MATCHED","family_name":"MATCHED","given_name":"MATCHED","middle_name":"MATCHED"}`, nil},
		"names":                       {names(``), `{"family_name":"MATCHED","given_name":"MATCHED"}`, nil},
		"another birth date":          {names(`,"birthdate":{"value":"1974-08-13"}`), `!{"birthdate":null,"family_name":"MATCHED","given_name":"MATCHED"}`, nil},
		"another name":                {`"given_name":{"value":"Eve"},"family_name":{"value":"Müller"}`, `!{"family_name":"MATCHED","given_name":null}`, nil},
		"without fuzzy, in both ways": {`"given_name":{"value":"Anna","fuzzy":"false"},"family_name":{"value":"Müller","fuzzy":false}`, `!{"family_name":"MATCHED","given_name":null}`, nil},
		"two given names without fuzzy": {
			`"given_name":{"value":"Anna","fuzzy":false},"middle_name":{"value":"Maria","fuzzy":false},"family_name":{"value":"Müller"}`,
			`{"family_name":"MATCHED","given_name":"MATCHED","middle_name":"MATCHED"}`, nil,
		},
		"another middle name":          {`"given_name":{"value":"Anna"},"middle_name":{"value":"Lea"},"family_name":{"value":"Müller"}`, `!{"family_name":"MATCHED","given_name":"MATCHED","middle_name":null}`, nil},
		"an initial without fuzzy":     {`"given_name":{"value":"Anna"},"middle_name":{"value":"M","fuzzy":false},"family_name":{"value":"Müller"}`, `!{"family_name":"MATCHED","given_name":"MATCHED","middle_name":null}`, nil},
		"a given name alone":           {`"given_name":{"value":"Anna"}`, `!{"given_name":"MATCHED"}`, nil},
		"a name without a value":       {`"given_name":{"value":"Anna"},"family_name":null`, `!{"given_name":"MATCHED"}`, nil},
		"nothing":                      {``, `!{}`, nil},
		"a value that is no text":      {names(`,"birthdate":{"value":19740812}`), `!{"birthdate":null,"family_name":"MATCHED","given_name":"MATCHED"}`, nil},
		"an address that is essential": {names(`,"address":{"essential":true}`), `!{"family_name":"MATCHED","given_name":"MATCHED"}`, nil},
		"a claim nobody knows":         {names(`,"bithdate":{"value":"1"}`), `{"family_name":"MATCHED","given_name":"MATCHED"}`, nil},
		"a claim that it may not see": {
			names(`,"birthdate":{"value":"1974-08-12"}`), `!{"birthdate":null,"family_name":"MATCHED","given_name":"MATCHED"}`,
			func(a *federation.Answer) { a.Outcome.Claims.BirthDate = "" },
		},
		"not verified":        {names(``), `!{"family_name":null,"given_name":null}`, func(a *federation.Answer) { a.Verification.Status = proof.Failed }},
		"not in this session": {names(``), `!{"family_name":null,"given_name":null}`, func(a *federation.Answer) { a.Proofed, a.Matched = false, true }},
	} {
		t.Run(name, func(t *testing.T) {
			a := annaProofed()
			if c.who != nil {
				c.who(a)
			}
			id, err := oidc.IDToken(tokenFor(a, federation.ProfileOkta, `{"id_token":{"verified_claims":[{"verification":{"trust_framework":{"value":"IDV-DELEGATED","essential":true},`+
				`"assurance_level":{"value":"VERIFIED","essential":true}},"claims":{`+c.claims+`}}]}}`, "profile", "identity_assurance"))
			if err != nil {
				t.Fatal(err)
			}
			level := "VERIFIED"
			if c.want[0] == '!' {
				level, c.want = "FAILED", c.want[1:]
			}
			got, err := json.Marshal(id["verified_claims"])
			want := `[{"claims":` + c.want + `,"verification":{"assurance_level":"` + level + `","time":"2026-11-10T12:00:00Z","trust_framework":"IDV-DELEGATED","verification_process":"0193-v"}}]`
			if err != nil || string(got) != want {
				t.Errorf("got  %s (%v)\nwant %s", got, err, want)
			}
			if id["given_name"] != nil || id["sub"] != "pairwise-1" {
				t.Error("more than a verdict", id)
			}
		})
	}
}

func TestOktaFramework(t *testing.T) {
	t.Parallel()
	for framework, want := range map[string]any{
		`{"value":"IDV_DELEGATED"}`: "IDV_DELEGATED", `{"values":["eidas","IDV-DELEGATED"]}`: "IDV-DELEGATED", `null`: "IDV-DELEGATED", `{"value":"eidas"}`: nil,
	} {
		claims := `{"id_token":{"verified_claims":{"verification":{"trust_framework":` + framework + `},"claims":{"given_name":{"value":"Anna"}}}}}`
		id, err := oidc.IDToken(tokenFor(annaProofed(), federation.ProfileOkta, claims))
		if err != nil {
			t.Fatal(err)
		}
		list, _ := id["verified_claims"].([]any)
		if (want == nil) != (id["verified_claims"] == nil) || want != nil && list[0].(map[string]any)["verification"].(map[string]any)["trust_framework"] != want {
			t.Errorf("%s: %v", framework, id["verified_claims"])
		}
		// No other client is ever told so.
		id, err = oidc.IDToken(tokenFor(annaProofed(), federation.ProfileNone, claims))
		if err != nil || framework != "null" && id["verified_claims"] != nil {
			t.Error(id["verified_claims"], err)
		}
	}
}
