package risk

import "net/netip"

// What is not a place on the public internet (IANA special-purpose address registries,
// RFC 6890), besides what netip knows as private (RFC 1918), loopback, link-local
// (RFC 3927), multicast (RFC 5771) or unspecified.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // RFC 791
	netip.MustParsePrefix("100.64.0.0/10"),   // RFC 6598, shared by a carrier's customers
	netip.MustParsePrefix("192.0.0.0/24"),    // RFC 6890
	netip.MustParsePrefix("192.0.2.0/24"),    // RFC 5737, documentation
	netip.MustParsePrefix("198.18.0.0/15"),   // RFC 2544, benchmarking
	netip.MustParsePrefix("198.51.100.0/24"), // RFC 5737
	netip.MustParsePrefix("203.0.113.0/24"),  // RFC 5737
	netip.MustParsePrefix("240.0.0.0/4"),     // RFC 1112, reserved; and broadcast
	netip.MustParsePrefix("2001::/23"),       // RFC 2928, protocol assignments: Teredo, benchmarking (RFC 5180), ...
	netip.MustParsePrefix("2001:db8::/32"),   // RFC 3849, documentation
	netip.MustParsePrefix("3fff::/20"),       // RFC 9637, documentation
}

var (
	// globalUnicast is all of IPv6 that is given out to anybody (RFC 4291, section 2.4).
	// Outside are unique local addresses (RFC 4193), site-local ones of old (RFC 3879), the
	// discard prefix (RFC 6666), local translators (RFC 8215) and what nobody may use yet.
	globalUnicast = netip.MustParsePrefix("2000::/3")
	sixToFour     = netip.MustParsePrefix("2002::/16")    // RFC 3056
	nat64         = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052, section 2.1
)

// KindOf says what kind of an address a login came from; given is whether something was
// said at all. An address of IPv4 that an address of IPv6 carries (mapped, RFC 4291; or
// translated, RFC 6052) is what counts, and zones do not.
func KindOf(a netip.Addr, given bool) AddressKind {
	if !a.IsValid() {
		if given {
			return AddressBad
		}
		return AddressMissing
	}
	a = bare(a)
	if a.Is6() && !globalUnicast.Contains(a) {
		return AddressPrivate
	}
	if sixToFour.Contains(a) { // it is as public as the IPv4 address of its router
		b := a.As16()
		return KindOf(netip.AddrFrom4([4]byte(b[2:6])), true)
	}
	if a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() {
		return AddressPrivate
	}
	for _, p := range special {
		if p.Contains(a) {
			return AddressPrivate
		}
	}
	return AddressPublic
}

// NetworkOf is the network that an address is in: a /24 of IPv4, a /48 of IPv6 (RFC 6177:
// what a site usually has at most). It is the zero Prefix of no address.
func NetworkOf(a netip.Addr) netip.Prefix {
	a = bare(a)
	bits := 24
	if a.Is6() {
		bits = 48
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// bare is the address without its wrapping. Were a translated one left as it is, all of
// IPv4 would be one network.
func bare(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	return a
}
