package geo_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kosmoscope/kosmoscope/internal/geo"
)

var day = time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)

type entry struct {
	network string
	place   geo.Place
}

var (
	a = geo.Place{Country: "AA", City: "Aaa", Latitude: 10.04, Longitude: -20.06, HasCoordinates: true}
	b = geo.Place{Country: "BB", City: "", Latitude: -90, Longitude: 180, RadiusKM: 12.2, HasCoordinates: true}
	c = geo.Place{Country: "AA", City: "Çç"} // no coordinates

	small = []entry{
		{"1.0.0.0/24", a}, {"1.0.1.0/25", a}, {"1.0.1.128/32", b}, {"1.0.1.129/32", c}, {"1.0.1.130/31", c}, {"1.0.2.0/24", a}, {"223.255.255.255/32", b},
		{"2400::/16", a}, {"2401:1::/48", b}, {"2401:1:1::/64", c}, {"2401:1:1:1::/65", a}, {"2401:1:1:1:8000::/65", b}, {"2401:1:1:2::/128", c},
	}
)

func pack(t testing.TB, entries []entry) []byte {
	t.Helper()
	var p geo.Packer
	for _, e := range entries {
		if err := p.Add(netip.MustParsePrefix(e.network), e.place); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := p.Write(&out, day, "By me", "https://example.com"); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestSmallTable(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "places.bin.gz")
	if err := os.WriteFile(path, pack(t, small), 0o600); err != nil {
		t.Fatal(err)
	}
	table, err := geo.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	// Rounding moves the coordinates by up to 0.05 degrees each way, and the radius tells.
	ra, rb, rc := a, b, c
	ra.Latitude, ra.Longitude, ra.RadiusKM, rb.RadiusKM = 10, -20.1, 7, 13
	none := geo.Place{}
	for addr, want := range map[string]geo.Place{
		"0.255.255.255": none, "1.0.0.0": ra, "1.0.0.255": ra, "1.0.1.0": ra, "1.0.1.127": ra, "1.0.1.128": rb, "1.0.1.129": rc, "1.0.1.131": rc,
		"1.0.1.132": none, "1.0.1.255": none, "1.0.2.0": ra, "1.0.2.255": ra, "1.0.3.0": none, "223.255.255.254": none, "223.255.255.255": rb,
		"23ff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": none, "2400::": ra, "2400:ffff:ffff:ffff:ffff:ffff:ffff:ffff": ra, "2401::": none,
		"2401:1::": rb, "2401:1:0:ffff:ffff:ffff:ffff:ffff": rb, "2401:1:1::": rc, "2401:1:1:0:ffff:ffff:ffff:ffff": rc,
		"2401:1:1:1::": ra, "2401:1:1:1:ffff::": ra, // the first in a /64 stands for it
		"2401:1:1:2::": rc, "2401:1:1:2:ffff::": rc, "2401:1:1:3::": none, "2fff::": none,
	} {
		if got, ok := table.Lookup(netip.MustParseAddr(addr)); got != want || ok != (want != none) {
			t.Errorf("%s: %+v, %t, not %+v", addr, got, ok, want)
		}
	}
	if v4, v6 := table.Ranges(); v4 != 8 || v6 != 7 || table.Places() != 3 {
		t.Errorf("%d and %d ranges, %d places", v4, v6, table.Places())
	}
	if got := table.Date(); !got.Equal(day.Truncate(24 * time.Hour)) {
		t.Errorf("the date is %s", got)
	}
	if table.Attribution() != "By me" || table.AttributionURL() != "https://example.com" {
		t.Errorf("attribution is %q, %q", table.Attribution(), table.AttributionURL())
	}
}

func TestEmptyTable(t *testing.T) {
	t.Parallel()
	table, err := geo.Read(pack(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{"78.55.20.10", "2a02::1"} {
		if got, ok := table.Lookup(netip.MustParseAddr(addr)); ok {
			t.Errorf("%s is at %+v", addr, got)
		}
	}
}

func TestPackingIsDeterministic(t *testing.T) {
	t.Parallel()
	// More places than one, each as often named as the others: only their order in a map differs.
	var entries []entry
	for i := range 200 {
		addr := netip.AddrFrom4([4]byte{20, byte(i), 0, 0})
		entries = append(entries, entry{netip.PrefixFrom(addr, 16).String(), geo.Place{
			Country: string([]byte{'A' + byte(i%26), 'A' + byte(i%7)}), City: strings.Repeat("x", i%11), Latitude: float64(i % 90), HasCoordinates: true}})
	}
	first := pack(t, entries)
	for range 20 {
		if !bytes.Equal(first, pack(t, entries)) {
			t.Fatal("the same networks gave another file")
		}
	}
}

// What a table says is what a plain search through the networks says, for any networks.
func TestLikePlainSearch(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v6 := rapid.Bool().Draw(t, "IPv6")
		size := 32
		if v6 {
			size = 64
		}
		addr := func(n uint64) netip.Addr {
			var b [16]byte
			if !v6 {
				binary.BigEndian.PutUint32(b[:], uint32(n))
				return netip.AddrFrom4([4]byte(b[:4]))
			}
			binary.BigEndian.PutUint64(b[:], n)
			return netip.AddrFrom16(b)
		}
		type network struct {
			from, to uint64
			place    geo.Place
		}
		var all []network
		var p geo.Packer
		at := uint64(20) << 24 // 20.0.0.0
		if v6 {
			at = 0x2400 << 48
		}
		for range rapid.IntRange(0, 100).Draw(t, "networks") {
			bits := rapid.IntRange(size-12, size).Draw(t, "bits")
			width := uint64(1) << (size - bits)
			at = (at+width-1)/width*width + width*rapid.Uint64Range(0, 9).Draw(t, "gap")/7
			at = (at + width - 1) / width * width
			place := geo.Place{Country: rapid.SampledFrom([]string{"AA", "BB"}).Draw(t, "country"), City: rapid.StringN(0, 3, 12).Draw(t, "city")}
			if err := p.Add(netip.PrefixFrom(addr(at), bits), place); err != nil {
				t.Fatal(err)
			}
			all = append(all, network{at, at + width, place})
			at += width
		}
		var out bytes.Buffer
		if err := p.Write(&out, day, "", ""); err != nil {
			t.Fatal(err)
		}
		table, err := geo.Read(out.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range all {
			for _, ask := range []uint64{n.from - 1, n.from, n.to - 1, n.to} {
				var want geo.Place
				for _, m := range all {
					if m.from <= ask && ask < m.to {
						want = m.place
					}
				}
				if got, ok := table.Lookup(addr(ask)); got != want || ok != (want != geo.Place{}) {
					t.Fatalf("%s: %+v, %t, not %+v", addr(ask), got, ok, want)
				}
			}
		}
	})
}

func TestPackerRefuses(t *testing.T) {
	t.Parallel()
	ok := geo.Place{Country: "DE"}
	with := func(change func(*geo.Place)) geo.Place {
		p := a
		change(&p)
		return p
	}
	for name, e := range map[string]entry{
		"host bits":            {"20.0.0.1/24", ok},
		"mapped":               {"::ffff:20.0.0.0/120", ok},
		"before the last":      {"9.0.0.0/24", ok},
		"within the last":      {"10.0.0.128/25", ok},
		"before the last IPv6": {"2001::/32", ok},
		"all IPv6":             {"::/0", ok},
		"the end of IPv6":      {"ffff::/16", ok},
		"no country":           {"20.0.0.0/24", geo.Place{City: "Berlin"}},
		"small letters":        {"20.0.0.0/24", geo.Place{Country: "de"}},
		"long name":            {"20.0.0.0/24", geo.Place{Country: "DE", City: strings.Repeat("x", 1025)}},
		"latitude":             {"20.0.0.0/24", with(func(p *geo.Place) { p.Latitude = 90.01 })},
		"longitude":            {"20.0.0.0/24", with(func(p *geo.Place) { p.Longitude = -181 })},
		"radius":               {"20.0.0.0/24", with(func(p *geo.Place) { p.RadiusKM = -1 })},
	} {
		var p geo.Packer
		for _, before := range []string{"10.0.0.0/24", "2a00::/16"} {
			if err := p.Add(netip.MustParsePrefix(before), ok); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Add(netip.MustParsePrefix(e.network), e.place); err == nil {
			t.Errorf("%s: %s was taken", name, e.network)
		}
	}
	var p geo.Packer
	if err := p.Add(netip.Prefix{}, ok); err == nil {
		t.Error("no network was taken")
	}
	if err := p.Write(io.Discard, time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC), "", ""); err == nil {
		t.Error("a date before 1970 was taken")
	}
}

func squeeze(t testing.TB, raw []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func unsqueeze(t testing.TB, packed []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestMalformedFilesAreRefused(t *testing.T) {
	t.Parallel()
	good := pack(t, small)
	raw := unsqueeze(t, good)
	// cut off anywhere, before and after packing
	for i := range good {
		if _, err := geo.Read(good[:i]); err == nil {
			t.Errorf("the file of %d bytes was taken, cut off at %d", len(good), i)
		}
	}
	for i := range raw {
		if _, err := geo.Read(squeeze(t, raw[:i])); err == nil {
			t.Errorf("the table of %d bytes was taken, cut off at %d", len(raw), i)
		}
	}
	damaged := bytes.Clone(good)
	damaged[len(good)/2] ^= 4
	longer := bytes.Clone(good)
	binary.LittleEndian.PutUint32(longer[len(longer)-4:], uint32(len(raw)+1))
	shorter := bytes.Clone(good)
	binary.LittleEndian.PutUint32(shorter[len(shorter)-4:], uint32(len(raw)-1))
	other := append([]byte("kosmoscope geo 2\n"), raw[17:]...)
	for name, b := range map[string][]byte{
		"nothing": nil, "text": []byte("not a table, but a longer text than a heading"), "damaged": damaged, "says longer": longer, "says shorter": shorter,
		"something after the file": append(bytes.Clone(good), 0), "two files": append(bytes.Clone(good), good...),
		"something after the table": squeeze(t, append(bytes.Clone(raw), 0)), "other version": squeeze(t, other),
	} {
		if _, err := geo.Read(b); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if _, err := geo.Open(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there was opened")
	}
}

// Counts in a small file must not make large tables, nor may it unpack to much.
func TestSmallFilesTakeLittleMemory(t *testing.T) {
	head := append([]byte("kosmoscope geo 1\n"), 1, 0, 0)
	huge := binary.AppendUvarint(nil, 1<<40)
	says := squeeze(t, []byte("x"))
	binary.LittleEndian.PutUint32(says[len(says)-4:], 100<<20)
	for name, b := range map[string][]byte{
		"zeros":        squeeze(t, make([]byte, 16<<20)),
		"says 100 MiB": says,
		"countries":    squeeze(t, append(bytes.Clone(head), huge...)),
		"city names":   squeeze(t, append(append(bytes.Clone(head), 0), huge...)),
		"places":       squeeze(t, append(append(bytes.Clone(head), 0, 0), huge...)),
		"ranges":       squeeze(t, append(append(bytes.Clone(head), 0, 0, 0), huge...)),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := geo.Read(b)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s was taken", name)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
			t.Errorf("%s took %d bytes", name, took)
		}
	}
}

// FuzzOpen gives the decoder tables that are packed right but hold anything.
func FuzzOpen(f *testing.F) {
	f.Add(unsqueeze(f, pack(f, small)))
	f.Add(unsqueeze(f, pack(f, nil)))
	f.Add([]byte("kosmoscope geo 1\n\x01\x00\x00\x01DE\x01\x00\x01\x00\x00\x00\x00\x00\x01\x01\x20\x01\x01\x01\x01\xfd\x01\x01"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, _ = geo.Read(raw) // not packed at all
		table, err := geo.Read(squeeze(t, raw))
		if err != nil {
			return
		}
		for _, addr := range []string{"1.0.0.0", "1.0.1.129", "78.55.20.10", "223.255.255.255", "2000::", "2401:1::", "3ffe:ffff:ffff:ffff::"} {
			if p, ok := table.Lookup(netip.MustParseAddr(addr)); ok && len(p.Country) != 2 {
				t.Errorf("%s: %+v", addr, p)
			}
		}
	})
}
