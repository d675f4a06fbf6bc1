package signal

import "github.com/kosmoscope/kosmoscope/internal/risk"

var unusualHour = Signal{
	Name: "unusual_hour", Title: "Unusual time of day", Weight: 10, Unit: "% of earlier logins",
	Help: "Fires when hardly any of this person's logins were within two hours of this time of day. Cannot tell before there are enough of them.",
	Asks: "the time of day is unusual",
	Params: []Param{
		{Name: "share", Title: "Unusual below", Kind: Number, Unit: "% of earlier logins", Number: 3, Min: 0.1, Max: 50},
		{Name: "samples", Title: "Logins that it takes to tell", Kind: Number, Number: 20, Min: 5, Max: 10000},
	},
	Bind: func(p Params) func(*risk.Observation) risk.Reading {
		share, samples := p.number("share"), p.number("samples")
		return func(o *risk.Observation) risk.Reading { return readHour(o, share, samples) }
	},
}

func readHour(o *risk.Observation, share, samples float64) risk.Reading {
	const name = "unusual_hour"
	if float64(o.HourSamples) < samples {
		return reading(name, risk.CannotTell, "Too few logins are known to tell (%d).", o.HourSamples)
	}
	outcome, percent := risk.Clear, 100*o.HourShare
	if percent < share {
		outcome = risk.Fired
	}
	return measured(name, outcome, percent, "%.0f %% of %d earlier logins were at about %02d:%02d UTC.", percent, o.HourSamples, o.At.UTC().Hour(), o.At.UTC().Minute())
}
