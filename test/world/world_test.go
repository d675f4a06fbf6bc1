package world_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/test/program"
	"github.com/kosmoscope/kosmoscope/test/world"
)

func TestMain(m *testing.M) { os.Exit(program.Main(m, func() error { return nil })) }

// TestPerson sees that the person can do what tests have them do, where the way is
// known: through door A.
func TestPerson(t *testing.T) {
	w, err := world.Start(t, world.Plan{})
	if errors.Is(err, world.ErrLacking) && os.Getenv("KOSMOSCOPE_REQUIRE_MODELS") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if err := w.Enrol(ctx, "anna@example.com"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		who  func() (*world.Person, error)
		want string
	}{
		{"holder", w.Person, "match"},
		{"stranger", w.Stranger, "no_match"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := c.who()
			if err != nil {
				t.Fatal(err)
			}
			defer p.Leave()
			var begun struct {
				ID  string `json:"challenge_id"`
				URL string `json:"challenge_url"`
			}
			if err := w.Call(ctx, "stepup", map[string]string{"user_identifier": "anna@example.com"}, &begun); err != nil {
				t.Fatal(err)
			}
			p.Account = "anna@example.com"
			end, err := p.Visit(ctx, begun.URL, "about:")
			if err != nil {
				t.Fatal(err)
			}
			var result struct {
				Match string `json:"match_result"`
			}
			if err := w.Call(ctx, "stepup/result", map[string]string{"challenge_id": begun.ID, "user_identifier": "anna@example.com"}, &result); err != nil {
				t.Fatal(err)
			}
			if result.Match != c.want || end.Step != "done" || !slices.Contains(p.Saw, "authenticator") {
				t.Errorf("%s, want %s; saw %v, then: %s", result.Match, c.want, p.Saw, end.Text)
			}
		})
	}
}
