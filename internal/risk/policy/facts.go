package policy

import (
	"errors"
	"math"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/kosmoscope/kosmoscope/internal/risk"
)

// Bounds of what an expression is given. A login that exceeds them makes its evaluation
// fail: cut short, a list could hide the very scope that a rule looks for.
const (
	maxText  = 1024 // bytes of a text
	maxItems = 100  // of a list
	maxItem  = 256  // bytes of one
)

// Variable is something that an expression can name.
type Variable struct {
	Name string `json:"name"`
	Type string `json:"type"` // bool, int, double, string, list(string)
	Help string `json:"help"`
}

// fact is a variable that reads an observation. told is false if it cannot be told; the
// value is then the empty one of its type.
type fact struct {
	name string
	typ  *cel.Type
	help string
	get  func(o *risk.Observation) (v any, told bool)
}

var texts = cel.ListType(cel.StringType)

// facts are in the order in which they are documented.
var facts = []fact{
	{"login.application", cel.StringType, "The application that the login is for.", func(o *risk.Observation) (any, bool) { return text(o.Application) }},
	{"login.scopes", texts, "The scopes that it asks for.", func(o *risk.Observation) (any, bool) { return o.Scopes, o.ScopesGiven }},
	{"login.user_agent", cel.StringType, "What the browser calls itself; easily forged.", func(o *risk.Observation) (any, bool) { return text(o.UserAgent) }},
	{"login.hour", cel.IntType, "The hour of the day, 0 to 23, in UTC.", func(o *risk.Observation) (any, bool) { return o.At.UTC().Hour(), !o.At.IsZero() }},
	{"login.weekday", cel.IntType, "The day of the week in UTC, 1 (Monday) to 7 (Sunday), as in ISO 8601.", func(o *risk.Observation) (any, bool) {
		return (int(o.At.UTC().Weekday())+6)%7 + 1, !o.At.IsZero()
	}},

	{"device.known", cel.BoolType, "The device has been used before in a login that ended well.", func(o *risk.Observation) (any, bool) { return tri(o.DeviceKnown) }},
	{"device.trusted", cel.BoolType, "The person marked the device as their own.", func(o *risk.Observation) (any, bool) { return tri(o.DeviceTrusted) }},

	{"network.address_kind", cel.StringType, "`public`, `private` or `bad` (not readable).", func(o *risk.Observation) (any, bool) { return text(string(o.Address)) }},
	{"network.ip", cel.StringType, "The address.", func(o *risk.Observation) (any, bool) { return text(o.IP) }},
	{"network.country", cel.StringType, "The country's code, as `DE` (ISO 3166-1 alpha-2).", func(o *risk.Observation) (any, bool) { return text(o.Country) }},
	{"network.city", cel.StringType, "The city's name.", func(o *risk.Observation) (any, bool) { return text(o.City) }},
	{"network.asn", cel.IntType, "The number of the autonomous system.", func(o *risk.Observation) (any, bool) { return int(o.ASN), o.ASN != 0 }},
	{"network.as_name", cel.StringType, "Its name.", func(o *risk.Observation) (any, bool) { return text(o.ASName) }},
	{"network.anonymiser", cel.StringType, "What the operator's list calls the network; empty if it is not on it. Without a list it cannot be told.", func(o *risk.Observation) (any, bool) {
		return o.Anonymiser, o.Listed || o.Anonymiser != ""
	}},
	{"network.address_seen", cel.BoolType, "A login that ended well came from this very address before.", func(o *risk.Observation) (any, bool) { return tri(o.AddressSeen) }},
	{"network.network_seen", cel.BoolType, "One came from its network (/24, or /48 of IPv6).", func(o *risk.Observation) (any, bool) { return tri(o.NetworkSeen) }},
	{"network.as_seen", cel.BoolType, "One came from its autonomous system.", func(o *risk.Observation) (any, bool) { return tri(o.ASSeen) }},
	{"network.country_seen", cel.BoolType, "One came from its country.", func(o *risk.Observation) (any, bool) { return tri(o.CountrySeen) }},

	{"travel.km", cel.DoubleType, "Kilometres from the latest login that ended well.", func(o *risk.Observation) (any, bool) { return first(o).KM, len(o.Travels) > 0 }},
	{"travel.radius_km", cel.DoubleType, "By how much that may be wrong.", func(o *risk.Observation) (any, bool) { return first(o).RadiusKM, len(o.Travels) > 0 }},
	{"travel.hours", cel.DoubleType, "Hours since that login; may be negative if clocks disagree.", func(o *risk.Observation) (any, bool) { return first(o).Hours, len(o.Travels) > 0 }},
	{"travel.from_country", cel.StringType, "The country of that login.", func(o *risk.Observation) (any, bool) { return text(first(o).FromCountry) }},

	{"attempts.subject", cel.IntType, "How often the person tried to log in within the window before.", func(o *risk.Observation) (any, bool) { return o.Attempts.Subject, o.Window > 0 }},
	{"attempts.device", cel.IntType, "How often somebody did from the device.", func(o *risk.Observation) (any, bool) {
		return o.Attempts.Device, o.Window > 0 && o.DeviceSource == "cookie"
	}},
	{"attempts.network", cel.IntType, "How often somebody did from the network.", func(o *risk.Observation) (any, bool) {
		return o.Attempts.Network, o.Window > 0 && o.Address == risk.AddressPublic
	}},
	{"failures.subject", cel.IntType, "As `attempts.subject`, of those that ended badly.", func(o *risk.Observation) (any, bool) { return o.Failures.Subject, o.Window > 0 }},
	{"failures.device", cel.IntType, "As `attempts.device`, of those that ended badly.", func(o *risk.Observation) (any, bool) {
		return o.Failures.Device, o.Window > 0 && o.DeviceSource == "cookie"
	}},
	{"failures.network", cel.IntType, "As `attempts.network`, of those that ended badly.", func(o *risk.Observation) (any, bool) {
		return o.Failures.Network, o.Window > 0 && o.Address == risk.AddressPublic
	}},

	{"history.logins", cel.IntType, "How many logins are remembered that ended well.", func(o *risk.Observation) (any, bool) { return o.Logins, true }},
	{"history.days_since", cel.DoubleType, "Days since the latest of them.", func(o *risk.Observation) (any, bool) {
		return since(o.At, o.LastLogin).Hours() / 24, !o.LastLogin.IsZero() && !o.At.IsZero()
	}},
	{"history.hour_share", cel.DoubleType, "The share (0 to 1) of them that fell within two hours of this time of day.", func(o *risk.Observation) (any, bool) {
		return o.HourShare, o.HourSamples > 0
	}},
	{"history.countries", texts, "The countries that they came from.", func(o *risk.Observation) (any, bool) { return o.KnownCountries, len(o.KnownCountries) > 0 }},

	{"proofing.days_since", cel.DoubleType, "Days since the person last proved who they are, or their face matched.", func(o *risk.Observation) (any, bool) {
		return since(o.At, o.ProofedAt).Hours() / 24, o.ProofingKnown && !o.ProofedAt.IsZero() && !o.At.IsZero()
	}},
	{"proofing.ever", cel.BoolType, "They ever did.", func(o *risk.Observation) (any, bool) { return !o.ProofedAt.IsZero(), o.ProofingKnown }},

	{"descope.score", cel.DoubleType, "Descope's risk score, 0 to 1.", func(o *risk.Observation) (any, bool) {
		if o.RiskScore == nil {
			return 0.0, false
		}
		return *o.RiskScore, true
	}},
	{"descope.impossible_travel", cel.BoolType, "Descope says that nobody travels so fast.", func(o *risk.Observation) (any, bool) { return tri(o.DescopeTravel) }},
	{"descope.vpn", cel.BoolType, "Descope says that it is a VPN.", func(o *risk.Observation) (any, bool) { return tri(o.VPN) }},
	{"descope.bot", cel.BoolType, "Descope says that it is a program.", func(o *risk.Observation) (any, bool) { return tri(o.Bot) }},
}

func text(s string) (any, bool)  { return s, s != "" }
func tri(t risk.Tri) (any, bool) { return t == risk.Yes, t == risk.Yes || t == risk.No }
func first(o *risk.Observation) risk.Travel {
	if len(o.Travels) == 0 {
		return risk.Travel{}
	}
	return o.Travels[0]
}

// since is never negative: what lies after the login is now (clock skew). It is zero if
// it never happened.
func since(at, then time.Time) time.Duration {
	if then.IsZero() {
		return 0
	}
	return max(at.Sub(then), 0)
}

var (
	errTooLong   = errors.New("what it reads is too long")
	errNotFinite = errors.New("a number is not finite")
)

// celValue makes a fact's value one of CEL, if it is within the bounds.
func celValue(v any) (ref.Val, error) {
	switch v := v.(type) {
	case string:
		if len(v) > maxText {
			return nil, errTooLong
		}
		return types.String(v), nil
	case bool:
		return types.Bool(v), nil
	case int:
		return types.Int(v), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, errNotFinite
		}
		return types.Double(v), nil
	case []string:
		if len(v) > maxItems {
			return nil, errTooLong
		}
		for _, s := range v {
			if len(s) > maxItem {
				return nil, errTooLong
			}
		}
		return types.NewStringList(types.DefaultTypeAdapter, v), nil
	}
	return nil, errors.New("a fact of an unknown type")
}
