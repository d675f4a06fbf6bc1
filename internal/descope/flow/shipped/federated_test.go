package shipped_test

import (
	"context"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/descope/flow/shipped"
	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner"
	rt "github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner/runnertest"
)

// abroad is a browser that an identity provider sends back with claims about somebody;
// with none it says that it refused.
func (s *stage) abroad(loginID string, claims answer) {
	s.Helper()
	if s.at.Action != runner.ActionRedirect || s.at.Redirect.URL != "https://idp.example/"+s.idp.Last().Provider {
		s.Fatalf("not sent to a provider: %+v", s.at)
	}
	ask := s.idp.Last()
	var i *project.Identity
	if claims != nil {
		i = &project.Identity{Kind: ask.Kind, Provider: ask.Provider, LoginID: loginID, Claims: claims}
	}
	back, err := s.Returned(context.Background(), ask.Request, i, "access_denied")
	if err != nil {
		s.Fatal(err)
	}
	u, err := url.Parse(back)
	if err != nil {
		s.Fatal(err)
	}
	execution, step, _ := strings.Cut(u.Query().Get("descope-login-flow"), "_")
	s.see(s.Next(context.Background(), runner.NextRequest{
		ExecutionID: execution, StepID: step, InteractionID: flow.Submit, Nonce: s.at.Nonce(),
		Input: map[string]any{"exchangeCode": u.Query().Get("code"), "exchangeError": u.Query().Get("err")},
	}, s.browser))
}

func TestFederatedProofing(t *testing.T) {
	s := newStage(t, "kosmos-federated-proofing")
	s.start()
	s.on("80")
	s.click("continue")
	if ask := s.idp.Last(); ask.Kind != project.FederationOAuth || ask.Provider != "kosmos-proofing" || ask.LoginHint != "" {
		t.Fatalf("%+v", ask)
	}
	s.abroad("pairwise-1", nil) // refused: back to the screen
	s.on("80")
	if s.shows("errorText") == nil {
		t.Fatal("nothing is said")
	}
	for _, not := range []answer{{}, {"idv_status": "none"}, {"idv_status": "failed"}, {"idv_status": ""}, {"idv_status": true}, {"idv_status": []any{"verified", "x"}}, {"status": "verified"}} {
		s.click("continue")
		s.abroad("pairwise-1", not)
		s.on("83")
		s.outside()
		s.click("again")
	}
	s.click("continue")
	s.abroad("pairwise-1", answer{"idv_status": "verified", "ial_level": "IAL2", "verified_at": "2026-11-29T00:00:00Z"})
	g := s.inside()
	if g.UserID == "U1" || g.SteppedUp || g.Claims["kosmos_status"] != "verified" || g.Claims["kosmos_ial"] != "IAL2" || g.Claims["kosmos_verified_at"] != "2026-11-29T00:00:00Z" {
		t.Fatalf("%+v", g)
	}
}

// What an earlier answer said counts for nothing in a later one, and what stands in the
// user's attributes counts for nothing at all.
func TestFederatedProofingBelievesThisAnswerOnly(t *testing.T) {
	s := newStage(t, "kosmos-federated-proofing")
	s.accounts.Users[ada].CustomAttributes["kosmosStatus"] = "verified"
	s.start()
	s.click("continue")
	s.abroad(ada, answer{"idv_status": "none", "ial_level": "IAL2"})
	s.on("83")
	s.outside()
}

func TestFederatedStepUp(t *testing.T) {
	t.Parallel()
	for id, yes := range map[string]any{"kosmos-federated-step-up": true, "kosmos-federated-step-up-saml": "true"} {
		t.Run(id, func(t *testing.T) { t.Parallel(); federatedStepUp(t, id, yes) })
	}
}

// federatedStepUp tries one of the two; yes is how the provider says that it is so.
func federatedStepUp(t *testing.T, id string, yes any) {
	provider := map[string]string{"kosmos-federated-step-up": "kosmos-liveid", "kosmos-federated-step-up-saml": "kosmos"}[id]
	t.Run("match", func(t *testing.T) {
		s := newStage(t, id)
		s.accounts.Users[ada].CustomAttributes["kosmosIal"] = "IAL2"
		s.signIn(ada)
		s.on("80")
		s.outside()
		s.click("continue")
		ask := s.idp.Last()
		if ask.Provider != provider || ask.LoginHint != "U1" || !ask.Fresh && !slices.Equal(ask.Prompt, []string{"login"}) {
			t.Fatalf("%+v", ask)
		}
		s.abroad("U1", answer{"face_matched": yes, "user_identifier": "U1"})
		if g := s.inside(); g.UserID != "U1" || !g.SteppedUp || g.Claims["kosmos_ial"] != "IAL2" {
			t.Fatalf("%+v", g)
		}
	})
	t.Run("refused", func(t *testing.T) {
		s := newStage(t, id)
		s.signIn(ada)
		s.click("continue")
		s.abroad("", nil)
		s.on("80")
		s.outside()
		s.click("continue")
		s.abroad("U1", answer{"face_matched": yes, "user_identifier": "U1"})
		s.inside()
	})
	for name, claims := range map[string]answer{
		"nothing said": {}, "no match": {"face_matched": false, "user_identifier": "U1"}, "not named": {"face_matched": yes},
		"another's face": {"face_matched": yes, "user_identifier": "U2"}, "named as nobody": {"face_matched": yes, "user_identifier": ""},
		"a word": {"face_matched": "yes", "user_identifier": "U1"}, "the template": {"face_matched": yes, "user_identifier": "{{user.userId}}"},
		"a list": {"face_matched": yes, "user_identifier": []any{"U1", "U1"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, id)
			s.signIn(ada)
			s.click("continue")
			s.abroad("U1", claims)
			s.on("83")
			s.outside()
			s.click("restart")
			s.on("1")
		})
	}
	// Whose face it was is who comes in, never whoever began.
	t.Run("somebody else comes back", func(t *testing.T) {
		s := newStage(t, id)
		other, _, err := s.accounts.SignUpOrIn(context.Background(), "mallory", nil)
		if err != nil {
			t.Fatal(err)
		}
		s.signIn(ada)
		s.click("continue")
		s.abroad(other.UserID, answer{"face_matched": yes, "user_identifier": other.UserID})
		if g := s.inside(); g.UserID != other.UserID {
			t.Fatalf("%+v", g)
		}
	})
	// And where Descope does not find the user by that name, but makes somebody new.
	t.Run("somebody new comes back", func(t *testing.T) {
		s := newStage(t, id)
		s.signIn(ada)
		s.click("continue")
		s.abroad("a name that nobody has", answer{"face_matched": yes, "user_identifier": "U1"})
		s.on("83")
		s.outside()
	})
}

// The mappings name claims that the bridge tells, and attributes that are created.
func TestMappings(t *testing.T) {
	t.Parallel()
	claims := append(federation.FlatNames(), "sub")
	for _, mapping := range []map[string]string{shipped.ProofingMapping, shipped.LiveIDMapping} {
		for key, claim := range mapping {
			if !slices.Contains(claims, claim) {
				t.Errorf("%s is mapped from %s, which nobody tells", key, claim)
			}
			if !slices.Contains(shipped.Attributes, key) && !slices.Contains([]string{"loginId", "givenName", "familyName"}, key) {
				t.Errorf("%s is no attribute", key)
			}
			if key == "email" || claim == "email" || strings.HasPrefix(key, "verified") {
				t.Errorf("%s: an address merges accounts", key)
			}
		}
	}
}

// What a customer pastes or applies says the same.
func TestMappingsInIntegrations(t *testing.T) {
	t.Parallel()
	n := flow.DefaultNames().Federation
	for _, name := range []string{"main.tf", "project-0.x/main.tf"} {
		b, err := os.ReadFile(filepath.Join(root, "integrations/federation", name))
		if err != nil {
			t.Fatal(err)
		}
		proofing, live, ok := strings.Cut(string(b), "descope-liveid\"\n")
		if !ok || !strings.Contains(proofing, n.Proofing) || !strings.Contains(proofing, n.LiveID) || strings.Count(string(b), "merge_user_accounts    = false") != 2 {
			t.Fatalf("%s: not as it was", name)
		}
		for part, mapping := range map[string]map[string]string{proofing: shipped.ProofingMapping, live: shipped.LiveIDMapping} {
			_, part, _ := strings.Cut(part, "claim_mapping = {")
			part, _, _ = strings.Cut(part, "}")
			got := map[string]string{}
			for line := range strings.Lines(part) {
				if key, value, ok := strings.Cut(line, "="); ok {
					got[strings.TrimSpace(key)] = strings.Trim(strings.TrimSpace(value), `"`)
				}
			}
			if !maps.Equal(got, mapping) {
				t.Errorf("%s: %v, want %v", name, got, mapping)
			}
		}
	}
}

var _ runner.Federation = (*rt.Providers)(nil)
