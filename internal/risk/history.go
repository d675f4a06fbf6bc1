package risk

import "time"

// History is what is remembered about a person's logins that ended well. It is bounded
// (see the constants), sealed under the person's key, and goes with it.
type History struct {
	Format  int           `json:"format"` // 1
	Devices []SeenDevice  `json:"devices,omitempty"`
	Nets    []SeenNetwork `json:"networks,omitempty"`
	Places  []SeenPlace   `json:"places,omitempty"`
	Recent  []Visit       `json:"recent,omitempty"` // newest first
	Hours   [24]uint16    `json:"hours"`            // logins by hour of the day (UTC), halved when one is full
	Logins  int           `json:"logins"`
	Last    time.Time     `json:"last,omitzero"`
	Heat    []Heat        `json:"heat,omitempty"`
	// MatchedAt is when the person's face last matched.
	MatchedAt time.Time `json:"matched_at,omitzero"`
	// Learned are the ids of the latest decisions that were learned from, newest first, so
	// that none counts twice.
	Learned []string `json:"learned,omitempty"`
}

// How much is remembered. What was not seen for the longest time makes room.
const (
	MaxDevices = 20
	MaxNets    = 40
	MaxPlaces  = 24
	MaxRecent  = 8
	MaxHeat    = 16
	MaxLearned = 32
)

// SeenDevice is a device of our own cookie.
type SeenDevice struct {
	ID    string    `json:"id"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Count int       `json:"count"`
}

// SeenNetwork is an address and what it belongs to.
type SeenNetwork struct {
	IP    string    `json:"ip"`
	ASN   uint32    `json:"asn,omitempty"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Count int       `json:"count"`
}

// SeenPlace is a country.
type SeenPlace struct {
	Country string    `json:"country"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Count   int       `json:"count"`
}

// Visit is one of the latest logins, for how far it is from there to the next.
type Visit struct {
	At             time.Time `json:"at"`
	Country        string    `json:"country,omitempty"`
	City           string    `json:"city,omitempty"`
	Latitude       float64   `json:"lat"`
	Longitude      float64   `json:"lon"`
	RadiusKM       float64   `json:"radius_km"`
	HasCoordinates bool      `json:"coordinates"`
	ASN            uint32    `json:"asn,omitempty"`
}

// Heat is left behind by a face that did not match. It fades (see HeatLasts).
type Heat struct {
	Kind string    `json:"kind"` // "device", "network", "subject"
	Key  string    `json:"key"`  // the device's id, the network's prefix; empty for subject
	At   time.Time `json:"at"`
}
