package signal_test

import (
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/risk"
)

func TestGeoAnomaly(t *testing.T) {
	country := func(seen risk.Tri, known ...string) risk.Observation {
		return public(func(o *risk.Observation) { o.CountrySeen, o.KnownCountries = seen, known })
	}
	carrier := func(as, device, trusted risk.Tri) risk.Observation {
		o := country(risk.No, "FR")
		o.ASSeen, o.DeviceKnown, o.DeviceTrusted = as, device, trusted
		return o
	}
	noCity := country(risk.No, "FR")
	noCity.City = ""
	nowhere := country(risk.Unknown, "FR")
	nowhere.Country, nowhere.City = "", ""
	const (
		french = "The login came from Berlin, DE; earlier ones came from FR."
		roams  = "78.55.20.10 (Home Net, AS6805) is said to be in Berlin, DE, which is new; but the provider is familiar and the device is known."
	)
	table(t, "geo_anomaly", []row{
		{name: "seen", o: country(risk.Yes, "DE", "FR"), want: risk.Clear, evidence: "The login came from Berlin, DE, where the person has signed in before."},
		{name: "new", o: country(risk.No, "FR"), want: risk.Fired, evidence: french},
		{name: "new to two", o: country(risk.No, "ES", "FR"), want: risk.Fired, evidence: "The login came from Berlin, DE; earlier ones came from ES and FR."},
		{name: "new to many", o: country(risk.No, "AT", "CH", "ES", "FR", "GB", "IT", "PT", "US"), want: risk.Fired, evidence: "The login came from Berlin, DE; earlier ones came from AT, CH, ES, FR, GB, IT and 2 more."},
		{name: "no city", o: noCity, want: risk.Fired, evidence: "The login came from DE; earlier ones came from FR."},
		{name: "a familiar VPN on a known device", o: carrier(risk.Yes, risk.Yes, risk.Unknown), want: risk.Clear, evidence: roams},
		{name: "and on a trusted one", o: carrier(risk.Yes, risk.Unknown, risk.Yes), want: risk.Clear, evidence: roams},
		{name: "a familiar VPN, a new device", o: carrier(risk.Yes, risk.No, risk.No), want: risk.Fired, evidence: french},
		{name: "a familiar VPN, nobody says whether the device is known", o: carrier(risk.Yes, risk.Unknown, risk.Unknown), want: risk.Fired, evidence: french},
		{name: "a known device, another provider", o: carrier(risk.No, risk.Yes, risk.Yes), want: risk.Fired, evidence: french},
		{name: "a known device, the provider cannot be told", o: carrier(risk.Unknown, risk.Yes, risk.Yes), want: risk.Fired, evidence: french},
		{name: "switched off", params: map[string]any{"provider_on_known_device": 0.0}, o: carrier(risk.Yes, risk.Yes, risk.Yes), want: risk.Fired, evidence: french},
		{name: "nothing to compare with", o: country(risk.Unknown), want: risk.CannotTell, evidence: "The login came from Berlin, DE; there is no earlier one to compare with."},
		{name: "where it is cannot be told", o: nowhere, want: risk.CannotTell, evidence: "In which country 78.55.20.10 (Home Net, AS6805) is cannot be told."},
		{name: "private", o: private, want: risk.CannotTell, evidence: isPrivate},
		{name: "bad", o: bad, want: risk.CannotTell, evidence: isBad},
		{name: "missing", o: missing, want: risk.CannotTell, evidence: isMissing},
	})
}
