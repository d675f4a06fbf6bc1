package geo_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kosmoscope/kosmoscope/internal/geo"
)

type asEntry struct {
	first, last string
	as          geo.AS
}

var (
	one = geo.AS{Number: 1, Name: "One"}
	two = geo.AS{Number: 4_199_999_999, Name: ""}
	six = geo.AS{Number: 6, Name: "Sïx"}

	smallNetworks = []asEntry{
		{"1.0.0.0", "1.0.0.255", one}, {"1.0.1.0", "1.0.1.2", one}, {"1.0.1.3", "1.0.1.3", two}, {"1.0.1.6", "1.0.2.0", six}, {"223.255.255.255", "223.255.255.255", one},
		{"2400::", "2400:ffff:ffff:ffff:ffff:ffff:ffff:ffff", one}, {"2401:1::", "2401:1:0:5:ffff::", two},
		{"2401:1:0:5:ffff::1", "2401:1:0:5:ffff::2", one}, {"2401:1:0:5:ffff::3", "2401:1:0:7:ffff:ffff:ffff:ffff", six},
	}
)

func packNetworks(t testing.TB, entries []asEntry) []byte {
	t.Helper()
	var p geo.NetworkPacker
	for _, e := range entries {
		if err := p.Add(netip.MustParseAddr(e.first), netip.MustParseAddr(e.last), e.as); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := p.Write(&out, day, geo.Credit{Text: "By me", URL: "https://example.com"}, geo.Credit{Text: "By you"}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestSmallNetworks(t *testing.T) {
	t.Parallel()
	table, err := geo.ReadNetworks(packNetworks(t, smallNetworks))
	if err != nil {
		t.Fatal(err)
	}
	none := geo.AS{}
	for addr, want := range map[string]geo.AS{
		"0.255.255.255": none, "1.0.0.0": one, "1.0.1.2": one, "1.0.1.3": two, "1.0.1.4": none, "1.0.1.5": none, "1.0.1.6": six, "1.0.2.0": six, "1.0.2.1": none,
		"223.255.255.254": none, "223.255.255.255": one, "23ff:ffff::": none, "2400::": one, "2400:ffff:ffff:ffff:ffff:ffff:ffff:ffff": one, "2401::": none,
		"2401:1::": two, "2401:1:0:5::": two, "2401:1:0:5:ffff:ffff::": two, // the first in a /64 stands for it
		"2401:1:0:6::": six, "2401:1:0:7:ffff::": six, "2401:1:0:8::": none, "::ffff:1.0.1.3": two, "2002:100:103::": two, "10.0.0.1": none, "2001:db8::": none,
	} {
		if got, ok := table.Lookup(netip.MustParseAddr(addr)); got != want || ok != (want != none) {
			t.Errorf("%s: %v, %t, not %v", addr, got, ok, want)
		}
	}
	if v4, v6 := table.Ranges(); table.Numbers() != 3 || v4 != 7 || v6 != 5 {
		t.Errorf("%d numbers, %d and %d ranges", table.Numbers(), v4, v6)
	}
	if want := []geo.Credit{{Text: "By me", URL: "https://example.com"}, {Text: "By you"}}; !slices.Equal(table.Credits(), want) || !table.Date().Equal(day.Truncate(24*time.Hour)) {
		t.Errorf("%v, %v", table.Credits(), table.Date())
	}
	if one.String() != "AS1 One" || two.String() != "AS4199999999" {
		t.Errorf("%v, %v", one, two)
	}
	table, err = geo.ReadNetworks(packNetworks(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := table.Lookup(netip.MustParseAddr("1.0.0.0")); ok {
		t.Errorf("%v", got)
	}
}

// What a table says is what a plain search through the ranges says, for any ranges.
func TestNetworksLikePlainSearch(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v6 := rapid.Bool().Draw(t, "IPv6")
		addr := func(n uint32, end bool) netip.Addr {
			var b [16]byte
			if !v6 {
				binary.BigEndian.PutUint32(b[:], 20<<24+n)
				return netip.AddrFrom4([4]byte(b[:4]))
			}
			binary.BigEndian.PutUint64(b[:], 0x2400<<48+uint64(n))
			if end {
				binary.BigEndian.PutUint64(b[8:], 1<<64-1)
			}
			return netip.AddrFrom16(b)
		}
		type span struct {
			from, to uint32
			as       geo.AS
		}
		var all []span
		var p geo.NetworkPacker
		at := uint32(0)
		for range rapid.IntRange(0, 100).Draw(t, "ranges") {
			at += rapid.SampledFrom([]uint32{0, 0, 0, 1, 77, 1 << 16}).Draw(t, "gap")
			width := rapid.SampledFrom([]uint32{1, 2, 3, 7, 9, 256, 1000, 1 << 14}).Draw(t, "width")
			n := rapid.Uint32Range(1, 5).Draw(t, "number")
			s := span{at, at + width - 1, geo.AS{Number: n, Name: strings.Repeat("n", int(n)-1)}}
			if err := p.Add(addr(s.from, false), addr(s.to, true), s.as); err != nil {
				t.Fatal(err)
			}
			all, at = append(all, s), at+width
		}
		var out bytes.Buffer
		if err := p.Write(&out, day); err != nil {
			t.Fatal(err)
		}
		table, err := geo.ReadNetworks(out.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			for _, ask := range []uint32{s.from - 1, s.from, s.to, s.to + 1} {
				var want geo.AS
				for _, o := range all {
					if o.from <= ask && ask <= o.to {
						want = o.as
					}
				}
				if got, ok := table.Lookup(addr(ask, ask%2 == 0)); got != want || ok != (want != geo.AS{}) {
					t.Fatalf("%s: %v, %t, not %v", addr(ask, false), got, ok, want)
				}
			}
		}
	})
}

func TestNetworkPackerRefuses(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]asEntry{
		"backwards":            {"20.0.0.9", "20.0.0.8", one},
		"two families":         {"20.0.0.9", "2a02::", one},
		"mapped":               {"::ffff:20.0.0.0", "::ffff:20.0.0.1", one},
		"before the last":      {"9.0.0.0", "9.0.0.1", one},
		"within the last":      {"10.0.0.200", "10.0.1.1", one},
		"before the last IPv6": {"2001::", "2002::", one},
		"within the last IPv6": {"2a00:0:0:5::", "2a01::", one},
		"the end of IPv6":      {"ffff::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", one},
		"number 0":             {"20.0.0.0", "20.0.0.1", geo.AS{}},
		"AS_TRANS":             {"20.0.0.0", "20.0.0.1", geo.AS{Number: 23456}},
		"private":              {"20.0.0.0", "20.0.0.1", geo.AS{Number: 64512}},
		"private, long":        {"20.0.0.0", "20.0.0.1", geo.AS{Number: 4_200_000_000}},
		"last":                 {"20.0.0.0", "20.0.0.1", geo.AS{Number: 1<<32 - 1}},
		"long name":            {"20.0.0.0", "20.0.0.1", geo.AS{Number: 1, Name: strings.Repeat("x", 1025)}},
		"zone":                 {"fe80::1%a", "fe80::2%a", one},
	} {
		var p geo.NetworkPacker
		for _, before := range [][2]string{{"10.0.0.0", "10.0.0.255"}, {"2a00::", "2a00:0:0:5:ffff::"}} {
			if err := p.Add(netip.MustParseAddr(before[0]), netip.MustParseAddr(before[1]), one); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Add(netip.MustParseAddr(e.first), netip.MustParseAddr(e.last), e.as); err == nil {
			t.Errorf("%s: %s to %s was taken", name, e.first, e.last)
		}
	}
	var p geo.NetworkPacker
	if err := p.Add(netip.Addr{}, netip.Addr{}, one); err == nil {
		t.Error("no range was taken")
	}
	for name, err := range map[string]error{
		"date":    p.Write(io.Discard, time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC)),
		"credit":  p.Write(io.Discard, day, geo.Credit{Text: strings.Repeat("x", 1025)}),
		"credits": p.Write(io.Discard, day, make([]geo.Credit, 17)...),
	} {
		if err == nil {
			t.Errorf("%s: was written", name)
		}
	}
}

func TestMalformedNetworksAreRefused(t *testing.T) {
	t.Parallel()
	good := packNetworks(t, smallNetworks)
	raw := unsqueeze(t, good)
	for i := range raw {
		if _, err := geo.ReadNetworks(squeeze(t, raw[:i])); err == nil {
			t.Errorf("the table of %d bytes was taken, cut off at %d", len(raw), i)
		}
	}
	places, err := os.ReadFile("places.bin.gz")
	if err != nil {
		t.Fatal(err)
	}
	head := "kosmoscope as 1\n"
	for name, b := range map[string][]byte{
		"nothing": nil, "places": places[:1<<16], "places, small": pack(t, small), "longer": squeeze(t, append(bytes.Clone(raw), 0)),
		"number 0":       squeeze(t, []byte(head+"\x01\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00")),
		"private number": squeeze(t, append(binary.AppendUvarint([]byte(head+"\x01\x00\x01"), 64512), 0, 0, 0, 0, 0, 0, 0)),
		"credits":        squeeze(t, []byte(head+"\x01\x7f")),
		"many numbers":   squeeze(t, append([]byte(head+"\x01\x00"), binary.AppendUvarint(nil, 1<<40)...)),
	} {
		if _, err := geo.ReadNetworks(b); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if _, err := geo.Read(good); err == nil {
		t.Error("AS numbers were taken for places")
	}
}

// FuzzNetworks gives the decoder tables that are packed right but hold anything.
func FuzzNetworks(f *testing.F) {
	f.Add(unsqueeze(f, packNetworks(f, smallNetworks)))
	f.Add(unsqueeze(f, packNetworks(f, nil)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		table, err := geo.ReadNetworks(squeeze(t, raw))
		if err != nil {
			return
		}
		for _, addr := range []string{"1.0.0.0", "1.0.1.3", "78.55.20.10", "223.255.255.255", "2000::", "2401:1::", "3ffe:ffff:ffff:ffff::"} {
			if as, ok := table.Lookup(netip.MustParseAddr(addr)); ok && as.Number == 0 {
				t.Errorf("%s: %v", addr, as)
			}
		}
	})
}
