package geo_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/kosmoscope/kosmoscope/internal/geo"
)

func file(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, o geo.AtlasOptions) *geo.Atlas {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	a, err := geo.OpenAtlas(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

func locate(a *geo.Atlas, addr string) geo.Location { return a.Locate(netip.MustParseAddr(addr)) }

func TestAtlasOfTheProgram(t *testing.T) {
	t.Parallel()
	a := open(t, geo.AtlasOptions{})
	a.Warm()
	for addr, number := range map[string]uint32{
		"78.55.20.10": 6805, "130.149.20.10": 680, "80.187.128.10": 3320, "85.240.20.30": 3243, "1.120.20.30": 1221, "8.8.8.8": 15169,
		"2001:4860:4860::8888": 15169, "::ffff:8.8.8.8": 15169, "64:ff9b::8.8.8.8": 15169,
	} {
		l := locate(a, addr)
		p, ok := lookup(t, addr)
		if l.ASN != number || !l.HasAS || l.ASName == "" || l.Place != p || l.HasPlace != ok || !l.Public || l.Listed || l.Anonymiser != "" {
			t.Errorf("%s: %+v, not AS%d at %+v", addr, l, number, p)
		}
		if as, ok := geo.LookupAS(netip.MustParseAddr(addr)); !ok || as != (geo.AS{Number: l.ASN, Name: l.ASName}) {
			t.Errorf("%s: %v", addr, as)
		}
	}
	if l := locate(a, "80.187.128.10"); l.ASName != "Deutsche Telekom AG" {
		t.Errorf("%q", l.ASName)
	}
	for _, addr := range []string{"10.1.2.3", "127.0.0.1", "100.64.0.1", "192.0.2.1", "fe80::1", "fc00::1", "::", "2001:db8::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "fe80::1%eth0"} {
		if l := locate(a, addr); l != (geo.Location{}) {
			t.Errorf("%s: %+v", addr, l)
		}
	}
	if l := a.Locate(netip.Addr{}); l != (geo.Location{}) {
		t.Errorf("no address: %+v", l)
	}
}

// The licences want these named.
// What takes memory may be left out; then nothing is known.
func TestWithoutTables(t *testing.T) {
	t.Parallel()
	a := open(t, geo.AtlasOptions{WithoutTables: true})
	a.Warm()
	if l := a.Locate(netip.MustParseAddr("8.8.8.8")); !l.Public || l.HasPlace || l.HasAS {
		t.Errorf("without tables: %+v", l)
	}
	if s := a.Sources(); len(s) != 0 {
		t.Errorf("sources without tables: %v", s)
	}
}

func TestSourcesOfTheProgram(t *testing.T) {
	t.Parallel()
	var got []string
	for _, s := range open(t, geo.AtlasOptions{}).Sources() {
		got = append(got, fmt.Sprintf("%s, %s, %s, %s, %s", s.What, s.Origin, s.Date.Format(time.DateOnly), s.Attribution, s.URL))
	}
	places := geo.Date().Format(time.DateOnly)
	want := []string{
		"places, embedded, " + places + ", IP Geolocation by DB-IP, https://db-ip.com",
		"networks, embedded, 2026-06-17, AS numbers by Route Views, https://www.routeviews.org",
		"networks, embedded, 2026-06-17, Number resources by the NRO, https://www.nro.net",
		"networks, embedded, 2026-06-17, IP Geolocation by DB-IP, https://db-ip.com",
	}
	if !slices.Equal(got, want) {
		t.Errorf("\n%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestFilesOfTheOperatorWin(t *testing.T) {
	t.Parallel()
	anycast := city("US", "Nowhere", 1, 1, 1)
	anycast["traits"] = record{"is_anycast": true}
	country := record{"country": record{"iso_code": "PT"}, "location": record{"latitude": 38.7}}
	o := geo.AtlasOptions{
		CityFile: file(t, "city.mmdb", mmdb(t, "GeoLite2-City", 6, map[string]record{
			"78.55.0.0/16": city("FR", "Paris", 48.8566, 2.3522, 20), "80.187.0.0/16": city("DE", "", 51, 9, 0), "1.120.0.0/16": country,
			"9.0.0.0/8": {"registered_country": record{"iso_code": "US"}, "location": record{"latitude": 1.0, "longitude": 1.0}}, "11.0.0.0/8": anycast,
			"12.0.0.0/8": city("de", "small letters", 1, 1, 1), "13.0.0.0/8": city("DE", "far", 91, math.NaN(), 1),
			"2a02:8109::/32": city("PT", "Lisbon", 38.7, -9.1, 5), "10.0.0.0/8": city("DE", "home", 1, 1, 1),
		})),
		ASFile: file(t, "as.mmdb", mmdb(t, "GeoIP2-ISP", 6, map[string]record{
			"78.55.0.0/16": as(3320, "Another Name"), "80.187.0.0/16": as(64512, "private"), "1.120.0.0/16": as(7, ""),
			"9.0.0.0/8": {"traits": as(8, "Enterprise")}, "2a02:8109::/32": as(9, "Six"), "10.0.0.0/8": as(10, "home"),
		})),
	}
	a := open(t, o)
	paris := geo.Place{Country: "FR", City: "Paris", Latitude: 48.8566, Longitude: 2.3522, RadiusKM: 20, HasCoordinates: true}
	for addr, want := range map[string]geo.Location{
		"78.55.20.10":        {Public: true, Place: paris, HasPlace: true, ASN: 3320, ASName: "Another Name", HasAS: true},
		"::ffff:78.55.20.10": {Public: true, Place: paris, HasPlace: true, ASN: 3320, ASName: "Another Name", HasAS: true},
		"2002:4e37:140a::1":  {Public: true, Place: paris, HasPlace: true, ASN: 3320, ASName: "Another Name", HasAS: true},
		"80.187.128.10":      {Public: true, Place: geo.Place{Country: "DE", Latitude: 51, Longitude: 9, RadiusKM: 50, HasCoordinates: true}, HasPlace: true},
		"1.120.20.30":        {Public: true, Place: geo.Place{Country: "PT"}, HasPlace: true, ASN: 7, HasAS: true},
		"9.1.1.1":            {Public: true, ASN: 8, ASName: "Enterprise", HasAS: true}, // only where it is registered
		"11.1.1.1":           {Public: true},
		"12.1.1.1":           {Public: true},
		"13.1.1.1":           {Public: true, Place: geo.Place{Country: "DE", City: "far"}, HasPlace: true},
		"85.240.20.30":       {Public: true}, // ours knows it, theirs does not
		"2a02:2455::10":      {Public: true},
		"2a02:8109::10":      {Public: true, Place: geo.Place{Country: "PT", City: "Lisbon", Latitude: 38.7, Longitude: -9.1, RadiusKM: 5, HasCoordinates: true}, HasPlace: true, ASN: 9, ASName: "Six", HasAS: true},
		"10.1.2.3":           {},
	} {
		if got := locate(a, addr); got != want {
			t.Errorf("%s: %+v\nnot %+v", addr, got, want)
		}
	}
	var got []string
	for _, s := range a.Sources() {
		got = append(got, fmt.Sprintf("%s, %s, %s, %s, %s", s.What, s.Origin, s.Date.Format(time.DateOnly), s.Attribution, s.URL))
	}
	if want := []string{
		"places, operator, 2026-01-02, This product includes GeoLite data created by MaxMind, https://www.maxmind.com",
		"networks, operator, 2026-01-02, GeoIP2-ISP made by a test, ",
	}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	// One kind of file alone leaves the other to the program.
	if l := locate(open(t, geo.AtlasOptions{CityFile: o.CityFile}), "85.240.20.30"); l.HasPlace || l.ASN != 3243 {
		t.Errorf("%+v", l)
	}
	if l := locate(open(t, geo.AtlasOptions{ASFile: o.ASFile}), "85.240.20.30"); l.Place.City != "Lisbon" || l.HasAS {
		t.Errorf("%+v", l)
	}
	// A file of IPv4 alone knows nothing of IPv6.
	a = open(t, geo.AtlasOptions{CityFile: file(t, "four.mmdb", mmdb(t, "DBIP-City-Lite", 4, map[string]record{"78.55.0.0/16": city("FR", "Paris", 48.8566, 2.3522, 20)}))})
	if l := locate(a, "78.55.20.10"); l.Place != paris {
		t.Errorf("%+v", l)
	}
	if l := locate(a, "2a02:8109::10"); l.HasPlace || !l.HasAS {
		t.Errorf("%+v", l)
	}
	if s := a.Sources()[0]; s.Attribution != "IP Geolocation by DB-IP" || s.URL != "https://db-ip.com" {
		t.Errorf("%+v", s)
	}
}

func TestFilesWithoutDescription(t *testing.T) {
	t.Parallel()
	b := mmdb(t, plain, 6, map[string]record{"78.55.0.0/16": as(3320, "A Name"), "2a02::/16": as(7, "Another")})
	a := open(t, geo.AtlasOptions{ASFile: file(t, "as.mmdb", b)})
	if l := locate(a, "2a02::1"); l.ASN != 7 || l.ASName != "Another" {
		t.Errorf("%+v", l)
	}
	if s := a.Sources(); s[len(s)-1].Attribution != plain || s[len(s)-1].Origin != geo.FromOperator {
		t.Errorf("%+v", s)
	}
	// A name that goes on behind the end of the file.
	i := bytes.Index(b, []byte("Another"))
	b[i-1] = 2<<5 | 30
	if _, err := geo.OpenAtlas(geo.AtlasOptions{ASFile: file(t, "damaged.mmdb", b)}); err == nil || !strings.Contains(err.Error(), "damaged: ") {
		t.Errorf("%v", err)
	}
}

func TestListOfAnonymisers(t *testing.T) {
	t.Parallel()
	a := open(t, geo.AtlasOptions{AnonymiserFile: file(t, "list.txt", []byte("\ufeff# a list\r\n"+`
  185.220.101.0/24	Tor   exit # of many
185.220.101.7 Tor exit seven
185.220.101.128/25 #half
185.220.101.130/31 two
185.220.101.130/31 never
185.220.0.0/16 Big
8.8.8.8 a#b
2a0b:f4c0::/32 Tor exit
2a0b:f4c0:16c::/48 Inner
2a0b:f4c0:16c::5 Innermost
::ffff:9.9.9.0/120 mapped
255.255.255.255 the end of IPv4
ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff the end
10.0.0.0/8 home`))})
	for addr, want := range map[string]string{
		"185.219.255.255": "", "185.220.0.0": "Big", "185.220.100.255": "Big", "185.220.101.0": "Tor exit", "185.220.101.6": "Tor exit", "185.220.101.7": "Tor exit seven",
		"185.220.101.8": "Tor exit", "185.220.101.127": "Tor exit", "185.220.101.128": "anonymiser", "185.220.101.129": "anonymiser", "185.220.101.130": "two", "185.220.101.131": "two",
		"185.220.101.132": "anonymiser", "185.220.101.255": "anonymiser", "185.220.102.0": "Big", "185.220.255.255": "Big", "185.221.0.0": "",
		"8.8.8.7": "", "8.8.8.8": "a#b", "8.8.8.9": "", "::ffff:8.8.8.8": "a#b", "64:ff9b::8.8.8.8": "a#b", "9.9.9.9": "mapped",
		"2a0b:f4c0::": "Tor exit", "2a0b:f4c0:16c::4": "Inner", "2a0b:f4c0:16c::5": "Innermost", "2a0b:f4c0:16c::6": "Inner", "2a0b:f4c0:16d::": "Tor exit", "2a0b:f4c1::": "", "2a0b:f4bf:ffff::": "",
	} {
		if l := locate(a, addr); l.Anonymiser != want || !l.Listed || !l.Public {
			t.Errorf("%s is called %q, %t, not %q", addr, l.Anonymiser, l.Listed, want)
		}
	}
	if l := locate(a, "10.1.2.3"); l != (geo.Location{}) {
		t.Errorf("a private address: %+v", l)
	}
	if s := a.Sources(); s[len(s)-1].What != geo.AboutAnonymisers || s[len(s)-1].Origin != geo.FromOperator || s[len(s)-1].Date.IsZero() {
		t.Errorf("%+v", s)
	}
}

func TestDatabaseOfAnonymisers(t *testing.T) {
	t.Parallel()
	is := func(keys ...string) record {
		r := record{"is_anonymous": true}
		for _, k := range keys {
			r["is_"+k] = true
		}
		return r
	}
	plus := is("anonymous_vpn")
	plus["provider_name"] = "A VPN"
	a := open(t, geo.AtlasOptions{AnonymiserFile: file(t, "anonymous.mmdb", mmdb(t, "GeoIP2-Anonymous-IP", 6, map[string]record{
		"20.0.0.0/24": is(), "20.0.1.0/24": is("anonymous_vpn"), "20.0.2.0/24": is("hosting_provider"), "20.0.3.0/24": is("public_proxy"), "20.0.4.0/24": is("residential_proxy"),
		"20.0.5.0/24": is("tor_exit_node", "hosting_provider"), "20.0.6.0/24": plus, "20.0.7.0/24": {"is_anonymous": false},
	}))})
	for addr, want := range map[string]string{
		"20.0.0.1": "anonymiser", "20.0.1.1": "VPN", "20.0.2.1": "hosting provider", "20.0.3.1": "public proxy", "20.0.4.1": "residential proxy", "20.0.5.1": "Tor exit",
		"20.0.6.1": "VPN (A VPN)", "20.0.7.1": "", "20.0.8.1": "", "2a02::1": "",
	} {
		if l := locate(a, addr); l.Anonymiser != want || !l.Listed {
			t.Errorf("%s is called %q, %t, not %q", addr, l.Anonymiser, l.Listed, want)
		}
	}
	a = open(t, geo.AtlasOptions{AnonymiserFile: file(t, "four.mmdb", mmdb(t, "GeoIP2-Anonymous-IP", 4, map[string]record{"20.0.0.0/24": is()}))})
	if l := locate(a, "2a02::1"); l.Listed {
		t.Error("a file of IPv4 has been asked for an address of IPv6")
	}
	if l := locate(a, "20.1.0.1"); !l.Listed || l.Anonymiser != "" {
		t.Errorf("%+v", l)
	}
}

func TestBadFilesAreRefused(t *testing.T) {
	t.Parallel()
	good := mmdb(t, "GeoLite2-City", 6, map[string]record{"78.55.0.0/16": city("FR", "Paris", 48.8566, 2.3522, 20), "2a02::/16": city("PT", "Lisbon", 1, 1, 1)})
	flat := mmdb(t, "flat", 6, map[string]record{"78.55.0.0/16": {"country_code": "DE", "city": "Berlin"}})
	other := mmdb(t, "other", 6, map[string]record{"78.55.0.0/16": {"country": record{"name": "Germany"}}})
	networks := mmdb(t, "GeoLite2-ASN", 6, map[string]record{"78.55.0.0/16": as(3320, "Name")})
	for name, c := range map[string]struct {
		city, as, hidden []byte
		want             string
	}{
		"nothing":              {city: []byte{}, want: "no file in MaxMind's format"},
		"text":                 {city: []byte("78.55.0.0/16 Paris\n"), want: "no file in MaxMind's format"},
		"cut off":              {city: good[:len(good)-200], want: "geo: "},
		"cut off in front":     {city: good[40:], want: "geo: "},
		"no UTF-8 in it":       {city: mmdb(t, "GeoLite2-City", 6, map[string]record{"14.0.0.0/8": city("DE", "\xff", 1, 1, 1)}), want: "the file is damaged"},
		"another layout":       {city: flat, want: `what the file (flat) says of 78.55.0.0/16 is not laid out`},
		"no places":            {city: other, want: "the file (other) tells no places"},
		"AS as places":         {city: networks, want: "the file (GeoLite2-ASN) tells no places"},
		"places as AS":         {as: good, want: "the file (GeoLite2-City) tells no AS numbers"},
		"places as list":       {hidden: good, want: "the file (GeoLite2-City) tells no anonymisers"},
		"empty tree":           {city: mmdb(t, "GeoLite2-City", 6, nil), want: "geo: "},
		"empty list":           {hidden: []byte("\n# none\n"), want: "names no network"},
		"no address":           {hidden: []byte("# one\n1.2.3.4 x\nexample.com y\n"), want: `line 3: "example.com" is no address`},
		"no network":           {hidden: []byte("1.2.3.4/33"), want: `line 1: "1.2.3.4/33" is no network`},
		"host bits":            {hidden: []byte("1.2.3.4/24"), want: "did you mean 1.2.3.0/24"},
		"mapped host bits":     {hidden: []byte("::ffff:1.2.3.4/120"), want: "did you mean 1.2.3.0/24"},
		"wider than IPv4":      {hidden: []byte("::ffff:0.0.0.0/90"), want: "is no network"},
		"everything":           {hidden: []byte("0.0.0.0/0"), want: "is every address"},
		"everything of IPv6":   {hidden: []byte("::/0 x"), want: "is every address"},
		"zone":                 {hidden: []byte("fe80::1%eth0"), want: "no address"},
		"long line":            {hidden: []byte("1.2.3.4 " + strings.Repeat("x", 2000)), want: "line 1"},
		"long name":            {hidden: []byte("1.2.3.4 " + strings.Repeat("x", 101)), want: "line 1: what the network is called is longer"},
		"characters":           {hidden: []byte("1.2.3.4 a\x1b[31m"), want: "cannot be seen"},
		"no UTF-8":             {hidden: []byte("1.2.3.4 \xff"), want: "no UTF-8"},
		"more than a million":  {hidden: bytes.Repeat([]byte("1.2.3.4\n"), 1_000_001), want: "more than 1000000 lines"},
		"more names than ever": {hidden: manyNames(), want: "more than 65536 names"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var o geo.AtlasOptions
			switch {
			case c.city != nil:
				o.CityFile = file(t, "x", c.city)
			case c.as != nil:
				o.ASFile = file(t, "x", c.as)
			default:
				o.AnonymiserFile = file(t, "x", c.hidden)
			}
			a, err := geo.OpenAtlas(o)
			if err == nil {
				a.Close()
				t.Fatal("was taken")
			}
			if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), o.CityFile+o.ASFile+o.AnonymiserFile) {
				t.Errorf("%v", err)
			}
		})
	}
	for _, path := range []string{filepath.Join(t.TempDir(), "none"), t.TempDir()} {
		if _, err := geo.OpenAtlas(geo.AtlasOptions{ASFile: path}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%v", err)
		}
	}
}

func manyNames() []byte {
	var b bytes.Buffer
	for i := range 1<<16 + 1 {
		fmt.Fprintf(&b, "1.2.3.4 n%d\n", i)
	}
	return b.Bytes()
}

// What a list says is what a plain search for the smallest network says.
func TestListLikePlainSearch(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "list")
	rapid.Check(t, func(t *rapid.T) {
		addr := func(v6 bool, low uint8) netip.Addr {
			if v6 {
				return netip.AddrFrom16([16]byte{0x2a, 0x02, 15: low})
			}
			return netip.AddrFrom4([4]byte{20, 0, 0, low})
		}
		type line struct {
			p     netip.Prefix
			label string
		}
		var lines []line
		var text strings.Builder
		for i := range rapid.IntRange(1, 30).Draw(t, "lines") {
			a := addr(rapid.Bool().Draw(t, "IPv6"), rapid.Uint8().Draw(t, "low"))
			p, _ := a.Prefix(a.BitLen() - rapid.IntRange(0, 8).Draw(t, "shorter"))
			l := line{p, fmt.Sprint("n", rapid.IntRange(0, 3).Draw(t, "label")+i%2)}
			lines = append(lines, l)
			fmt.Fprintf(&text, "%s %s\n", l.p, l.label)
		}
		if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		a, err := geo.OpenAtlas(geo.AtlasOptions{AnonymiserFile: path})
		if err != nil {
			t.Fatal(err)
		}
		for v6 := range 2 {
			for low := range 256 {
				ask := addr(v6 == 1, uint8(low))
				best := line{}
				for _, l := range lines {
					if l.p.Contains(ask) && (!best.p.IsValid() || l.p.Bits() > best.p.Bits()) {
						best = l
					}
				}
				if got := a.Locate(ask).Anonymiser; got != best.label {
					t.Fatalf("%s is called %q, not %q", ask, got, best.label)
				}
			}
		}
	})
}

type logged struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

// take is what was logged since the last time.
func (l *logged) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.b.String()
	l.b.Reset()
	return s
}

func TestFilesAreTakenUpAnew(t *testing.T) {
	t.Parallel()
	places := func(city1 string) []byte {
		return mmdb(t, "GeoLite2-City", 6, map[string]record{"78.55.0.0/16": city("FR", city1, 48.8566, 2.3522, 20)})
	}
	cityFile := file(t, "city.mmdb", places("Paris"))
	listFile := file(t, "list.txt", []byte("78.55.20.10 one"))
	synctest.Test(t, func(t *testing.T) {
		var log logged
		a := open(t, geo.AtlasOptions{CityFile: cityFile, AnonymiserFile: listFile, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		// What a file is replaced by is as old as the clock of the disk says, not ours.
		stamp := time.Now().Add(time.Hour)
		replace := func(path string, content []byte) {
			t.Helper()
			if err := os.WriteFile(path+".new", content, 0o600); err != nil {
				t.Fatal(err)
			}
			stamp = stamp.Add(time.Second)
			if err := os.Chtimes(path+".new", stamp, stamp); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path+".new", path); err != nil {
				t.Fatal(err)
			}
		}
		says := func(city, label string) {
			t.Helper()
			locate(a, "78.55.20.10") // has the files looked at
			synctest.Wait()
			if l := locate(a, "78.55.20.10"); l.Place.City != city || l.Anonymiser != label {
				t.Fatalf("%q, %q, not %q, %q", l.Place.City, l.Anonymiser, city, label)
			}
		}
		says("Paris", "one")
		replace(cityFile, places("Lyon"))
		replace(listFile, []byte("78.55.0.0/16 two"))
		time.Sleep(time.Minute - time.Second)
		says("Paris", "one") // not yet
		time.Sleep(time.Second)
		says("Lyon", "two")
		if got := log.take(); strings.Count(got, "a new file is in force") != 2 {
			t.Errorf("%s", got)
		}
		time.Sleep(time.Minute)
		says("Lyon", "two")
		if got := log.take(); got != "" {
			t.Errorf("nothing changed: %s", got)
		}

		// broken ones
		replace(cityFile, places("Nice")[:300])
		replace(listFile, []byte("78.55.0.0/16 three\nfour\n"))
		time.Sleep(time.Minute)
		says("Lyon", "two")
		if got := log.take(); strings.Count(got, "level=ERROR") != 2 || !strings.Contains(got, "line 2") || !strings.Contains(got, listFile) || !strings.Contains(got, cityFile) {
			t.Errorf("%s", got)
		}
		time.Sleep(time.Minute)
		says("Lyon", "two")
		if got := log.take(); got != "" {
			t.Errorf("said twice: %s", got)
		}
		replace(cityFile, places("Nice"))
		if err := os.Remove(listFile); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		says("Nice", "two")
		if got := log.take(); strings.Count(got, "a file is gone") != 1 {
			t.Errorf("%s", got)
		}
		time.Sleep(time.Minute)
		says("Nice", "two")
		if got := log.take(); got != "" {
			t.Errorf("said twice: %s", got)
		}
		replace(listFile, []byte("78.55.0.0/16 five"))
		time.Sleep(time.Minute)
		says("Nice", "five")

		a.Close()
		replace(listFile, []byte("78.55.0.0/16 six"))
		time.Sleep(time.Hour)
		says("Nice", "five")
		a.Close()
	})
}

// Lookups go on while files change under them.
func TestLookupsBesideChanges(t *testing.T) {
	t.Parallel()
	path := file(t, "list.txt", []byte("8.8.8.8 x0"))
	var mu sync.Mutex
	now := day
	a := open(t, geo.AtlasOptions{AnonymiserFile: path, Now: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(time.Second)
		return now
	}})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 2000 {
				if l := locate(a, "8.8.8.8"); !strings.HasPrefix(l.Anonymiser, "x") {
					t.Errorf("%+v", l)
					return
				}
			}
		})
	}
	all.Go(func() {
		for i := range 50 {
			if err := os.WriteFile(path+".new", fmt.Appendf(nil, "8.8.8.8 x%d", i), 0o600); err != nil {
				t.Error(err)
			}
			if err := os.Rename(path+".new", path); err != nil {
				t.Error(err)
			}
		}
	})
	all.Wait()
}

// FuzzDatabase opens files that are damaged, and looks things up in those that are taken.
func FuzzDatabase(f *testing.F) {
	f.Add(mmdb(f, "GeoLite2-City", 6, map[string]record{"78.55.0.0/16": city("FR", "Paris", 48.8566, 2.3522, 20), "2a02::/16": city("PT", "Lisbon", 1, 1, 1)}))
	f.Add(mmdb(f, "GeoLite2-ASN", 4, map[string]record{"78.55.0.0/16": as(3320, "Name")}))
	f.Add(mmdb(f, "GeoIP2-Anonymous-IP", 6, map[string]record{"78.55.0.0/16": {"is_anonymous": true}}))
	f.Add(mmdb(f, plain, 6, map[string]record{"78.55.0.0/16": as(3320, "Name")}))
	f.Add([]byte("78.55.0.0/16 a list\n2a02::/16\n"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(dir, fmt.Sprint("x", os.Getpid()))
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, o := range []geo.AtlasOptions{{CityFile: path}, {ASFile: path}, {AnonymiserFile: path}} {
			a, err := geo.OpenAtlas(o)
			if err != nil {
				continue
			}
			for _, addr := range []string{"0.0.0.1", "1.0.0.0", "78.55.20.10", "223.255.255.255", "2000::", "2a02:8109::10", "3ffe:ffff:ffff:ffff::"} {
				if l := locate(a, addr); l.HasPlace && len(l.Place.Country) != 2 || l.HasAS && l.ASN == 0 || l.Anonymiser != "" && !l.Listed {
					t.Errorf("%s: %+v", addr, l)
				}
			}
			a.Sources()
			a.Close()
		}
	})
}

func TestDamagedDatabases(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"GeoLite2-City", plain} {
		damage(t, mmdb(t, kind, 6, map[string]record{"78.55.0.0/16": city("FR", "Paris", 48.8566, 2.3522, 20), "2a02::/16": city("PT", "Lisbon", 1, 1, 1)}))
	}
}

// damage opens the file with one byte after another of it wrong.
func damage(t *testing.T, good []byte) {
	path := filepath.Join(t.TempDir(), "x")
	taken := 0
	for i := 0; i < len(good); i += 3 {
		b := bytes.Clone(good)
		b[i] ^= 0xff
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		a, err := geo.OpenAtlas(geo.AtlasOptions{CityFile: path})
		if err != nil {
			continue
		}
		taken++ // a letter of a name, or a number
		for _, addr := range []string{"78.55.20.10", "2a02::1", "1.1.1.1"} {
			locate(a, addr)
		}
		a.Close()
	}
	if taken > len(good)/3/2 {
		t.Errorf("%d of %d damaged files were taken", taken, len(good)/3)
	}
}
