package signal

import "github.com/kosmoscope/kosmoscope/internal/risk"

var geoAnomaly = Signal{
	Name: "geo_anomaly", Title: "New country", Weight: 40,
	Help: "Fires when no login of this person that ended well came from this country. VPN exits and roaming phones change countries: a familiar provider (AS) on a known device is clear. Cannot tell from a private or missing address, where the country is unknown, or without any earlier login.",
	Asks: "the country is new",
	Params: []Param{
		{Name: "provider_on_known_device", Title: "A familiar provider is enough on a known device", Help: "1: yes. 0: no.", Kind: Number, Number: 1, Max: 1},
	},
	Bind: func(p Params) func(*risk.Observation) risk.Reading {
		provider := p.number("provider_on_known_device") >= 0.5
		return func(o *risk.Observation) risk.Reading { return readCountry(o, provider) }
	},
}

func readCountry(o *risk.Observation, provider bool) risk.Reading {
	const name = "geo_anomaly"
	if why := noAddress(o); why != "" {
		return reading(name, risk.CannotTell, "%s", why)
	}
	if o.Country == "" {
		return reading(name, risk.CannotTell, "In which country %s is cannot be told.", network(o))
	}
	here := place(o.City, o.Country)
	switch o.CountrySeen {
	case risk.Yes:
		return reading(name, risk.Clear, "The login came from %s, where the person has signed in before.", here)
	case risk.No:
		if provider && o.ASSeen == risk.Yes && (o.DeviceKnown == risk.Yes || o.DeviceTrusted == risk.Yes) {
			return reading(name, risk.Clear, "%s is said to be in %s, which is new; but the provider is familiar and the device is known.", network(o), here)
		}
		return reading(name, risk.Fired, "The login came from %s; earlier ones came from %s.", here, and(o.KnownCountries))
	}
	return reading(name, risk.CannotTell, "The login came from %s; there is no earlier one to compare with.", here)
}
