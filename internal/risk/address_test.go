package risk_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/geo"
	"github.com/kosmoscope/kosmoscope/internal/risk"
)

func TestKindOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		addr string
		want risk.AddressKind
		why  string
	}{
		{"78.55.20.10", risk.AddressPublic, ""},
		{"9.255.255.255", risk.AddressPublic, "below 10/8"},
		{"10.0.0.0", risk.AddressPrivate, "RFC 1918"},
		{"11.0.0.0", risk.AddressPublic, "above 10/8"},
		{"172.15.255.255", risk.AddressPublic, "below"},
		{"172.16.0.1", risk.AddressPrivate, "RFC 1918"},
		{"172.31.255.255", risk.AddressPrivate, "RFC 1918"},
		{"172.32.0.0", risk.AddressPublic, "above"},
		{"192.168.4.4", risk.AddressPrivate, "RFC 1918"},
		{"127.0.0.1", risk.AddressPrivate, "loopback"},
		{"169.254.169.254", risk.AddressPrivate, "link-local"},
		{"100.63.255.255", risk.AddressPublic, "below"},
		{"100.64.0.1", risk.AddressPrivate, "RFC 6598"},
		{"100.127.255.255", risk.AddressPrivate, "RFC 6598"},
		{"100.128.0.0", risk.AddressPublic, "above"},
		{"192.0.2.1", risk.AddressPrivate, "documentation"},
		{"198.51.100.1", risk.AddressPrivate, "documentation"},
		{"203.0.113.1", risk.AddressPrivate, "documentation"},
		{"198.18.0.1", risk.AddressPrivate, "benchmarking"},
		{"198.20.0.0", risk.AddressPublic, "above"},
		{"224.0.0.1", risk.AddressPrivate, "multicast"},
		{"255.255.255.255", risk.AddressPrivate, "broadcast"},
		{"0.0.0.0", risk.AddressPrivate, "unspecified"},
		{"0.1.2.3", risk.AddressPrivate, "RFC 791"},

		{"2a02:8109::10", risk.AddressPublic, ""},
		{"2a02:8109::10%eth0", risk.AddressPublic, "a zone says nothing"},
		{"::", risk.AddressPrivate, "unspecified"},
		{"::1", risk.AddressPrivate, "loopback"},
		{"fe80::1%eth0", risk.AddressPrivate, "link-local"},
		{"fd00::1", risk.AddressPrivate, "ULA"},
		{"fec0::1", risk.AddressPrivate, "site-local of old"},
		{"ff02::1", risk.AddressPrivate, "multicast"},
		{"100::1", risk.AddressPrivate, "discard"},
		{"2001::1", risk.AddressPrivate, "Teredo"},
		{"2001:2::1", risk.AddressPrivate, "benchmarking"},
		{"2001:200::1", risk.AddressPublic, "above 2001::/23"},
		{"2001:db8::7", risk.AddressPrivate, "documentation"},
		{"3fff::1", risk.AddressPrivate, "documentation"},
		{"4000::1", risk.AddressPrivate, "given to nobody"},

		{"::ffff:78.55.20.10", risk.AddressPublic, "mapped"},
		{"::ffff:10.0.0.1", risk.AddressPrivate, "mapped"},
		{"::78.55.20.10", risk.AddressPrivate, "IPv4-compatible of old"},
		{"64:ff9b::78.55.20.10", risk.AddressPublic, "translated"},
		{"64:ff9b::10.0.0.1", risk.AddressPrivate, "translated"},
		{"64:ff9b:1::78.55.20.10", risk.AddressPrivate, "local translator"},
		{"2002:4e37:140a::1", risk.AddressPublic, "6to4 of 78.55.20.10"},
		{"2002:a00:1::1", risk.AddressPrivate, "6to4 of 10.0.0.1"},
	} {
		if got := risk.KindOf(netip.MustParseAddr(c.addr), true); got != c.want {
			t.Errorf("%s is %q, want %q: %s", c.addr, got, c.want, c.why)
		}
	}
	if got := risk.KindOf(netip.Addr{}, true); got != risk.AddressBad {
		t.Errorf("an address that is none: %q", got)
	}
	if got := risk.KindOf(netip.Addr{}, false); got != risk.AddressMissing {
		t.Errorf("no address: %q", got)
	}
}

// What is private is nowhere: a table of places, which has a list of its own of what has
// none, agrees, even if it is told that all of the addresses are one place.
func TestPrivateIsNowhere(t *testing.T) {
	t.Parallel()
	var everywhere geo.Packer
	for _, all := range []string{"0.0.0.0/0", "::/1"} {
		if err := everywhere.Add(netip.MustParsePrefix(all), geo.Place{Country: "DE"}); err != nil {
			t.Fatal(err)
		}
	}
	var packed bytes.Buffer
	if err := everywhere.Write(&packed, now, "a test", "https://example.com"); err != nil {
		t.Fatal(err)
	}
	places, err := geo.Read(packed.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	r := rand.New(rand.NewPCG(6, 1))
	for range 10_000 {
		var four [4]byte
		binary.BigEndian.PutUint32(four[:], r.Uint32())
		var six [16]byte
		binary.BigEndian.PutUint64(six[:], r.Uint64())
		binary.BigEndian.PutUint64(six[8:], r.Uint64())
		if r.IntN(2) == 0 {
			copy(six[:], []byte{0x20, byte(r.IntN(3)), byte(r.IntN(16)), byte(r.IntN(256))})
		}
		for _, a := range []netip.Addr{netip.AddrFrom4(four), netip.AddrFrom16(six)} {
			_, ok := places.Lookup(a)
			if ok && risk.KindOf(a, true) != risk.AddressPublic {
				t.Fatalf("%s is %q here, and has a place there", a, risk.KindOf(a, true))
			}
			if ok {
				found++
			}
		}
	}
	if found < 8000 {
		t.Errorf("only %d addresses have a place", found)
	}
}

func TestNetworkOf(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"78.55.20.10":            "78.55.20.0/24",
		"::ffff:78.55.20.10":     "78.55.20.0/24",
		"64:ff9b::78.55.20.10":   "78.55.20.0/24",
		"2a02:8109:1:2:3:4:5:6":  "2a02:8109:1::/48",
		"2a02:8109:1:2::6%wlan0": "2a02:8109:1::/48",
	} {
		if got := risk.NetworkOf(netip.MustParseAddr(addr)).String(); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
	if got := risk.NetworkOf(netip.Addr{}); got.IsValid() {
		t.Errorf("of no address: %s", got)
	}
}

func FuzzKindOf(f *testing.F) {
	for _, s := range []string{"78.55.20.10", "::ffff:10.0.0.1", "64:ff9b::1.2.3.4", "2002:a00:1::", "fe80::1%x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := netip.ParseAddr(s)
		kind := risk.KindOf(a, err == nil)
		if !a.IsValid() {
			if kind == risk.AddressPublic || risk.NetworkOf(a).IsValid() {
				t.Fatalf("%q is %q", s, kind)
			}
			return
		}
		if n := risk.NetworkOf(a); !n.IsValid() || n != risk.NetworkOf(n.Addr()) {
			t.Fatalf("%q is in %s", s, n)
		}
		if kind != risk.KindOf(a.Unmap().WithZone(""), true) {
			t.Fatalf("%q: the wrapping counts", s)
		}
	})
}
