package signal_test

import (
	"slices"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow/shipped"
	"github.com/kosmoscope/kosmoscope/internal/risk"
	"github.com/kosmoscope/kosmoscope/internal/risk/signal"
)

func TestSensitiveScope(t *testing.T) {
	scopes := func(list ...string) risk.Observation { return risk.Observation{Scopes: list, ScopesGiven: true} }
	own := map[string]any{"scopes": []any{"Wire", "a b"}}
	const none = "None of the scopes that the login asks for is on the list."
	table(t, "sensitive_scope", []row{
		{name: "one", o: scopes("openid", "orders:refund"), want: risk.Fired, evidence: "The login asks for orders:refund."},
		{name: "two", o: scopes("admin", "openid", "payments"), want: risk.Fired, evidence: "The login asks for admin and payments."},
		{name: "none", o: scopes("openid", "profile"), want: risk.Clear, evidence: none},
		{name: "none at all", o: scopes(), want: risk.Clear, evidence: none},
		{name: "only a part of one", o: scopes("orders:refund:read", "admins", "refund"), want: risk.Clear, evidence: none},
		{name: "case counts", o: scopes("Admin", "ORDERS:REFUND"), want: risk.Clear, evidence: none},
		{name: "a list of one's own", params: own, o: scopes("Wire"), want: risk.Fired, evidence: "The login asks for Wire."},
		{name: "which replaces the default", params: own, o: scopes("admin"), want: risk.Clear, evidence: none},
		{name: "an empty list", params: map[string]any{"scopes": []any{}}, o: scopes("admin"), want: risk.Clear, evidence: none},
		{name: "not said", o: missing, want: risk.CannotTell, evidence: "Which scopes the login asks for was not said."},
		{name: "there, whatever is said of them", o: risk.Observation{Scopes: []string{"admin"}}, want: risk.Fired, evidence: "The login asks for admin."},
	})
}

// What the shipped flows ask for a face for, the signal does too.
func TestShippedScopesAreSensitive(t *testing.T) {
	t.Parallel()
	s, _ := signal.ByName("sensitive_scope")
	for _, scope := range shipped.SensitiveScopes {
		if !slices.Contains(s.Params[0].List, scope) {
			t.Errorf("%s is missing in %v", scope, s.Params[0].List)
		}
	}
}
