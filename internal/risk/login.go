package risk

import (
	"net/netip"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/geo"
)

// Login is one login, as the door knows it that asks. All but At may be missing. What
// Descope says comes out of an authenticated flow, never from a browser directly.
type Login struct {
	At          time.Time
	Application string
	Scopes      []string   // nil: not said
	IP          netip.Addr // zero: not said, or not readable
	IPGiven     bool       // something was said, readable or not
	UserAgent   string     // for display

	// Device is the id of the device out of our own signed cookie; empty at door A,
	// where Descope calls us server to server and no cookie arrives.
	Device string

	// Descope's keys, as a flow has them.
	KnownDevice, TrustedDevice, ImpossibleTravel, VPN, Bot Tri

	RiskScore     *float64 // 0 to 1, as Descope's riskInfo.riskScore; nil: not said
	LastCountries []string // ISO 3166-1 alpha-2; nil: not said
	LastIPs       []netip.Addr
}

// Where is what an address says about a network and a place.
type Where struct {
	Address AddressKind

	Country, City       string // as geo.Place has them; empty: cannot be told
	Latitude, Longitude float64
	RadiusKM            float64
	HasCoordinates      bool

	ASN    uint32 // autonomous system; 0: cannot be told
	ASName string // in words; may be empty

	// Anonymiser is what the operator's list calls the network (a VPN, a proxy, Tor);
	// empty if it is not on it. Listed says whether there is a list at all.
	Anonymiser string
	Listed     bool
}

// WhereOf is what an atlas tells of a public address.
func WhereOf(l geo.Location) Where {
	w := Where{Address: AddressPublic, Anonymiser: l.Anonymiser, Listed: l.Listed}
	if l.HasPlace {
		p := l.Place
		w.Country, w.City, w.HasCoordinates = p.Country, p.City, p.HasCoordinates
		w.Latitude, w.Longitude, w.RadiusKM = p.Latitude, p.Longitude, p.RadiusKM
	}
	if l.HasAS {
		w.ASN, w.ASName = l.ASN, l.ASName
	}
	return w
}

// AddressKind says what kind of an address a login came from. Only from a public one
// anything follows.
type AddressKind string

// Kinds of addresses.
const (
	AddressMissing AddressKind = ""        // none was given
	AddressBad     AddressKind = "bad"     // one was given that is none
	AddressPrivate AddressKind = "private" // private, loopback, link-local, shared (RFC 6598), documentation, ...
	AddressPublic  AddressKind = "public"
)
