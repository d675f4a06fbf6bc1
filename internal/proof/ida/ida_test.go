package ida_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/proof/ida"
)

func TestOf(t *testing.T) {
	no := false
	at := time.Date(2026, 11, 2, 9, 30, 0, 500, time.FixedZone("", 3600))
	anna := proof.Claims{GivenName: "ANNA", FamilyName: "ERIKSSON", BirthDate: "1974-08-12", Nationality: "D", IssuingCountry: "Utopia"}
	with := func(change func(*proof.Claims)) proof.Claims { c := anna; change(&c); return c }
	passed := func(names ...string) (out []proof.Check) {
		for _, n := range names {
			out = append(out, proof.Check{Name: n, Outcome: proof.CheckPass})
		}
		return out
	}
	verified := proof.Verification{Status: proof.Verified, IALLevel: "IAL2", IALSource: "1kosmos_session"}

	for name, c := range map[string]struct {
		v    proof.Verification
		o    proof.Outcome
		want string
	}{
		"not verified": {proof.Verification{Status: proof.Failed}, proof.Outcome{Framework: "x", Claims: anna}, `null`},
		"no framework": {verified, proof.Outcome{Claims: anna}, `null`},
		"no claims":    {verified, proof.Outcome{Framework: "x", Claims: proof.Claims{DocumentType: proof.Passport, BirthDate: "12.8.74"}}, `null`},
		"NIST where 1Kosmos says so of this session": {
			verified, proof.Outcome{Framework: ida.NIST80063A, Claims: proof.Claims{GivenName: "ANNA"}},
			`{"verification":{"trust_framework":"nist_800_63A","assurance_level":"ial2"},"claims":{"given_name":"ANNA"}}`,
		},
		"no level where it says so of the user": {
			proof.Verification{Status: proof.Verified, IALLevel: "IAL2", IALSource: "1kosmos_ial"},
			proof.Outcome{Framework: ida.NIST80063A, Claims: proof.Claims{GivenName: "ANNA"}},
			`{"verification":{"trust_framework":"nist_800_63A"},"claims":{"given_name":"ANNA"}}`,
		},
		"the engine says that nobody assessed it, and has no level": {
			verified, proof.Outcome{Framework: "own", Assessed: &no, At: at, Claims: with(func(c *proof.Claims) { c.Nationality = "Utopia" })},
			`{"verification":{"trust_framework":"own","time":"2026-11-02T08:30:00Z","assessed":false},` +
				`"claims":{"given_name":"ANNA","family_name":"ERIKSSON","birthdate":"1974-08-12"}}`,
		},
		"a document": {
			verified, proof.Outcome{Framework: "own", Checks: passed("mrz", "face_match", "face_compare"), Claims: with(func(c *proof.Claims) {
				c.DocumentType, c.DocumentNumber, c.ExpiryDate, c.IssueDate = proof.IDCard, "L898902C3", "2032-04-15", "soon"
			})},
			`{"verification":{"trust_framework":"own","evidence":[{"type":"document","check_details":[{"check_method":"bvr"}],` +
				`"document_details":{"type":"idcard","document_number":"L898902C3","date_of_expiry":"2032-04-15","issuer":{"country":"Utopia"}}}]},` +
				`"claims":{"given_name":"ANNA","family_name":"ERIKSSON","birthdate":"1974-08-12","nationalities":["DEU"]}}`,
		},
		"a document of an unknown type, and a check that failed": {
			verified, proof.Outcome{
				Framework: "own", Claims: proof.Claims{FamilyName: "ERIKSSON", DocumentNumber: "1"},
				Checks: []proof.Check{{Name: "face_match", Outcome: proof.CheckFail}}, Evidence: []proof.Evidence{{Type: "document"}},
			},
			`{"verification":{"trust_framework":"own","evidence":[{"type":"document"}]},"claims":{"family_name":"ERIKSSON"}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := json.Marshal(ida.Of(c.v, c.o))
			if err != nil || string(got) != c.want {
				t.Errorf("got  %s (%v)\nwant %s", got, err, c.want)
			}
		})
	}
}
