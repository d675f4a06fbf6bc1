package project

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"time"
)

// User is a user of the project, spelled as Descope's Management API spells it
// (ResponseUser). Times are unix seconds.
type User struct {
	UserID           string         `json:"userId"`
	LoginIDs         []string       `json:"loginIds"`
	Name             string         `json:"name"`
	GivenName        string         `json:"givenName"`
	MiddleName       string         `json:"middleName"`
	FamilyName       string         `json:"familyName"`
	Email            string         `json:"email"`
	Phone            string         `json:"phone"`
	VerifiedEmail    bool           `json:"verifiedEmail"`
	VerifiedPhone    bool           `json:"verifiedPhone"`
	RoleNames        []string       `json:"roleNames"`
	UserTenants      []UserTenant   `json:"userTenants"`
	Status           string         `json:"status"` // enabled, disabled, invited
	Picture          string         `json:"picture"`
	Test             bool           `json:"test"`
	CustomAttributes map[string]any `json:"customAttributes"`
	CreatedTime      int64          `json:"createdTime"`
	ModifiedTime     int64          `json:"modifiedTime"`
	TOTP             bool           `json:"TOTP"`
	SAML             bool           `json:"SAML"`
	SCIM             bool           `json:"SCIM"`
	OIDC             bool           `json:"OIDC"`
	OAuth            map[string]any `json:"OAuth"`
	WebAuthn         bool           `json:"webauthn"`
	Password         bool           `json:"password"`
	Push             bool           `json:"push"`
	SSOAppIDs        []string       `json:"ssoAppIds"`
	Permissions      []string       `json:"permissions"`
	Editable         bool           `json:"editable"`
	ExternalIDs      []string       `json:"externalIds"`
}

// UserTenant is a Descope tenant that a user belongs to.
type UserTenant struct {
	TenantID    string   `json:"tenantId"`
	TenantName  string   `json:"tenantName"`
	RoleNames   []string `json:"roleNames"`
	Permissions []string `json:"permissions"`
}

// Browser is what the project sees of the browser that runs a flow.
type Browser struct {
	Addr      netip.Addr // as the test panel says for this browser, else the connection's
	UserAgent string
	Device    string // what a fingerprint would tell apart; empty if it cannot be told
	DTD       string // trusted device token, if it sent one
	Refresh   string // refresh JWT of the session it has, if it sent one
	VPN       bool   // as the test panel says
	Bot       bool   // as the test panel says
	Now       time.Time
}

// Risk is what Descope would know about a login, by keys of a flow's context.
type Risk struct {
	TrustedDevice    bool    // riskInfo.trustedDevice
	ImpossibleTravel bool    // riskInfo.impossibleTravel; false if it cannot be told
	VPN              bool    // riskInfo.vpnDetected
	Bot              bool    // riskInfo.botDetected
	Score            float64 // riskInfo.riskScore, 0 to 1
	KnownDevice      bool    // user.fingerprint.knownDevice
	IP               string  // ipAddress
	Country, City    string  // of this login; empty if they cannot be told
	LastCountry      string  // user.lastAuth.country, and so on
	LastCity, LastIP string
	LastCountries    []string
	LastCities       []string
	LastIPs          []string
}

// Grant is a session to be issued.
type Grant struct {
	UserID      string
	AMR         []string       // email, ...
	SteppedUp   bool           // the claim su, for as long as the project's step-up lasts
	Claims      map[string]any // custom claims of both tokens
	FirstSeen   bool
	TrustDevice bool // mark this device as trusted: the answer carries a DTD
	Browser     Browser
}

// AuthInfo is Descope's JWTResponse.
type AuthInfo struct {
	SessionJWT        string         `json:"sessionJwt"`
	RefreshJWT        string         `json:"refreshJwt"`
	CookieDomain      string         `json:"cookieDomain"`
	CookiePath        string         `json:"cookiePath"`
	CookieMaxAge      int64          `json:"cookieMaxAge"`
	CookieExpiration  int64          `json:"cookieExpiration"`
	SessionExpiration int64          `json:"sessionExpiration"`
	User              *User          `json:"user"`
	FirstSeen         bool           `json:"firstSeen"`
	Claims            map[string]any `json:"claims,omitempty"`
	TrustedDeviceJWT  string         `json:"trustedDeviceJwt,omitempty"`
}

// What can be wrong with a request. An *Error says it to a person and carries
// Descope's code.
var (
	ErrNoUser   = &Error{Code: "E112102", Status: 404, Message: "There is no such user."}
	ErrExists   = &Error{Code: "E062107", Status: 400, Message: "There is a user with this login ID already."}
	ErrDisabled = &Error{Code: "E062108", Status: 400, Message: "This account is disabled."}
	ErrCode     = &Error{Code: "E061102", Status: 401, Message: "This code is not the one that was sent, or it is too old. Ask for a new one."}
	ErrToken    = &Error{Code: "E061103", Status: 401, Message: "The session has ended. Sign in again."}
)

// Error is an error of Descope's APIs. Which code Descope gives for what is public
// for few of them; the others are ours (README).
type Error struct {
	Code    string // Descope's errorCode
	Status  int    // HTTP
	Message string // for people
	Cause   error  // for the log
}

func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Code + " " + e.Message + ": " + e.Cause.Error()
	}
	return e.Code + " " + e.Message
}

func (e *Error) Unwrap() error { return e.Cause }

// Answer writes it as all of Descope's APIs do. description says in a few words what
// the code is, for whoever reads a console.
func (e *Error) Answer(w http.ResponseWriter, description string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(e.Status)
	_ = json.NewEncoder(w).Encode(map[string]string{"errorCode": e.Code, "errorDescription": description, "errorMessage": e.Message})
}

// Is reports whether target is an Error of the same code.
func (e *Error) Is(target error) bool {
	t, ok := errors.AsType[*Error](target)
	return ok && t.Code == e.Code
}
