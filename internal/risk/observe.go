package risk

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/geo"
)

// Context is what was looked up besides the history before a login is observed.
type Context struct {
	Window             time.Duration // of Attempts and Failures
	Attempts, Failures Counts
	ProofedAt          time.Time
	ProofedBy          string
	ProofingKnown      bool
}

// Who says that something was seen before.
const (
	SourceHistory = "history"
	SourceDescope = "descope"
	SourceCookie  = "cookie"
)

// Observe puts a login beside what was known at that moment. h is nil for a person
// without a history. It changes nothing and asks nobody.
func Observe(l Login, w Where, h *History, c Context) Observation {
	if h == nil {
		h = &History{}
	}
	o := Observation{
		At: l.At, Application: l.Application, Scopes: l.Scopes, ScopesGiven: l.Scopes != nil, UserAgent: l.UserAgent,
		DescopeTravel: l.ImpossibleTravel, Window: c.Window, Attempts: c.Attempts, Failures: c.Failures,
		Logins: h.Logins, LastLogin: earlier(h.Last, l.At), VPN: l.VPN, Bot: l.Bot, RiskScore: l.RiskScore,
		ProofedAt: earlier(c.ProofedAt, l.At), ProofedBy: c.ProofedBy, ProofingKnown: c.ProofingKnown, Address: w.Address,
	}
	if c.ProofedAt.Sub(l.At) > skew { // it lowers the risk: a clock that was wrong must not, for long
		o.ProofedAt, o.ProofedBy, o.ProofingKnown = time.Time{}, "", false
	}
	if l.RiskScore != nil && !finite(*l.RiskScore) {
		o.RiskScore = nil
	}
	o.device(&l, h)
	if w.Address == AddressPublic {
		o.network(&l, w, h)
		o.place(&l, w, h)
		o.Anonymiser, o.Listed = w.Anonymiser, w.Listed
	}
	o.hours(h, l.At)
	o.heat(&l, h)
	return o
}

// skew is by how much clocks may disagree for a proof to count.
const skew = time.Hour

// earlier is t, but not after now: clocks may disagree.
func earlier(t, now time.Time) time.Time {
	if t.After(now) {
		return now
	}
	return t
}

func (o *Observation) device(l *Login, h *History) {
	o.DeviceTrusted = l.TrustedDevice
	if l.Device != "" {
		o.DeviceSource = SourceCookie
		o.DeviceKnown = TriOf(slices.ContainsFunc(h.Devices, func(d SeenDevice) bool { return d.ID == l.Device }))
		return
	}
	switch {
	case l.KnownDevice == Yes || l.TrustedDevice == Yes:
		o.DeviceKnown, o.DeviceSource = Yes, SourceDescope
	case l.KnownDevice == No: // not trusted alone says nothing: few people mark a device
		o.DeviceKnown, o.DeviceSource = No, SourceDescope
	}
}

func (o *Observation) network(l *Login, w Where, h *History) {
	ip := bare(l.IP)
	o.IP, o.ASN, o.ASName = ip.String(), w.ASN, w.ASName
	prefix := NetworkOf(ip)
	for _, n := range h.Nets {
		was, err := netip.ParseAddr(n.IP)
		if err != nil {
			continue
		}
		o.AddressSource = SourceHistory
		o.AddressSeen = either(o.AddressSeen, was == ip)
		o.NetworkSeen = either(o.NetworkSeen, prefix.Contains(was))
		if n.ASN != 0 && w.ASN != 0 {
			o.ASSeen = either(o.ASSeen, n.ASN == w.ASN)
		}
	}
	// Descope remembers a few addresses, and no providers. What it adds is what counts; that
	// it does not know one says nothing where we have a history.
	address, network := Unknown, Unknown
	for _, was := range l.LastIPs {
		if KindOf(was, true) == AddressPublic {
			was = bare(was)
			address, network = either(address, was == ip), either(network, prefix.Contains(was))
		}
	}
	if more(o.AddressSeen, address) || more(o.NetworkSeen, network) {
		o.AddressSource = SourceDescope
		o.AddressSeen, o.NetworkSeen = either(o.AddressSeen, address == Yes), either(o.NetworkSeen, network == Yes)
	}
}

// either is Yes if one of two says so, else No.
func either(t Tri, also bool) Tri {
	if also {
		return Yes
	}
	if t == Unknown {
		return No
	}
	return t
}

// more is whether what Descope says tells more than the history does.
func more(ours, theirs Tri) bool {
	return theirs != Unknown && (ours == Unknown || ours == No && theirs == Yes)
}

func (o *Observation) place(l *Login, w Where, h *History) {
	o.Country, o.City = strings.ToUpper(w.Country), w.City
	for _, p := range h.Places {
		o.KnownCountries = append(o.KnownCountries, strings.ToUpper(p.Country))
	}
	if len(o.KnownCountries) > 0 {
		o.CountrySource = SourceHistory
	}
	for _, country := range l.LastCountries {
		country = strings.ToUpper(country)
		if country == "" || slices.Contains(o.KnownCountries, country) || len(o.KnownCountries) >= 2*MaxPlaces {
			continue
		}
		o.KnownCountries = append(o.KnownCountries, country)
		if o.CountrySource == "" || country == o.Country {
			o.CountrySource = SourceDescope
		}
	}
	slices.Sort(o.KnownCountries)
	if o.Country != "" && len(o.KnownCountries) > 0 {
		o.CountrySeen = TriOf(slices.Contains(o.KnownCountries, o.Country))
	}
	if !w.HasCoordinates {
		return
	}
	here := geo.Place{Latitude: w.Latitude, Longitude: w.Longitude, HasCoordinates: true}
	for _, v := range h.Recent {
		if !v.HasCoordinates {
			continue
		}
		t := Travel{
			FromCountry: v.Country, FromCity: v.City,
			KM:       geo.DistanceKM(geo.Place{Latitude: v.Latitude, Longitude: v.Longitude, HasCoordinates: true}, here),
			RadiusKM: v.RadiusKM + w.RadiusKM, Hours: l.At.Sub(v.At).Hours(), SameAS: v.ASN != 0 && v.ASN == w.ASN,
		}
		if finite(t.KM, t.RadiusKM) { // else a file of the operator's has numbers that are none
			o.Travels = append(o.Travels, t)
		}
	}
}

// near is within how many hours of the day two logins are at the same time of day.
const near = 2

func (o *Observation) hours(h *History, at time.Time) {
	hour, in := at.UTC().Hour(), 0
	for i, n := range h.Hours {
		o.HourSamples += int(n)
		if d := (i - hour + 24) % 24; d <= near || d >= 24-near {
			in += int(n)
		}
	}
	if o.HourSamples > 0 {
		o.HourShare = float64(in) / float64(o.HourSamples)
	}
}
