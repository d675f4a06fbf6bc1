package signal_test

import (
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/risk"
)

func TestUnfamiliarIP(t *testing.T) {
	const yes, no, unknown = risk.Yes, risk.No, risk.Unknown
	seen := func(address, network, as, device risk.Tri) risk.Observation {
		return public(func(o *risk.Observation) {
			o.AddressSeen, o.NetworkSeen, o.ASSeen, o.DeviceKnown = address, network, as, device
		})
	}
	trusted := seen(no, no, yes, unknown)
	trusted.DeviceTrusted = yes
	nameless := seen(no, no, no, unknown)
	nameless.ASName = ""
	stray := seen(no, no, unknown, unknown)
	stray.ASN, stray.ASName = 0, ""
	level := func(n float64) map[string]any { return map[string]any{"familiar": n} }
	const (
		where    = "78.55.20.10 (Home Net, AS6805)"
		address  = where + " is a familiar address."
		network  = where + " is in a familiar network."
		provider = where + " is a new network of a familiar provider."
		carrier  = where + " is a new network of a familiar provider, and the device is known."
		foreign  = "Neither the network nor the provider of " + where + " is familiar."
	)
	table(t, "unfamiliar_ip", []row{
		{name: "the same address", o: seen(yes, yes, yes, no), want: risk.Clear, value: 0.0, evidence: address},
		{name: "the same network", o: seen(no, yes, yes, no), want: risk.Clear, value: 1.0, evidence: network},
		{name: "the same provider, a new device", o: seen(no, no, yes, no), want: risk.Fired, value: 2.0, evidence: provider},
		{name: "the same provider, nobody says whether the device is known", o: seen(no, no, yes, unknown), want: risk.Fired, value: 2.0, evidence: provider},
		{name: "a mobile carrier on a known device", o: seen(no, no, yes, yes), want: risk.Clear, value: 2.0, evidence: carrier},
		{name: "and on a trusted one", o: trusted, want: risk.Clear, value: 2.0, evidence: carrier},
		{name: "elsewhere, also on a known device", o: seen(no, no, no, yes), want: risk.Fired, value: 3.0, evidence: foreign},
		{name: "elsewhere, without a name", o: nameless, want: risk.Fired, value: 3.0, evidence: "Neither the network nor the provider of 78.55.20.10 (AS6805) is familiar."},
		{name: "elsewhere, the provider cannot be told", o: stray, want: risk.Fired, value: 3.0, evidence: "The network of 78.55.20.10 is not familiar; of its provider nothing is known."},
		{name: "only the provider is known to be new", o: seen(unknown, unknown, no, no), want: risk.Fired, value: 3.0, evidence: foreign},

		{name: "only the very address: it", params: level(0), o: seen(yes, yes, yes, no), want: risk.Clear, value: 0.0, evidence: address},
		{name: "only the very address: its network", params: level(0), o: seen(no, yes, yes, yes), want: risk.Fired, value: 1.0, evidence: network},
		{name: "the provider is enough", params: level(2), o: seen(no, no, yes, no), want: risk.Clear, value: 2.0, evidence: provider},
		{name: "the provider is enough, but it is another", params: level(2), o: seen(no, no, no, no), want: risk.Fired, value: 3.0, evidence: foreign},
		{name: "a known device does not help", params: map[string]any{"provider_on_known_device": 0.0}, o: seen(no, no, yes, yes), want: risk.Fired, value: 2.0, evidence: provider},

		{name: "nothing to compare with", o: seen(unknown, unknown, unknown, yes), want: risk.CannotTell, evidence: "There is no earlier login to compare " + where + " with."},
		{name: "private", o: private, want: risk.CannotTell, evidence: isPrivate},
		{name: "bad", o: bad, want: risk.CannotTell, evidence: isBad},
		{name: "missing", o: missing, want: risk.CannotTell, evidence: isMissing},
	})
}
