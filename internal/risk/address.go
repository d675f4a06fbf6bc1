package risk

import "net/netip"

// What is not a place on the public internet (IANA special-purpose address registries,
// RFC 6890), besides what netip knows as private, loopback, link-local, multicast or
// unspecified.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // RFC 791
	netip.MustParsePrefix("100.64.0.0/10"),   // RFC 6598, shared by a carrier's customers
	netip.MustParsePrefix("192.0.0.0/24"),    // RFC 6890
	netip.MustParsePrefix("192.0.2.0/24"),    // RFC 5737, documentation
	netip.MustParsePrefix("198.18.0.0/15"),   // RFC 2544, benchmarking
	netip.MustParsePrefix("198.51.100.0/24"), // RFC 5737
	netip.MustParsePrefix("203.0.113.0/24"),  // RFC 5737
	netip.MustParsePrefix("240.0.0.0/4"),     // RFC 1112, reserved; and broadcast
	netip.MustParsePrefix("100::/64"),        // RFC 6666, discard
	netip.MustParsePrefix("2001:2::/48"),     // RFC 5180, benchmarking
	netip.MustParsePrefix("2001:db8::/32"),   // RFC 3849, documentation
	netip.MustParsePrefix("3fff::/20"),       // RFC 9637, documentation
	netip.MustParsePrefix("fec0::/10"),       // RFC 3879, site-local of old
}

// KindOf says what kind of an address a login came from; given is whether something was
// said at all. IPv4-mapped addresses of IPv6 are taken for what they map.
func KindOf(a netip.Addr, given bool) AddressKind {
	if !a.IsValid() {
		if given {
			return AddressBad
		}
		return AddressMissing
	}
	a = a.Unmap().WithZone("")
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
	a = a.Unmap().WithZone("")
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
