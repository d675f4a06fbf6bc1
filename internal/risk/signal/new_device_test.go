package signal_test

import (
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/risk"
)

func TestNewDevice(t *testing.T) {
	device := func(known, trusted risk.Tri, source string) risk.Observation {
		return risk.Observation{DeviceKnown: known, DeviceTrusted: trusted, DeviceSource: source}
	}
	table(t, "new_device", []row{
		{name: "our cookie, known", o: device(risk.Yes, risk.Unknown, "cookie"), want: risk.Clear, evidence: "Our cookie knows this device from an earlier login."},
		{name: "our cookie, new", o: device(risk.No, risk.Unknown, "cookie"), want: risk.Fired, evidence: "Our cookie does not know this device of this person."},
		{name: "Descope, known", o: device(risk.Yes, risk.No, "descope"), want: risk.Clear, evidence: "Descope knows this device from an earlier login."},
		{name: "Descope, trusted", o: device(risk.Yes, risk.Yes, "descope"), want: risk.Clear, evidence: "The person has marked this device as their own, says Descope."},
		{name: "new to our cookie, but trusted", o: device(risk.No, risk.Yes, "cookie"), want: risk.Clear, evidence: "The person has marked this device as their own, says Descope."},
		{name: "Descope, new", o: device(risk.No, risk.No, "descope"), want: risk.Fired, evidence: "Descope does not know this device of this person."},
		{name: "not trusted says nothing", o: device(risk.Unknown, risk.No, ""), want: risk.CannotTell, evidence: "Nobody says whether the device is known."},
		{name: "nobody says", o: device(risk.Unknown, risk.Unknown, ""), want: risk.CannotTell, evidence: "Nobody says whether the device is known."},
	})
}
