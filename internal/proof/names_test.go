package proof_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

func TestNameWords(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"Müller-Lüdenscheidt":  "MUELLER LUEDENSCHEIDT",
		"Mu\u0308ller":         "MUELLER", // the mark written apart
		"O'Connor, Seán":       "OCONNOR SEAN",
		"Þórður Ægir":          "THORDUR AEGIR",
		"Straße":               "STRASSE",
		"Ǽsa":                  "AESA",
		"Łukasz Świętosławski": "LUKASZ SWIETOSLAWSKI",
		"ERIKSSON<<ANNA<MARIA": "ERIKSSON ANNA MARIA",
		"İnci Çağlar":          "INCI CAGLAR",
		"Ольга":                "ОЛЬГА",
		" .,' ":                "",
		"":                     "",
	} {
		if got := strings.Join(proof.NameWords(name), " "); got != want {
			t.Errorf("%q is %q, not %q", name, got, want)
		}
	}
	if proof.NameWords(strings.Repeat("A", 513)) != nil {
		t.Error("a name without end has words")
	}
}

func TestSameName(t *testing.T) {
	t.Parallel()
	if !proof.SameName("Müller", "MUELLER") || proof.SameName("", "") || proof.SameName("Miller", "Muller") {
		t.Error("SameName")
	}
	for _, c := range []struct {
		want, has string
		within    bool
	}{{"Anna", "ANNA MARIA", true}, {"Anna Maria", "ANNA MARIA", true}, {"Maria", "ANNA MARIA", false}, {"Anna Maria", "ANNA", false}, {"", "ANNA", false}} {
		if proof.GivenNameWithin(c.want, c.has) != c.within {
			t.Errorf("%q within %q is not %v", c.want, c.has, c.within)
		}
	}
}

func FuzzNameWords(f *testing.F) {
	f.Add("Müller-Lüdenscheidt")
	f.Add("\xff\u0308")
	f.Fuzz(func(t *testing.T, name string) {
		words := proof.NameWords(name)
		if again := proof.NameWords(strings.Join(words, " ")); len(name) < 200 && !slices.Equal(again, words) {
			t.Errorf("%q is %q, and that %q", name, words, again)
		}
	})
}
