package signal

import "github.com/kosmoscope/kosmoscope/internal/risk"

var recentProofing = Signal{
	Name: "recent_proofing", Title: "Proved lately", Weight: -25, Lowers: true, Unit: "hours",
	Help: "Fires when the person proved who they are, or showed their face and matched, not long ago. This lowers the risk. Where it cannot tell, it has not fired.",
	Asks: "the person proved who they are lately",
	Params: []Param{
		{Name: "hours", Title: "Lately means within", Kind: Number, Unit: "hours", Number: 24, Min: 0.1, Max: 8760},
	},
	Bind: func(p Params) func(*risk.Observation) risk.Reading {
		hours := p.number("hours")
		return func(o *risk.Observation) risk.Reading { return readProofing(o, hours) }
	},
}

func readProofing(o *risk.Observation, within float64) risk.Reading {
	const name = "recent_proofing"
	if !o.ProofingKnown {
		return reading(name, risk.CannotTell, "Whether the person has proved who they are was not looked up.")
	}
	if o.ProofedAt.IsZero() {
		return reading(name, risk.Clear, "The person has not proved who they are, as far as we know.")
	}
	how := "proved who they are"
	if o.ProofedBy == "challenge" {
		how = "showed their face"
	}
	hours := max(0, o.At.Sub(o.ProofedAt).Hours())
	outcome := risk.Clear
	if hours <= within {
		outcome = risk.Fired
	}
	return measured(name, outcome, hours, "The person %s %s ago.", how, span(hours))
}
