package geo_test

import (
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/geo"
)

func lookup(t *testing.T, addr string) (geo.Place, bool) {
	t.Helper()
	return geo.Lookup(netip.MustParseAddr(addr))
}

var (
	berlin = geo.Place{Country: "DE", City: "Berlin", Latitude: 52.5170, Longitude: 13.3889, HasCoordinates: true}
	lisbon = geo.Place{Country: "PT", City: "Lisbon", Latitude: 38.7078, Longitude: -9.1366, HasCoordinates: true}
	sydney = geo.Place{Country: "AU", City: "Sydney", Latitude: -33.8688, Longitude: 151.2093, HasCoordinates: true}
)

// The sandbox signs in from these, so a newer table must still have them there.
func TestKnownPlaces(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]geo.Place{
		"78.55.20.10":   berlin,
		"77.188.30.20":  berlin,
		"130.149.20.10": berlin,
		"80.187.128.10": berlin, // Telekom's mobile network
		"176.0.20.30":   berlin, // Telefonica's
		"2a02:8109::10": berlin, // the source names a district
		"2a02:2455::10": berlin,
		"80.172.40.10":  lisbon,
		"85.240.20.30":  lisbon,
		"49.180.20.30":  sydney,
		"1.120.20.30":   sydney,
	} {
		got, ok := lookup(t, addr)
		if !ok || got.Country != want.Country || got.City != want.City || !got.HasCoordinates {
			t.Errorf("%s: %+v, %t, not in %s", addr, got, ok, want.City)
			continue
		}
		if far := geo.DistanceKM(got, want); !(far <= got.RadiusKM) || got.RadiusKM < 1 || got.RadiusKM > 40 {
			t.Errorf("%s: %.1f km from the middle of %s, radius %.1f km", addr, far, want.City, got.RadiusKM)
		}
	}
}

func TestEmbedded(t *testing.T) {
	t.Parallel()
	if d := geo.Date(); d.Before(time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)) || d.Location() != time.UTC || d.Hour() != 0 {
		t.Errorf("the date is %s", d)
	}
	if geo.Attribution() != "IP Geolocation by DB-IP" || geo.AttributionURL() != "https://db-ip.com" {
		t.Errorf("attribution is %q, %q, which the licence does not allow", geo.Attribution(), geo.AttributionURL())
	}
}

func TestCannotTell(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.1", "169.254.169.254",
		"172.16.0.1", "172.31.255.255", "192.0.0.9", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255",
		"198.51.100.7", "203.0.113.255", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "::78.55.20.10", "64:ff9b::10.0.0.1", "64:ff9b:1::4e37:140a", "100::1",
		"fe80::1", "fe80::1%eth0", "2a02:8109::10%eth0", "fc00::1", "fdff::1", "fec0::1", "ff02::1",
		"2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:a00:1::1", "2002:7f00:1::1",
		"2620:4f:8000::1", "3fff::1", "3fff:fff:ffff::1", "4000::1", "1fff:ffff::1",
	} {
		if got, ok := lookup(t, addr); ok || got != (geo.Place{}) {
			t.Errorf("%s is at %+v", addr, got)
		}
	}
	if got, ok := geo.Lookup(netip.Addr{}); ok || got != (geo.Place{}) {
		t.Errorf("no address is at %+v", got)
	}
	for _, addr := range []string{"9.255.255.255", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255", "223.255.255.0"} {
		if _, ok := lookup(t, addr); !ok {
			t.Errorf("%s, next to addresses that are nowhere, is nowhere", addr)
		}
	}
}

func TestCarriedAddresses(t *testing.T) {
	t.Parallel()
	want, ok := lookup(t, "78.55.20.10")
	if !ok {
		t.Fatal("78.55.20.10 is nowhere")
	}
	for _, addr := range []string{"::ffff:78.55.20.10", "::ffff:4e37:140a", "64:ff9b::78.55.20.10", "2002:4e37:140a::1", "2002:4e37:140a:ffff::"} {
		if got, ok := lookup(t, addr); !ok || got != want {
			t.Errorf("%s: %+v, %t", addr, got, ok)
		}
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	at := func(lat, lon float64) geo.Place {
		return geo.Place{Latitude: lat, Longitude: lon, HasCoordinates: true}
	}
	half := math.Pi * 6371.0088
	for _, c := range []struct {
		name     string
		a, b     geo.Place
		want, by float64
	}{
		{"same", berlin, berlin, 0, 0},
		{"pole to pole", at(90, 12), at(-90, -77), half, 1e-6},
		{"antipodes", at(12.3, 45.6), at(-12.3, -134.4), half, 1e-3},
		{"a degree of the equator", at(0, 179.5), at(0, -179.5), half / 180, 1e-6},
		{"a degree of a meridian", at(50, 7), at(51, 7), half / 180, 1e-6},
		{"60 degrees north is half as wide", at(60, 0), at(60, 0.1), half / 3600, 1e-3},
		{"Berlin to Lisbon", berlin, lisbon, 2312, 5},
		{"Berlin to Sydney", berlin, sydney, 16095, 20},
	} {
		if got := geo.DistanceKM(c.a, c.b); !(math.Abs(got-c.want) <= c.by) {
			t.Errorf("%s: %f km, not %f", c.name, got, c.want)
		}
		if got, back := geo.DistanceKM(c.a, c.b), geo.DistanceKM(c.b, c.a); math.Abs(got-back) > 1e-9*half {
			t.Errorf("%s: %f km there, %f back", c.name, got, back)
		}
	}
	if got := geo.DistanceKM(berlin, geo.Place{Country: "DE"}); !math.IsNaN(got) {
		t.Errorf("%f km to a place without coordinates", got)
	}
}
