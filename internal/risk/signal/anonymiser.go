package signal

import "github.com/kosmoscope/kosmoscope/internal/risk"

var anonymiser = Signal{
	Name: "anonymiser", Title: "Anonymiser", Weight: 30,
	Help: "Fires when the network is on the operator's own list of VPNs, proxies and Tor exits (geo.anonymisers). Cannot tell without such a list, or from a private or missing address.",
	Asks: "the network hides where it comes from",
	Bind: func(Params) func(*risk.Observation) risk.Reading { return readAnonymiser },
}

func readAnonymiser(o *risk.Observation) risk.Reading {
	const name = "anonymiser"
	switch {
	case o.Anonymiser != "":
		return reading(name, risk.Fired, "%s is on the list of anonymisers as %s.", network(o), o.Anonymiser)
	case o.Listed:
		return reading(name, risk.Clear, "%s is not on the list of anonymisers.", network(o))
	}
	if why := noAddress(o); why != "" {
		return reading(name, risk.CannotTell, "%s", why)
	}
	return reading(name, risk.CannotTell, "There is no list of anonymisers.")
}
