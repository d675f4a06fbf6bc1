package accounts_test

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/accounts"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
)

func federated(t *testing.T) *accounts.Accounts {
	t.Helper()
	t.Parallel()
	a, err := accounts.Open(accounts.Options{ProjectID: "P2federated", Algorithm: "ES384"})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.DefineAttributes(t.Context(), []accounts.Attribute{
		{Name: "text", Type: 1}, {Name: "number", Type: 2}, {Name: "truth", Type: 3}, {Name: "choice", Type: 4, Options: []accounts.AttributeOption{{Value: "1"}}},
	}); err != nil {
		t.Fatal(err)
	}
	return a
}

func from(loginID string, properties map[string]any) project.Identity {
	return project.Identity{Kind: project.FederationOAuth, Provider: "op", LoginID: loginID, Merge: true, Update: true, Properties: properties}
}

var proven = map[string]any{"email": "ada@example.org", "verifiedEmail": true}

// With several people of one address nobody can say which of them it is.
func TestFederateSeveralOfOneAddress(t *testing.T) {
	a := federated(t)
	for _, id := range []string{"one", "two"} {
		if _, err := a.Create(t.Context(), project.User{LoginIDs: []string{id}, Email: "ada@example.org", VerifiedEmail: true, Status: "enabled"}); err != nil {
			t.Fatal(err)
		}
	}
	u, first, err := a.Federate(t.Context(), from("pairwise", proven), project.SignUpOrIn)
	if err != nil || !first || !slices.Equal(u.LoginIDs, []string{"pairwise"}) {
		t.Fatal(u, first, err)
	}
}

func TestFederateSomebodyInvited(t *testing.T) {
	a := federated(t)
	if _, err := a.Create(t.Context(), project.User{LoginIDs: []string{"ada"}, Email: "ada@example.org", VerifiedEmail: true}); err != nil {
		t.Fatal(err)
	}
	u, first, err := a.Federate(t.Context(), from("pairwise", proven), project.SignIn)
	if err != nil || !first || u.Status != "enabled" || !slices.Equal(u.LoginIDs, []string{"ada", "pairwise"}) {
		t.Fatalf("%+v, %v, %v", u, first, err)
	}
	u, first, err = a.Federate(t.Context(), from("pairwise", nil), project.SignIn) // by the login id that it got
	if err != nil || first || !slices.Equal(u.LoginIDs, []string{"ada", "pairwise"}) {
		t.Fatalf("%+v, %v, %v", u, first, err)
	}
}

// What is there already, an address or a number, a provider does not change.
func TestFederateKeepsAddresses(t *testing.T) {
	a := federated(t)
	if _, err := a.Create(t.Context(), project.User{LoginIDs: []string{"ada"}, Email: "ada@example.org", VerifiedEmail: true, Phone: "+1", VerifiedPhone: true, Name: "Ada"}); err != nil {
		t.Fatal(err)
	}
	u, _, err := a.Federate(t.Context(), from("ada", map[string]any{"email": "eve@example.org", "verifiedEmail": false, "phone": "+2", "name": "Ada B."}), project.SignUpOrIn)
	if err != nil || u.Email != "ada@example.org" || !u.VerifiedEmail || u.Phone != "+1" || !u.VerifiedPhone || u.Name != "Ada B." {
		t.Fatalf("%+v, %v", u, err)
	}
	u, _, err = a.Federate(t.Context(), from("new", nil), project.SignUp)
	if err != nil || u.Email != "" {
		t.Fatalf("%+v, %v", u, err)
	}
	if u, _, err = a.Federate(t.Context(), from("new", map[string]any{"email": "new@example.org", "verifiedEmail": true}), project.SignUpOrIn); err != nil || u.Email != "new@example.org" || !u.VerifiedEmail {
		t.Fatalf("%+v, %v", u, err)
	}
}

func TestFederateAttributes(t *testing.T) {
	a := federated(t)
	i := from("ada", nil)
	i.Kind, i.Provider = project.FederationSAML, "T1"
	i.Attributes = map[string]any{"text": true, "number": "2.5", "truth": "false", "choice": 1.0, "unknown": "x"}
	u, _, err := a.Federate(t.Context(), i, project.SignUpOrIn)
	want := map[string]any{"text": "true", "number": 2.5, "truth": false, "choice": "1"}
	if err != nil || !reflect.DeepEqual(u.CustomAttributes, want) || !u.SAML || len(u.UserTenants) != 1 {
		t.Fatalf("%+v, %v", u, err)
	}
	// What does not fit leaves what was there; so does what is not said.
	i.Attributes = map[string]any{"number": "much", "truth": "perhaps", "choice": "9", "text": []any{"a"}}
	if u, _, err = a.Federate(t.Context(), i, project.SignUpOrIn); err != nil || !reflect.DeepEqual(u.CustomAttributes, want) || len(u.UserTenants) != 1 {
		t.Fatalf("%+v, %v", u, err)
	}
}

func TestFederateRefuses(t *testing.T) {
	a := federated(t)
	if _, _, err := a.Federate(t.Context(), from(" ", nil), project.SignUpOrIn); err == nil {
		t.Fatal("nobody came in")
	}
	if _, _, err := a.Federate(t.Context(), from("ada", nil), project.SignIn); !errors.Is(err, project.ErrNoUser) {
		t.Fatal(err)
	}
	if _, _, err := a.Federate(t.Context(), from("ada", proven), project.SignUp); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.Federate(t.Context(), from("other", proven), project.SignUp); !errors.Is(err, project.ErrExists) {
		t.Fatal("signed up, although merged", err)
	}
	if _, err := a.Edit(t.Context(), "ada", func(u *project.User) error { u.Status = "disabled"; return nil }); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"ada", "other"} {
		if _, _, err := a.Federate(t.Context(), from(id, proven), project.SignUpOrIn); !errors.Is(err, project.ErrDisabled) {
			t.Fatal(id, err)
		}
	}
}
