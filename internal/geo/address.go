package geo

import (
	"encoding/binary"
	"net/netip"
)

// nowhere is the part of the address space that has no place: the entries of IANA's
// special-purpose registries (RFC 6890) that are not globally reachable, multicast, and the
// anycast and tunnel addresses that say nothing about where their user is.
var nowhere = prefixes(
	"0.0.0.0/8",       // this network
	"10.0.0.0/8",      // private, RFC 1918
	"100.64.0.0/10",   // shared by the customers of a carrier, RFC 6598
	"127.0.0.0/8",     // loopback
	"169.254.0.0/16",  // link-local, RFC 3927
	"172.16.0.0/12",   // private
	"192.0.0.0/24",    // protocol assignments, RFC 6890
	"192.0.2.0/24",    // documentation, RFC 5737
	"192.31.196.0/24", // AS112 anycast, RFC 7535
	"192.52.193.0/24", // AMT anycast, RFC 7450
	"192.88.99.0/24",  // 6to4 relay anycast, RFC 7526
	"192.168.0.0/16",  // private
	"192.175.48.0/24", // AS112 anycast, RFC 7534
	"198.18.0.0/15",   // benchmarks, RFC 2544
	"198.51.100.0/24", // documentation
	"203.0.113.0/24",  // documentation
	"224.0.0.0/4",     // multicast
	"240.0.0.0/4",     // reserved, and broadcast

	"2001::/23",         // protocol assignments, RFC 2928: Teredo, ORCHID, benchmarks, anycast
	"2001:db8::/32",     // documentation, RFC 3849
	"2620:4f:8000::/48", // AS112 anycast
	"3fff::/20",         // documentation, RFC 9637
)

var (
	globalUnicast = netip.MustParsePrefix("2000::/3")     // all that IANA gives out of IPv6, RFC 4291
	sixToFour     = netip.MustParsePrefix("2002::/16")    // RFC 3056
	nat64         = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052; 64:ff9b:1::/48 is local, RFC 8215
)

func prefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, t := range texts {
		out[i] = netip.MustParsePrefix(t)
	}
	return out
}

// public is the address that the table is asked for: an IPv4 address that was carried
// in an IPv6 one is taken out. It is false if the address has no place.
func public(a netip.Addr) (netip.Addr, bool) {
	a = a.Unmap()
	if a.Zone() != "" {
		return a, false
	}
	if a.Is6() {
		b := a.As16()
		switch {
		case nat64.Contains(a):
			a = netip.AddrFrom4([4]byte(b[12:]))
		case sixToFour.Contains(a):
			a = netip.AddrFrom4([4]byte(b[2:]))
		case !globalUnicast.Contains(a):
			return a, false
		}
	}
	if !a.IsValid() {
		return a, false
	}
	for _, p := range nowhere {
		if p.Contains(a) {
			return a, false
		}
	}
	return a, true
}

// number is the address as the ranges count: the address (IPv4), or its /64 network.
func number(a netip.Addr) uint64 {
	if a.Is4() {
		b := a.As4()
		return uint64(binary.BigEndian.Uint32(b[:]))
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[:])
}
