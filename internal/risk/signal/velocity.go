package signal

import (
	"fmt"

	"github.com/kosmoscope/kosmoscope/internal/risk"
)

var velocity = Signal{
	Name: "velocity", Title: "Many attempts", Weight: 30, Unit: "times the limit",
	Help: "Fires when there were many attempts or failures within a short time, of this person, this device or this network; or when a face did not match on this device or network lately. Cannot tell that there were few if neither device nor network is known.",
	Asks: "there were many attempts or failures",
	Params: []Param{
		{Name: "person_attempts", Title: "Attempts of one person", Kind: Number, Number: 10, Min: 1, Max: 100000},
		{Name: "person_failures", Title: "Failures of one person", Help: "Others can cause these. Do not refuse over them alone.", Kind: Number, Number: 5, Min: 1, Max: 100000},
		{Name: "device_attempts", Title: "Attempts from one device", Kind: Number, Number: 15, Min: 1, Max: 100000},
		{Name: "device_failures", Title: "Failures from one device", Kind: Number, Number: 5, Min: 1, Max: 100000},
		{Name: "network_attempts", Title: "Attempts from one network", Help: "Many people may share a network.", Kind: Number, Number: 300, Min: 1, Max: 1000000},
		{Name: "network_failures", Title: "Failures from one network", Kind: Number, Number: 20, Min: 1, Max: 1000000},
		{Name: "heat", Title: "Heat of a face that did not match", Help: "1 right after it, fading to 0 within a day. Fires from here on.", Kind: Number, Number: 0.5, Min: 0.01, Max: 1},
	},
	Bind: func(p Params) func(*risk.Observation) risk.Reading {
		l := limits{
			risk.Counts{Subject: int(p.number("person_attempts")), Device: int(p.number("device_attempts")), Network: int(p.number("network_attempts"))},
			risk.Counts{Subject: int(p.number("person_failures")), Device: int(p.number("device_failures")), Network: int(p.number("network_failures"))},
			p.number("heat"),
		}
		return l.read
	},
}

type limits struct {
	attempts, failures risk.Counts
	heat               float64
}

func (l limits) read(o *risk.Observation) risk.Reading {
	const name = "velocity"
	most, what := 0.0, ""
	note := func(n, limit int, format string) {
		if share := float64(n) / float64(max(limit, 1)); share > most {
			most = share
			what = fmt.Sprintf(format, n, span(o.Window.Hours()))
		}
	}
	note(o.Attempts.Subject, l.attempts.Subject, "%d attempts of this person within %s.")
	note(o.Failures.Subject, l.failures.Subject, "%d failures of this person within %s.")
	note(o.Attempts.Device, l.attempts.Device, "%d attempts from this device within %s.")
	note(o.Failures.Device, l.failures.Device, "%d failures from this device within %s.")
	note(o.Attempts.Network, l.attempts.Network, "%d attempts from this network within %s.")
	note(o.Failures.Network, l.failures.Network, "%d failures from this network within %s.")
	if hot := max(o.HeatDevice, o.HeatNetwork) / l.heat; hot >= 1 && hot > most {
		most = hot
		what = "A face did not match on this device or network lately."
	}
	if most >= 1 {
		return measured(name, risk.Fired, most, "%s", what)
	}
	if o.Address != risk.AddressPublic && o.DeviceSource != risk.SourceCookie {
		// Few attempts on one account are what an attacker makes who tries one on each of many.
		return reading(name, risk.CannotTell, "There were few attempts on this account; how many came from the device and the network cannot be told.")
	}
	return measured(name, risk.Clear, most, "There were not many attempts or failures.")
}
