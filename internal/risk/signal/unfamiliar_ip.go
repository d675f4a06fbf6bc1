package signal

import "github.com/kosmoscope/kosmoscope/internal/risk"

// How far an address is from the familiar ones, as the value of unfamiliar_ip.
const (
	sameAddress = 0
	sameNetwork = 1
	sameAS      = 2
	foreign     = 3
)

var unfamiliarIP = Signal{
	Name: "unfamiliar_ip", Title: "Unfamiliar network", Weight: 15, Unit: "steps away",
	Help: "Fires when neither the address, nor its network, nor its provider (AS) is familiar. Mobile carriers and VPN exits change addresses all the time: another network of a familiar provider, on a device that is known, is clear. Cannot tell from a private or missing address, or without any earlier login.",
	Asks: "the network is unfamiliar",
	Params: []Param{
		{Name: "familiar", Title: "What counts as familiar", Help: "0: only the very address. 1: its network (/24, of IPv6 /48). 2: also another network of the same provider.", Kind: Number, Number: sameNetwork, Max: sameAS},
		{Name: "provider_on_known_device", Title: "A familiar provider is enough on a known device", Help: "1: yes. 0: no.", Kind: Number, Number: 1, Max: 1},
	},
	Bind: func(p Params) func(*risk.Observation) risk.Reading {
		familiar, provider := p.number("familiar"), p.number("provider_on_known_device") >= 0.5
		return func(o *risk.Observation) risk.Reading { return readNetwork(o, familiar, provider) }
	},
}

func readNetwork(o *risk.Observation, familiar float64, provider bool) risk.Reading {
	const name = "unfamiliar_ip"
	if why := noAddress(o); why != "" {
		return reading(name, risk.CannotTell, "%s", why)
	}
	if o.AddressSeen == risk.Unknown && o.NetworkSeen == risk.Unknown && o.ASSeen == risk.Unknown {
		return reading(name, risk.CannotTell, "There is no earlier login to compare %s with.", network(o))
	}
	away, what := float64(foreign), "Neither the network nor the provider of %s is familiar."
	switch {
	case o.AddressSeen == risk.Yes:
		away, what = sameAddress, "%s is a familiar address."
	case o.NetworkSeen == risk.Yes:
		away, what = sameNetwork, "%s is in a familiar network."
	case o.ASSeen == risk.Yes:
		away, what = sameAS, "%s is a new network of a familiar provider."
	case o.ASSeen == risk.Unknown:
		what = "The network of %s is not familiar; of its provider nothing is known."
	}
	outcome := risk.Fired
	if away <= familiar {
		outcome = risk.Clear
	} else if away == sameAS && provider && (o.DeviceKnown == risk.Yes || o.DeviceTrusted == risk.Yes) {
		outcome, what = risk.Clear, "%s is a new network of a familiar provider, and the device is known."
	}
	return measured(name, outcome, away, what, network(o))
}
