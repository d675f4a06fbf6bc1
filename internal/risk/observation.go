package risk

import "time"

// Observation is all that signals read: a login next to what was known about the
// person at that moment. It is flat and complete, so that a decision can be explained,
// and a changed policy tried on it, long after the history has moved on. It is recorded
// sealed under the person's key.
//
// Every field has a value that says that it cannot be told: Unknown, "", nil, zero.
type Observation struct {
	At          time.Time `json:"at"`
	Application string    `json:"application,omitempty"`
	Scopes      []string  `json:"scopes,omitempty"`
	ScopesGiven bool      `json:"scopes_given,omitempty"` // some were named, perhaps none of them
	UserAgent   string    `json:"user_agent,omitempty"`

	// The device. Known is Yes if it has been used before in a login that ended well.
	DeviceKnown   Tri    `json:"device_known"`
	DeviceTrusted Tri    `json:"device_trusted"`          // the person marked it as their own (Descope)
	DeviceSource  string `json:"device_source,omitempty"` // who says so: "cookie" or "descope"

	// The network. Seen is Yes if a login that ended well came from there before; it is
	// Unknown if there is no public address, or nothing to compare with.
	Address       AddressKind `json:"address,omitempty"`
	IP            string      `json:"ip,omitempty"`
	AddressSeen   Tri         `json:"address_seen"` // this very address
	NetworkSeen   Tri         `json:"network_seen"` // its /24, or /48 of IPv6
	ASSeen        Tri         `json:"as_seen"`
	ASN           uint32      `json:"asn,omitempty"`
	ASName        string      `json:"as_name,omitempty"`
	AddressSource string      `json:"address_source,omitempty"` // "history" (ours), "descope" (user.lastAuth)

	// The place.
	Country        string   `json:"country,omitempty"`
	City           string   `json:"city,omitempty"`
	CountrySeen    Tri      `json:"country_seen"`
	KnownCountries []string `json:"known_countries,omitempty"`
	CountrySource  string   `json:"country_source,omitempty"` // as AddressSource

	// Travels are the ways from the latest logins that ended well, newest first; empty if
	// there is none with coordinates, or this login has none.
	Travels       []Travel `json:"travels,omitempty"`
	DescopeTravel Tri      `json:"descope_travel"` // riskInfo.impossibleTravel

	// How often within Window before this login.
	Window   time.Duration `json:"window,omitempty"`
	Attempts Counts        `json:"attempts"` // logins that were weighed
	Failures Counts        `json:"failures"` // of those, and of step-ups, that ended badly

	// Heat is what a face that did not match leaves behind, 1 right after it, fading to 0.
	HeatDevice  float64 `json:"heat_device,omitempty"`
	HeatNetwork float64 `json:"heat_network,omitempty"`
	HeatSubject float64 `json:"heat_subject,omitempty"`

	Logins    int       `json:"logins"`              // that ended well and are in the history
	LastLogin time.Time `json:"last_login,omitzero"` // zero: never

	// HourShare is which share of the earlier logins fell within two hours of this time
	// of day (UTC), of HourSamples logins.
	HourShare   float64 `json:"hour_share,omitempty"`
	HourSamples int     `json:"hour_samples,omitempty"`

	Anonymiser string   `json:"anonymiser,omitempty"` // what the operator's list calls the network
	Listed     bool     `json:"listed,omitempty"`     // there is such a list, and an address to look up
	VPN        Tri      `json:"vpn"`
	Bot        Tri      `json:"bot"`
	RiskScore  *float64 `json:"risk_score,omitempty"` // Descope's, 0 to 1

	// ProofedAt is when the person last proved who they are, or showed their face and
	// matched; zero: never, as far as we know. ProofingKnown says whether that is known.
	ProofedAt     time.Time `json:"proofed_at,omitzero"`
	ProofedBy     string    `json:"proofed_by,omitempty"` // "verification" or "challenge"
	ProofingKnown bool      `json:"proofing_known,omitempty"`
}

// Travel is the way from one earlier login to this one.
type Travel struct {
	FromCountry string  `json:"from_country,omitempty"`
	FromCity    string  `json:"from_city,omitempty"`
	KM          float64 `json:"km"`        // great circle between the two places
	RadiusKM    float64 `json:"radius_km"` // by how much that may be wrong, both ends together
	Hours       float64 `json:"hours"`     // between the two logins; may be negative if clocks disagree
	SameAS      bool    `json:"same_as,omitempty"`
}

// Counts are how often something happened, of one person, from one device, from one
// network. A device or network that cannot be told counts nothing.
type Counts struct {
	Subject int `json:"subject"`
	Device  int `json:"device"`
	Network int `json:"network"`
}
