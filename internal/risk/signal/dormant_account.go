package signal

import "github.com/kosmoscope/kosmoscope/internal/risk"

var dormantAccount = Signal{
	Name: "dormant_account", Title: "Dormant account", Weight: 20, Unit: "days",
	Help: "Fires when nobody has signed in to the account for long. Cannot tell before the first login that ended well.",
	Asks: "nobody has signed in for long",
	Params: []Param{
		{Name: "days", Title: "Dormant after", Kind: Number, Unit: "days", Number: 90, Min: 1, Max: 3650},
	},
	Bind: func(p Params) func(*risk.Observation) risk.Reading {
		days := p.number("days")
		return func(o *risk.Observation) risk.Reading { return readDormant(o, days) }
	},
}

func readDormant(o *risk.Observation, days float64) risk.Reading {
	const name = "dormant_account"
	if o.LastLogin.IsZero() {
		return reading(name, risk.CannotTell, "No earlier login is known.")
	}
	hours := max(0, o.At.Sub(o.LastLogin).Hours())
	outcome := risk.Clear
	if hours/24 >= days {
		outcome = risk.Fired
	}
	return measured(name, outcome, hours/24, "The last login that ended well was %s ago.", span(hours))
}
