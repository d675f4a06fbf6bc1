package signal

import "github.com/kosmoscope/kosmoscope/internal/risk"

var newDevice = Signal{
	Name: "new_device", Title: "New device", Weight: 35,
	Help: "Fires when no login of this person that ended well came from this device. At door A Descope says so (its known and trusted device); with our own pages, a signed cookie. Cannot tell if neither is there.",
	Asks: "the device is new",
	Bind: func(Params) func(*risk.Observation) risk.Reading { return readDevice },
}

func readDevice(o *risk.Observation) risk.Reading {
	const name = "new_device"
	who := "Descope"
	if o.DeviceSource == risk.SourceCookie {
		who = "Our cookie"
	}
	switch {
	case o.DeviceTrusted == risk.Yes:
		return reading(name, risk.Clear, "The person has marked this device as their own, says Descope.")
	case o.DeviceKnown == risk.Yes:
		return reading(name, risk.Clear, "%s knows this device from an earlier login.", who)
	case o.DeviceKnown == risk.No:
		return reading(name, risk.Fired, "%s does not know this device of this person.", who)
	}
	return reading(name, risk.CannotTell, "Nobody says whether the device is known.")
}
