package signal_test

import (
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/risk"
)

func TestVelocity(t *testing.T) {
	counts := func(attempts, failures risk.Counts) risk.Observation {
		return public(func(o *risk.Observation) { o.Attempts, o.Failures = attempts, failures })
	}
	at := func(c risk.Counts) risk.Observation { return counts(c, risk.Counts{}) }
	bad := func(c risk.Counts) risk.Observation { return counts(risk.Counts{}, c) }
	heat := func(device, network, subject float64) risk.Observation {
		return public(func(o *risk.Observation) { o.HeatDevice, o.HeatNetwork, o.HeatSubject = device, network, subject })
	}
	elsewhere := func(o risk.Observation, source string) risk.Observation {
		o.Address, o.DeviceSource = risk.AddressPrivate, source
		return o
	}
	uncounted := heat(0, 0, 0)
	uncounted.Window = 0
	hotUncounted := heat(1, 0, 0)
	hotUncounted.Window = 0
	warm := heat(0.6, 0, 0)
	warm.Attempts.Subject = 20
	week := at(risk.Counts{Subject: 10})
	week.Window = 7 * 24 * time.Hour
	with := func(name string, n float64) map[string]any { return map[string]any{name: n} }
	const (
		few   = "There were not many attempts or failures."
		face  = "A face did not match on this device or network lately."
		blind = "There were few attempts on this account; how many came from the device and the network cannot be told."
	)
	table(t, "velocity", []row{
		{name: "none", o: at(risk.Counts{}), want: risk.Clear, value: 0.0, evidence: few},
		{name: "one fewer than the limit of each", o: counts(risk.Counts{Subject: 9, Device: 14, Network: 299}, risk.Counts{Subject: 4, Device: 4, Network: 19}), want: risk.Clear, value: 299. / 300, evidence: few},
		{name: "attempts of the person", o: at(risk.Counts{Subject: 10}), want: risk.Fired, value: 1.0, evidence: "10 attempts of this person within 15 minutes."},
		{name: "attempts from the device", o: at(risk.Counts{Device: 30}), want: risk.Fired, value: 2.0, evidence: "30 attempts from this device within 15 minutes."},
		{name: "attempts from the network", o: at(risk.Counts{Network: 300}), want: risk.Fired, value: 1.0, evidence: "300 attempts from this network within 15 minutes."},
		{name: "failures of the person", o: bad(risk.Counts{Subject: 6}), want: risk.Fired, value: 1.2, evidence: "6 failures of this person within 15 minutes."},
		{name: "failures from the device", o: bad(risk.Counts{Device: 5}), want: risk.Fired, value: 1.0, evidence: "5 failures from this device within 15 minutes."},
		{name: "failures from the network", o: bad(risk.Counts{Network: 20}), want: risk.Fired, value: 1.0, evidence: "20 failures from this network within 15 minutes."},
		{name: "what exceeds most is what is said", o: counts(risk.Counts{Subject: 12, Network: 900}, risk.Counts{Subject: 10}), want: risk.Fired, value: 3.0, evidence: "900 attempts from this network within 15 minutes."},
		{name: "a longer window", o: week, want: risk.Fired, value: 1.0, evidence: "10 attempts of this person within 7 days."},
		{name: "a higher limit", params: with("person_attempts", 20), o: at(risk.Counts{Subject: 10}), want: risk.Clear, value: 0.5, evidence: few},
		{name: "a lower limit", params: with("network_failures", 2), o: bad(risk.Counts{Network: 3}), want: risk.Fired, value: 1.5, evidence: "3 failures from this network within 15 minutes."},

		{name: "a hot device", o: heat(0.5, 0, 0), want: risk.Fired, value: 1.0, evidence: face},
		{name: "a hot network", o: heat(0, 1, 0), want: risk.Fired, value: 2.0, evidence: face},
		{name: "a warm one", o: heat(0.2, 0.4, 0), want: risk.Clear, value: 0.8, evidence: few},
		{name: "a warm one, of a person who is warm", o: heat(0, 0.4, 0.2), want: risk.Fired, value: 1.2, evidence: face},
		{name: "the person alone", o: heat(0, 0, 0.25), want: risk.Clear, value: 0.5, evidence: few},
		{name: "the person alone, whatever the limit: no lever to lock somebody out", params: with("heat", 0.01), o: heat(0, 0, 0.25), want: risk.Clear, value: 0.99, evidence: few},
		{name: "a higher limit of heat", params: with("heat", 0.9), o: heat(0.8, 0, 0), want: risk.Clear, value: 0.8 / 0.9, evidence: few},
		{name: "many attempts and some heat", o: warm, want: risk.Fired, value: 2.0, evidence: "20 attempts of this person within 15 minutes."},

		{name: "few, from nowhere", o: elsewhere(at(risk.Counts{Subject: 1}), ""), want: risk.CannotTell, evidence: blind},
		{name: "few, from nowhere, Descope knows the device", o: elsewhere(at(risk.Counts{Subject: 1}), "descope"), want: risk.CannotTell, evidence: blind},
		{name: "few, from nowhere, our cookie", o: elsewhere(at(risk.Counts{Subject: 1}), "cookie"), want: risk.Clear, value: 0.1, evidence: few},
		{name: "many, from nowhere", o: elsewhere(at(risk.Counts{Subject: 11}), ""), want: risk.Fired, value: 1.1, evidence: "11 attempts of this person within 15 minutes."},
		{name: "not counted", o: uncounted, want: risk.CannotTell, evidence: "How many attempts and failures there were was not looked up."},
		{name: "not counted, but hot", o: hotUncounted, want: risk.Fired, value: 2.0, evidence: face},
	})
}
