package engine

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/text/language"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

func TestPlausible(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		change func(*api.Document)
		want   api.Outcome
		reason string
	}{
		"specimen":                    {func(d *api.Document) {}, api.Pass, ""},
		"one letter":                  {func(d *api.Document) { d.IssuingCountry, d.Nationality = "D", "D" }, api.Pass, ""},
		"refugee":                     {func(d *api.Document) { d.IssuingCountry, d.Nationality = "CHE", "XXB" }, api.Pass, ""},
		"organization":                {func(d *api.Document) { d.IssuingCountry, d.Nationality = "UNO", "FRA" }, api.Pass, ""},
		"no such state":               {func(d *api.Document) { d.IssuingCountry = "QQQ" }, api.Fail, api.ReasonDocumentImplausible},
		"no issuer":                   {func(d *api.Document) { d.IssuingCountry = "" }, api.Fail, api.ReasonDocumentImplausible},
		"two states":                  {func(d *api.Document) { d.IssuingCountry = "FRA GAB" }, api.Fail, api.ReasonDocumentImplausible},
		"two letters":                 {func(d *api.Document) { d.IssuingCountry = "FR" }, api.Fail, api.ReasonDocumentImplausible},
		"nobody issues for nobody":    {func(d *api.Document) { d.IssuingCountry = "XXA" }, api.Fail, api.ReasonDocumentImplausible},
		"no such nationality":         {func(d *api.Document) { d.Nationality = "EUR" }, api.Fail, api.ReasonDocumentImplausible},
		"no number":                   {func(d *api.Document) { d.Number = "" }, api.Fail, api.ReasonDocumentImplausible},
		"number of fillers":           {func(d *api.Document) { d.Number = "<<<" }, api.Fail, api.ReasonDocumentImplausible},
		"number of zeros":             {func(d *api.Document) { d.Number = "000000000" }, api.Fail, api.ReasonDocumentImplausible},
		"born today":                  {func(d *api.Document) { d.BirthDate = "2026-03-01" }, api.Pass, ""},
		"born tomorrow":               {func(d *api.Document) { d.BirthDate = "2026-03-02" }, api.Fail, api.ReasonDocumentImplausible},
		"129 years old":               {func(d *api.Document) { d.BirthDate = "1896-03-02" }, api.Pass, ""},
		"130 years old":               {func(d *api.Document) { d.BirthDate = "1896-03-01" }, api.Fail, api.ReasonDocumentImplausible},
		"expired before birth":        {func(d *api.Document) { d.BirthDate, d.ExpiryDate = "2020-01-02", "2020-01-01" }, api.Fail, api.ReasonDocumentImplausible},
		"expires on the day of birth": {func(d *api.Document) { d.BirthDate, d.ExpiryDate = "2020-01-02", "2020-01-02" }, api.Fail, api.ReasonDocumentImplausible},
		"birth not known":             {func(d *api.Document) { d.BirthDate = "" }, api.Pass, ""},
		"birth is no date":            {func(d *api.Document) { d.BirthDate = "1974-02-30" }, api.CannotTell, api.ReasonMRZUnreadable},
		"no expiry":                   {func(d *api.Document) { d.ExpiryDate = "" }, api.CannotTell, api.ReasonMRZUnreadable},
		"for 16 years":                {func(d *api.Document) { d.ExpiryDate = "2042-03-01" }, api.Pass, ""},
		"for longer":                  {func(d *api.Document) { d.ExpiryDate = "2042-03-02" }, api.Fail, api.ReasonDocumentImplausible},
	} {
		t.Run(name, func(t *testing.T) {
			d := api.Document{Format: "TD3", IssuingCountry: "UTO", Nationality: "UTO", Number: "L898902C3", BirthDate: "1974-08-12", ExpiryDate: "2034-04-15"}
			c.change(&d)
			f := plausible(d, now)
			if f.outcome != c.want || f.reason != c.reason || f.detail == "" {
				t.Errorf("%+v", f)
			}
			if c.want == api.Pass && strings.Contains(f.detail, "Utopia") != (d.IssuingCountry == "UTO") {
				t.Error(f.detail)
			}
		})
	}
}

// TestIssuers holds the codes against another table of ISO 3166-1.
func TestIssuers(t *testing.T) {
	states := 0
	seen := map[string]bool{}
	for _, code := range strings.Fields(issuers) {
		if seen[code] {
			t.Errorf("%s twice", code)
		}
		seen[code] = true
		if r, err := language.ParseRegion(code); err == nil && r.IsCountry() && r.ISO3() == code {
			states++
		}
	}
	if states != 249 {
		t.Errorf("%d states, want the 249 of ISO 3166-1", states)
	}
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			r, err := language.ParseRegion(string(a) + string(b))
			if err == nil && r.IsCountry() && r.Canonicalize() == r && !known(issuers, r.ISO3()) && !known(formerly, r.ISO3()) {
				t.Errorf("%s (%s) is missing", r.ISO3(), r)
			}
		}
	}
}

// formerly are codes of states that are no more, of ISO's reserves, and of the
// table's own making.
const formerly = " ANT ASC CPT DGA TAA XKK QOO QUU ZZZ EUE NTZ SCG SUN YUG TMP BUR DDR FXX YMD VDR RHO ZAR PCI "
