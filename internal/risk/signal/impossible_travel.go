package signal

import (
	"math"

	"github.com/kosmoscope/kosmoscope/internal/risk"
)

var impossibleTravel = Signal{
	Name: "impossible_travel", Title: "Impossible travel", Weight: 60, Unit: "km/h",
	Help: "Fires when nobody travels as fast as this person must have, from one of the latest logins to this one; or when Descope says so. The error of both places is taken off the way first. Between two addresses of one provider (AS), or on a known device, it takes more, and with a familiar provider on a known device it is clear: places of addresses shift, and VPN exits jump. Cannot tell without coordinates or earlier logins.",
	Asks: "nobody can have travelled that fast",
	Params: []Param{
		{Name: "kmh", Title: "Fastest plausible travel", Kind: Number, Unit: "km/h", Number: 900, Min: 100, Max: 5000},
		{Name: "tolerance_km", Title: "Error of each place", Help: "Taken off the way for each end, besides the error that the table itself states.", Kind: Number, Unit: "km", Number: 100, Max: 2000},
		{Name: "floor_hours", Title: "Shortest time between two logins", Help: "Two logins closer together count as this far apart.", Kind: Number, Unit: "hours", Number: 0.25, Min: 0.01, Max: 24},
		{Name: "familiar_factor", Title: "How much more it takes on what is familiar", Help: "The plausible speed is multiplied by this where both logins used one provider, and again on a known device.", Kind: Number, Number: 2, Min: 1, Max: 100},
		{Name: "provider_on_known_device", Title: "A familiar provider is enough on a known device", Help: "1: yes. 0: no.", Kind: Number, Number: 1, Max: 1},
	},
	Bind: func(p Params) func(*risk.Observation) risk.Reading {
		t := travel{p.number("kmh"), p.number("tolerance_km"), p.number("floor_hours"), p.number("familiar_factor"), p.number("provider_on_known_device") >= 0.5}
		return t.read
	},
}

type travel struct {
	kmh, tolerance, floor, factor float64
	provider                      bool // a familiar one is enough on a known device
}

func (t travel) read(o *risk.Observation) risk.Reading {
	const name = "impossible_travel"
	if o.DescopeTravel == risk.Yes {
		return reading(name, risk.Fired, "Descope says that the travel is impossible.")
	}
	here := place(o.City, o.Country)
	known := o.DeviceKnown == risk.Yes || o.DeviceTrusted == risk.Yes
	worst, speed := -1, 0.0 // the leg that most exceeds what is plausible for it
	most := 0.0
	for i, leg := range o.Travels {
		if leg.Hours < 0 || !finite(leg.KM+leg.RadiusKM+leg.Hours) {
			continue // clocks disagree, or numbers that are none: nothing follows from it
		}
		kmh := max(0, leg.KM-leg.RadiusKM-2*t.tolerance) / max(leg.Hours, t.floor)
		plausible := t.kmh
		if leg.SameAS {
			plausible *= t.factor
		}
		if known {
			plausible *= t.factor
		}
		if over := kmh / plausible; worst < 0 || over > most {
			worst, most, speed = i, over, kmh
		}
	}
	if worst < 0 {
		if o.DescopeTravel == risk.No {
			return reading(name, risk.Clear, "Descope says that the travel is possible.")
		}
		if why := noAddress(o); why != "" {
			return reading(name, risk.CannotTell, "%s", why)
		}
		return reading(name, risk.CannotTell, "There are no two places to compare.")
	}
	leg := o.Travels[worst]
	from := place(leg.FromCity, leg.FromCountry)
	if most > 1 && t.provider && known && o.ASSeen == risk.Yes {
		return measured(name, risk.Clear, math.Round(speed), "%.0f km from %s to %s within %s would be too fast; but the provider is familiar and the device is known.", leg.KM, from, here, span(leg.Hours))
	}
	if most > 1 {
		return measured(name, risk.Fired, math.Round(speed), "%.0f km from %s to %s within %s would be at least %.0f km/h.", leg.KM, from, here, span(leg.Hours), speed)
	}
	return measured(name, risk.Clear, math.Round(speed), "%.0f km from %s to %s within %s are possible.", leg.KM, from, here, span(leg.Hours))
}
