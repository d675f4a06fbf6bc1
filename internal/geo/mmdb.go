package geo

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/oschwald/maxminddb-golang/v2"
)

const (
	// maxDatabase is how large an operator's file may be, in bytes. It is read into memory:
	// a file that is mapped ends the program when somebody cuts it off.
	maxDatabase = 1 << 30
	// samples is how many records of a file are read when it is opened, to see that they
	// are what they should be.
	samples     = 1000
	maxNetworks = 1 << 25 // of a file without a description
	// unsaidKM is the radius of a place whose file names coordinates but no radius.
	unsaidKM = 50
)

// marker begins the description of a MaxMind DB file, in its last 128 KiB (MaxMind DB
// specification 2.0, "Database Metadata").
var marker = []byte("\xab\xcd\xefMaxMind.com")

func isDatabase(b []byte) bool {
	return bytes.Contains(b[max(0, len(b)-128<<10):], marker)
}

// database is an operator's file in MaxMind's format.
type database struct{ *maxminddb.Reader }

// openDatabase takes a file that is in memory. All of it is looked at, so that no lookup
// can meet anything that is damaged. fits says of a record whether it tells what the file is
// for; one of the first must, and none may be laid out in another way.
func openDatabase(b []byte, what string, fits func(maxminddb.Result) (bool, error)) (*database, error) {
	if !isDatabase(b) {
		return nil, errors.New("this is no file in MaxMind's format, or it is cut off")
	}
	r, err := maxminddb.OpenBytes(b)
	if err != nil {
		return nil, err
	}
	verify := r.Verify
	if len(r.Metadata.Description) == 0 {
		verify = func() error { return walk(r) } // Verify wants one, which some makers leave out
	}
	if err := verify(); err != nil {
		return nil, fmt.Errorf("the file is damaged: %w", err)
	}
	if v := r.Metadata.IPVersion; v != 4 && v != 6 {
		return nil, fmt.Errorf("the file is for version %d of IP", v)
	}
	some, n := false, 0
	for result := range r.Networks() {
		if err := result.Err(); err != nil {
			return nil, fmt.Errorf("the file is damaged: %w", err)
		}
		ok, err := fits(result)
		if err != nil {
			return nil, fmt.Errorf("what the file (%s) says of %s is not laid out as in MaxMind's own: %w", clean(r.Metadata.DatabaseType), result.Prefix(), err)
		}
		some = some || ok
		if n++; n == samples {
			break
		}
	}
	if !some {
		return nil, fmt.Errorf("the file (%s) tells no %s, at least not where MaxMind's own do", clean(r.Metadata.DatabaseType), what)
	}
	return &database{r}, nil
}

// walk reads all that a file says, once.
func walk(r *maxminddb.Reader) error {
	n, seen := 0, map[uintptr]struct{}{}
	for result := range r.Networks(maxminddb.IncludeNetworksWithoutData()) {
		if err := result.Err(); err != nil {
			return err
		}
		if n++; n > maxNetworks { // a damaged tree may have any number
			return fmt.Errorf("there are more than %d networks", maxNetworks)
		}
		at := result.Offset()
		if _, ok := seen[at]; ok || !result.Found() {
			continue
		}
		seen[at] = struct{}{}
		var all any
		if err := result.Decode(&all); err != nil {
			return err
		}
	}
	return nil
}

// result is what the file says of an address. A file of IPv4 alone says nothing of IPv6.
func (d *database) result(a netip.Addr) (maxminddb.Result, bool) {
	if a.Is6() && d.Metadata.IPVersion == 4 {
		return maxminddb.Result{}, false
	}
	r := d.Lookup(a)
	return r, r.Found()
}

// clean is a text out of a file, as far as it can be shown.
func clean(s string) string {
	if len(s) > maxText || !utf8.ValidString(s) {
		return ""
	}
	return strings.TrimSpace(s)
}

// cityRecord is what MaxMind's City, Enterprise and Country files say of a network.
type cityRecord struct {
	Country struct {
		Code string `maxminddb:"iso_code,maxsize:16"`
	} `maxminddb:"country"`
	City struct {
		Names struct {
			English string `maxminddb:"en,maxsize:1024"`
		} `maxminddb:"names"`
	} `maxminddb:"city"`
	Location struct {
		Latitude  *float64 `maxminddb:"latitude"`
		Longitude *float64 `maxminddb:"longitude"`
		Radius    uint16   `maxminddb:"accuracy_radius"`
	} `maxminddb:"location"`
	Traits struct {
		Anycast bool `maxminddb:"is_anycast"`
	} `maxminddb:"traits"`
}

// place is false where the record does not tell: the country in which a network is
// registered is not the one in which its users are, and an anycast address is everywhere.
func (r *cityRecord) place() (Place, bool) {
	c := r.Country.Code
	if len(c) != 2 || strings.Trim(c, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" || r.Traits.Anycast {
		return Place{}, false
	}
	p := Place{Country: c, City: clean(r.City.Names.English)}
	if lat, lon := r.Location.Latitude, r.Location.Longitude; lat != nil && lon != nil && math.Abs(*lat) <= 90 && math.Abs(*lon) <= 180 {
		p.Latitude, p.Longitude, p.RadiusKM, p.HasCoordinates = *lat, *lon, float64(r.Location.Radius), true
		if p.RadiusKM == 0 {
			p.RadiusKM = unsaidKM
		}
	}
	return p, true
}

func readPlace(r maxminddb.Result) (Place, bool, error) {
	var rec cityRecord
	if err := r.Decode(&rec); err != nil {
		return Place{}, false, err
	}
	p, ok := rec.place()
	return p, ok, nil
}

// asRecord is what MaxMind's ASN and ISP files say of a network, and under traits what
// the Enterprise file says.
type asRecord struct {
	Number uint32 `maxminddb:"autonomous_system_number"`
	Name   string `maxminddb:"autonomous_system_organization,maxsize:1024"`
	Traits struct {
		Number uint32 `maxminddb:"autonomous_system_number"`
		Name   string `maxminddb:"autonomous_system_organization,maxsize:1024"`
	} `maxminddb:"traits"`
}

func readAS(r maxminddb.Result) (AS, bool, error) {
	var rec asRecord
	if err := r.Decode(&rec); err != nil {
		return AS{}, false, err
	}
	if rec.Number == 0 {
		rec.Number, rec.Name = rec.Traits.Number, rec.Traits.Name
	}
	if !Assigned(rec.Number) {
		return AS{}, false, nil
	}
	return AS{rec.Number, clean(rec.Name)}, true, nil
}

// anonymousRecord is what MaxMind's Anonymous IP file says of a network, and its successor
// Anonymous Plus, which knows the provider.
type anonymousRecord struct {
	Anonymous   bool   `maxminddb:"is_anonymous"`
	VPN         bool   `maxminddb:"is_anonymous_vpn"`
	Hosting     bool   `maxminddb:"is_hosting_provider"`
	Public      bool   `maxminddb:"is_public_proxy"`
	Residential bool   `maxminddb:"is_residential_proxy"`
	Tor         bool   `maxminddb:"is_tor_exit_node"`
	Provider    string `maxminddb:"provider_name,maxsize:100"`
}

// readAnonymous is what the network is called, empty if the file does not hold against it.
func readAnonymous(r maxminddb.Result) (string, error) {
	var rec anonymousRecord
	if err := r.Decode(&rec); err != nil {
		return "", err
	}
	label := ""
	switch {
	case rec.Tor:
		label = "Tor exit"
	case rec.VPN:
		label = "VPN"
	case rec.Residential:
		label = "residential proxy"
	case rec.Public:
		label = "public proxy"
	case rec.Hosting:
		label = "hosting provider"
	case rec.Anonymous:
		label = unlabelled
	default:
		return "", nil
	}
	if p := clean(rec.Provider); p != "" {
		label += " (" + p + ")"
	}
	return label, nil
}

// credit is what must stand where the data of a file is shown, as far as we know its
// maker's terms; else it is what the file calls itself.
func (d *database) credit() Credit {
	kind := d.Metadata.DatabaseType
	switch {
	case strings.HasPrefix(kind, "GeoLite2"): // GeoLite2 End User License Agreement
		return Credit{"This product includes GeoLite data created by MaxMind", "https://www.maxmind.com"}
	case strings.HasPrefix(kind, "DBIP"): // CC BY 4.0, and what DB-IP asks for
		return Credit{"IP Geolocation by DB-IP", "https://db-ip.com"}
	}
	if text := clean(d.Metadata.Description["en"]); text != "" {
		return Credit{Text: text}
	}
	return Credit{Text: clean(kind)}
}

func (d *database) date() time.Time { return d.Metadata.BuildTime().UTC().Truncate(24 * time.Hour) }
