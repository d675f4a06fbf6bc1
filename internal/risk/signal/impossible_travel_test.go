package signal_test

import (
	"math"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/risk"
)

func TestImpossibleTravel(t *testing.T) {
	way := func(km, radius, hours float64) risk.Travel {
		return risk.Travel{FromCountry: "AU", FromCity: "Sydney", KM: km, RadiusKM: radius, Hours: hours}
	}
	legs := func(device risk.Tri, list ...risk.Travel) risk.Observation {
		return public(func(o *risk.Observation) { o.DeviceKnown, o.Travels = device, list })
	}
	sameAS := way(2200, 0, 1)
	sameAS.SameAS = true
	french := way(1800, 0, 1)
	french.FromCountry, french.FromCity = "FR", ""
	nan := way(math.NaN(), 0, 1)
	descope := func(o risk.Observation, says risk.Tri) risk.Observation { o.DescopeTravel = says; return o }
	provider := func(as, device, trusted risk.Tri) risk.Observation {
		o := legs(device, way(6700, 20, 1./6))
		o.ASSeen, o.DeviceTrusted = as, trusted
		return o
	}
	const fast = "6700 km from Sydney, AU to Berlin, DE within 10 minutes would be at least 25920 km/h."
	with := func(name string, n float64) map[string]any { return map[string]any{name: n} }
	const (
		unknown = risk.Unknown
		none    = "There are no two places to compare."
	)
	table(t, "impossible_travel", []row{
		{name: "around the world in an hour", o: legs(unknown, way(16097, 30, 1)), want: risk.Fired, value: 15867.0, evidence: "16097 km from Sydney, AU to Berlin, DE within 60 minutes would be at least 15867 km/h."},
		{name: "in a day", o: legs(unknown, way(16097, 30, 24)), want: risk.Clear, value: 661.0, evidence: "16097 km from Sydney, AU to Berlin, DE within 24 hours are possible."},
		{name: "just possible", o: legs(unknown, way(1100, 0, 1)), want: risk.Clear, value: 900.0, evidence: "1100 km from Sydney, AU to Berlin, DE within 60 minutes are possible."},
		{name: "hardly more", o: legs(unknown, way(1102, 0, 1)), want: risk.Fired, value: 902.0, evidence: "1102 km from Sydney, AU to Berlin, DE within 60 minutes would be at least 902 km/h."},
		{name: "the radius is taken off", o: legs(unknown, way(1102, 5, 1)), want: risk.Clear, value: 897.0, evidence: "1102 km from Sydney, AU to Berlin, DE within 60 minutes are possible."},
		{name: "the way is shorter than what it may be wrong by", o: legs(unknown, way(150, 10, 0)), want: risk.Clear, value: 0.0, evidence: "150 km from Sydney, AU to Berlin, DE within less than a minute are possible."},
		{name: "hours have fractions", o: legs(unknown, way(1000, 0, 0.5)), want: risk.Fired, value: 1600.0, evidence: "1000 km from Sydney, AU to Berlin, DE within 30 minutes would be at least 1600 km/h."},
		{name: "at the same moment: the floor", o: legs(unknown, way(400, 0, 0)), want: risk.Clear, value: 800.0, evidence: "400 km from Sydney, AU to Berlin, DE within less than a minute are possible."},
		{name: "at the same moment, from afar", o: legs(unknown, way(4200, 0, 0)), want: risk.Fired, value: 16000.0, evidence: "4200 km from Sydney, AU to Berlin, DE within less than a minute would be at least 16000 km/h."},

		{name: "a familiar provider: more", o: legs(unknown, sameAS), want: risk.Fired, value: 2000.0, evidence: "2200 km from Sydney, AU to Berlin, DE within 60 minutes would be at least 2000 km/h."},
		{name: "and a known device: again", o: legs(risk.Yes, sameAS), want: risk.Clear, value: 2000.0, evidence: "2200 km from Sydney, AU to Berlin, DE within 60 minutes are possible."},
		{name: "a known device alone", o: legs(risk.Yes, way(1800, 0, 1)), want: risk.Clear, value: 1600.0, evidence: "1800 km from Sydney, AU to Berlin, DE within 60 minutes are possible."},
		{name: "a new device", o: legs(risk.No, way(1800, 0, 1)), want: risk.Fired, value: 1600.0, evidence: "1800 km from Sydney, AU to Berlin, DE within 60 minutes would be at least 1600 km/h."},
		{name: "nothing is weighed", params: with("familiar_factor", 1), o: legs(risk.Yes, way(1800, 0, 1)), want: risk.Fired, value: 1600.0, evidence: "1800 km from Sydney, AU to Berlin, DE within 60 minutes would be at least 1600 km/h."},

		{name: "a VPN jumps, on a known device", o: provider(risk.Yes, risk.Yes, risk.Unknown), want: risk.Clear, value: 25920.0, evidence: "6700 km from Sydney, AU to Berlin, DE within 10 minutes would be too fast; but the provider is familiar and the device is known."},
		{name: "and on a trusted one", o: provider(risk.Yes, risk.No, risk.Yes), want: risk.Clear, value: 25920.0, evidence: "6700 km from Sydney, AU to Berlin, DE within 10 minutes would be too fast; but the provider is familiar and the device is known."},
		{name: "on a new device", o: provider(risk.Yes, risk.No, risk.No), want: risk.Fired, value: 25920.0, evidence: fast},
		{name: "nobody says whether the device is known", o: provider(risk.Yes, unknown, unknown), want: risk.Fired, value: 25920.0, evidence: fast},
		{name: "a known device, an unfamiliar provider", o: provider(risk.No, risk.Yes, risk.Yes), want: risk.Fired, value: 25920.0, evidence: fast},
		{name: "a known device, the provider cannot be told", o: provider(unknown, risk.Yes, risk.Yes), want: risk.Fired, value: 25920.0, evidence: fast},
		{name: "switched off", params: with("provider_on_known_device", 0), o: provider(risk.Yes, risk.Yes, risk.Yes), want: risk.Fired, value: 25920.0, evidence: fast},
		{name: "Descope's word stands", o: descope(provider(risk.Yes, risk.Yes, risk.Yes), risk.Yes), want: risk.Fired, evidence: "Descope says that the travel is impossible."},

		{name: "any of the latest", o: legs(unknown, way(10, 0, 1), way(16000, 0, 3), way(5000, 0, 40)), want: risk.Fired, value: 5267.0, evidence: "16000 km from Sydney, AU to Berlin, DE within 3 hours would be at least 5267 km/h."},
		{name: "the leg that exceeds most, not the fastest", o: legs(unknown, sameAS, french), want: risk.Fired, value: 1600.0, evidence: "1800 km from FR to Berlin, DE within 60 minutes would be at least 1600 km/h."},

		{name: "a slower world", params: with("kmh", 100), o: legs(unknown, way(500, 0, 1)), want: risk.Fired, value: 300.0, evidence: "500 km from Sydney, AU to Berlin, DE within 60 minutes would be at least 300 km/h."},
		{name: "no tolerance", params: with("tolerance_km", 0), o: legs(unknown, way(1000, 0, 1)), want: risk.Fired, value: 1000.0, evidence: "1000 km from Sydney, AU to Berlin, DE within 60 minutes would be at least 1000 km/h."},
		{name: "a longer floor", params: with("floor_hours", 10), o: legs(unknown, way(4200, 0, 0)), want: risk.Clear, value: 400.0, evidence: "4200 km from Sydney, AU to Berlin, DE within less than a minute are possible."},

		{name: "Descope says so", o: descope(legs(risk.Yes, way(10, 0, 1)), risk.Yes), want: risk.Fired, evidence: "Descope says that the travel is impossible."},
		{name: "Descope says so of a private address", o: descope(private, risk.Yes), want: risk.Fired, evidence: "Descope says that the travel is impossible."},
		{name: "Descope does not clear what we see", o: descope(legs(unknown, way(16000, 0, 1)), risk.No), want: risk.Fired, value: 15800.0, evidence: "16000 km from Sydney, AU to Berlin, DE within 60 minutes would be at least 15800 km/h."},
		{name: "only Descope can tell", o: descope(public(nil), risk.No), want: risk.Clear, evidence: "Descope says that the travel is possible."},

		{name: "clocks disagree", o: legs(unknown, way(16000, 0, -0.5)), want: risk.CannotTell, evidence: none},
		{name: "clocks disagree about one", o: legs(unknown, way(16000, 0, -0.5), way(300, 0, 1)), want: risk.Clear, value: 100.0, evidence: "300 km from Sydney, AU to Berlin, DE within 60 minutes are possible."},
		{name: "a way that is no number", o: legs(unknown, nan), want: risk.CannotTell, evidence: none},
		{name: "no earlier login", o: public(nil), want: risk.CannotTell, evidence: none},
		{name: "private", o: private, want: risk.CannotTell, evidence: isPrivate},
		{name: "bad", o: bad, want: risk.CannotTell, evidence: isBad},
		{name: "missing", o: missing, want: risk.CannotTell, evidence: isMissing},
	})
}
