package signal

import (
	"slices"

	"github.com/kosmoscope/kosmoscope/internal/risk"
)

var sensitiveScope = Signal{
	Name: "sensitive_scope", Title: "Sensitive scope", Weight: 50,
	Help: "Fires when the login asks for one of the scopes on the list. Cannot tell if the caller does not say which scopes are asked for.",
	Asks: "the login asks for a sensitive scope",
	Params: []Param{
		{Name: "scopes", Title: "Sensitive scopes", Help: "Compared as a whole, with upper and lower case (RFC 6749, section 3.3).", Kind: List, List: []string{"orders:refund", "payments", "admin"}},
	},
	Bind: func(p Params) func(*risk.Observation) risk.Reading {
		list := p.list("scopes")
		return func(o *risk.Observation) risk.Reading { return readScopes(o, list) }
	},
}

func readScopes(o *risk.Observation, list []string) risk.Reading {
	const name = "sensitive_scope"
	var found []string
	for _, s := range o.Scopes {
		if slices.Contains(list, s) {
			found = append(found, s)
		}
	}
	switch {
	case len(found) > 0:
		return reading(name, risk.Fired, "The login asks for %s.", and(found))
	case !o.ScopesGiven:
		return reading(name, risk.CannotTell, "Which scopes the login asks for was not said.")
	}
	return reading(name, risk.Clear, "None of the scopes that the login asks for is on the list.")
}
