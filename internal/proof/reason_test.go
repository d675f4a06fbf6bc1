package proof_test

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// The list, the constants and the page that explains them say the same.
func TestReasonsAreDeclaredListedAndExplained(t *testing.T) {
	collect := func(file, pattern string) (found []string) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(pattern).FindAllSubmatch(b, -1) {
			found = append(found, string(m[1]))
		}
		slices.Sort(found)
		return found
	}
	var listed []string
	for _, r := range proof.Reasons() {
		listed = append(listed, string(r))
		if !r.Known() {
			t.Errorf("%s is not known", r)
		}
	}
	slices.Sort(listed)
	declared := collect("reason.go", `Reason += "([a-z_]+)"`)
	explained := collect("../../docs/reasons.md", "(?m)^\\| `([a-z_]+)` \\|")
	if !slices.Equal(declared, listed) {
		t.Errorf("declared %v\nlisted   %v", declared, listed)
	}
	if !slices.Equal(explained, listed) {
		t.Errorf("explained %v\nlisted    %v", explained, listed)
	}
	if proof.Reason("made_up").Known() {
		t.Error("a made-up reason is known")
	}
}
