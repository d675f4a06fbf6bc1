package risk

import (
	"net/netip"
	"slices"
	"time"
)

// How long a face that did not match is felt: by the device and the network that it was
// shown from, and, much weaker, by the person it was not: whoever fails with somebody
// else's account must not be able to lock them out.
const (
	HeatLasts        = 24 * time.Hour
	SubjectHeatLasts = time.Hour
	SubjectHeat      = 0.25
)

// Kinds of Heat.
const (
	heatDevice  = "device"
	heatNetwork = "network"
	heatSubject = "subject"
)

// Scorch remembers that a face did not match, on a device (of our own cookie; empty: not
// known) and from an address.
func (h *History) Scorch(at time.Time, device string, ip netip.Addr) {
	h.scorch(heatSubject, "", at)
	if device != "" {
		h.scorch(heatDevice, device, at)
	}
	if KindOf(ip, true) == AddressPublic {
		h.scorch(heatNetwork, NetworkOf(ip).String(), at)
	}
}

func (h *History) scorch(kind, key string, at time.Time) {
	for _, e := range h.Heat {
		if e.Kind == kind && e.Key == key && e.At.After(at) { // heard of out of order
			at = e.At
		}
	}
	h.cool(kind, key)
	h.Heat = append([]Heat{{Kind: kind, Key: key, At: at}}, h.Heat...)
	h.Heat = h.Heat[:min(len(h.Heat), MaxHeat)]
}

// cool forgets one kind of heat.
func (h *History) cool(kind, key string) {
	h.Heat = slices.DeleteFunc(h.Heat, func(e Heat) bool { return e.Kind == kind && e.Key == key })
}

func (o *Observation) heat(l *Login, h *History) {
	network := ""
	if o.Address == AddressPublic {
		network = NetworkOf(l.IP).String()
	}
	for _, e := range h.Heat {
		switch {
		case e.Kind == heatDevice && l.Device != "" && e.Key == l.Device:
			o.HeatDevice = max(o.HeatDevice, left(e.At, l.At, HeatLasts))
		case e.Kind == heatNetwork && network != "" && e.Key == network:
			o.HeatNetwork = max(o.HeatNetwork, left(e.At, l.At, HeatLasts))
		case e.Kind == heatSubject:
			o.HeatSubject = max(o.HeatSubject, SubjectHeat*left(e.At, l.At, SubjectHeatLasts))
		}
	}
}

// left is 1 at the beginning and 0 when the time is over.
func left(since, now time.Time, lasts time.Duration) float64 {
	return min(1, max(0, 1-float64(now.Sub(since))/float64(lasts)))
}
