package geo

import (
	_ "embed"
	"math"
	"net/netip"
	"sync"
	"time"
)

// Place is where an address is, as far as can be told.
type Place struct {
	Country string // ISO 3166-1 alpha-2, as "DE"
	City    string // in English or romanised, without a district, as "Berlin"; empty if unknown

	// The coordinates are those of the middle of a city, rounded to a tenth of a degree.
	Latitude, Longitude float64 // degrees, north and east are positive

	// RadiusKM is how far the point that the source names for an address may be from the
	// coordinates: what rounding and joining the districts of a city cost. The source's own
	// error is unknown and comes on top; it is largest for mobile networks.
	RadiusKM float64

	HasCoordinates bool
}

//go:embed places.bin.gz
var packed []byte

// embedded is read when it is first needed: most runs of the program ask nothing.
var embedded = sync.OnceValue(func() *Table {
	t, err := Read(packed)
	if err != nil {
		panic("geo: the table of this program: " + err.Error()) // a test opens this very table
	}
	return t
})

// Lookup tells where an address is, by the table of this program. It is false where
// that cannot be told; see Table.Lookup.
func Lookup(addr netip.Addr) (Place, bool) { return embedded().Lookup(addr) }

// Date is the day, in UTC, of the data in the table of this program.
func Date() time.Time { return embedded().Date() }

// Attribution is the text that must stand on every page that shows what the table of
// this program says, as a link to AttributionURL.
func Attribution() string { return embedded().Attribution() }

// AttributionURL is what the attribution must link to.
func AttributionURL() string { return embedded().AttributionURL() }

// earthRadiusKM is the mean radius of the earth, (2a+b)/3 of the GRS 80 ellipsoid
// (H. Moritz, Geodetic Reference System 1980).
const earthRadiusKM = 6371.0088

// DistanceKM is the length of the great circle between the coordinates of two places, in
// kilometres, by the haversine formula (R. W. Sinnott, "Virtues of the Haversine", Sky and
// Telescope 68, 1984, page 159). The earth is taken for a sphere: it may be 0.6 % off.
// The true distance may differ by the radius of both besides. It is NaN if a place
// has no coordinates, since then it cannot be told.
func DistanceKM(a, b Place) float64 {
	if !a.HasCoordinates || !b.HasCoordinates {
		return math.NaN()
	}
	const rad = math.Pi / 180
	lat := math.Sin((b.Latitude - a.Latitude) * rad / 2)
	lon := math.Sin((b.Longitude - a.Longitude) * rad / 2)
	h := lat*lat + math.Cos(a.Latitude*rad)*math.Cos(b.Latitude*rad)*lon*lon
	return 2 * earthRadiusKM * math.Asin(math.Sqrt(min(1, h))) // rounding may push antipodes above 1
}
