package signal

import "github.com/kosmoscope/kosmoscope/internal/risk"

var velocity = Signal{
	Name: "velocity", Title: "Many attempts", Weight: 35, Unit: "times the limit",
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
	most, n, what := 0.0, 0, "" // of all counts, the one that comes nearest to its limit, or exceeds it most
	note := func(count, limit int, who string) {
		if share := float64(count) / float64(max(limit, 1)); share > most {
			most, n, what = share, count, who
		}
	}
	note(o.Attempts.Subject, l.attempts.Subject, "attempts of this person")
	note(o.Failures.Subject, l.failures.Subject, "failures of this person")
	note(o.Attempts.Device, l.attempts.Device, "attempts from this device")
	note(o.Failures.Device, l.failures.Device, "failures from this device")
	note(o.Attempts.Network, l.attempts.Network, "attempts from this network")
	note(o.Failures.Network, l.failures.Network, "failures from this network")
	hot := l.hot(o)
	switch {
	case hot >= 1 && hot > most:
		return measured(name, risk.Fired, hot, "A face did not match on this device or network lately.")
	case most >= 1:
		return measured(name, risk.Fired, most, "%d %s within %s.", n, what, span(o.Window.Hours()))
	case o.Window <= 0:
		return reading(name, risk.CannotTell, "How many attempts and failures there were was not looked up.")
	case o.Address != risk.AddressPublic && o.DeviceSource != risk.SourceCookie:
		// Few attempts on one account are what an attacker makes who tries one on each of many.
		return reading(name, risk.CannotTell, "There were few attempts on this account; how many came from the device and the network cannot be told.")
	}
	return measured(name, risk.Clear, max(most, hot), "There were not many attempts or failures.")
}

// hot is the heat, in times the limit. The person's own adds to that of the device and the
// network, and never fires alone, whatever the limit: others can cause it.
func (l limits) hot(o *risk.Observation) float64 {
	hot := max(o.HeatDevice, o.HeatNetwork)
	if hot <= 0 {
		return min(o.HeatSubject/l.heat, 0.99)
	}
	return min(1, hot+o.HeatSubject) / l.heat
}
