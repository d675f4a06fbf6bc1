package federation

import (
	"encoding/json"
	"net/netip"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Ask is what a relying party wants, in words of no protocol. All of it may come from
// a browser: it asks, and answers nothing.
type Ask struct {
	Client *Client `json:"-"`
	// ClientID and Protocol find Client again in Resume.
	Tenant   string   `json:"t"`
	ClientID string   `json:"c"`
	Protocol Protocol `json:"p"`

	Hint        string   `json:"h,omitempty"` // user identifier that it believes it is
	HintSubject string   `json:"s,omitempty"` // id of our subject, out of a token that we signed
	ACR         []string `json:"a,omitempty"` // in order of preference; empty: the client's default
	Essential   bool     `json:"e,omitempty"` // one of ACR must be met, else refuse
	Proofing    bool     `json:"i,omitempty"` // claims out of a document are wanted

	MaxAge *time.Duration `json:"m,omitempty"` // a session older than this will not do
	Fresh  bool           `json:"f,omitempty"` // no session will do (prompt=login, ForceAuthn)
	Silent bool           `json:"q,omitempty"` // nothing may be shown (prompt=none, IsPassive)

	// State is the protocol's own: what it needs to finish. Small: all of the Ask
	// travels in a cookie.
	State json.RawMessage `json:"z,omitempty"`
}

// Browser is what a request's browser brought along.
type Browser struct {
	From    netip.Addr
	Cookies map[string]string
}

// Step is what Begin says: an Answer, or where the browser goes first.
type Step struct {
	Answer *Answer // a session of this browser will do
	Go     string  // else: a path of ours, for a redirect with 303
	Set    []Cookie
}

// Cookie is one that the answer sets: HttpOnly, SameSite=Lax, Secure where we are.
// MaxAge below zero removes it; zero lasts as long as the browser runs.
type Cookie struct {
	Name, Value, Path string
	MaxAge            time.Duration
}

// Answer is who a browser's person is, and what is known of them now. It is made
// anew from what is stored each time it is asked for.
type Answer struct {
	Session  string // id of the Session: sid, SessionIndex
	Subject  string // id of our subject
	Sub      string // pairwise name of the subject for this client's sector, at most 64 characters
	Matched  bool   // the subject's enrolled face was matched in this session
	Proofed  bool   // a document was examined in this session
	AuthTime time.Time

	// Identifier is the customer's name of the subject (user_identifier), set only with
	// Matched.
	Identifier string

	ACR string   // of what was asked, the first that is met, as it was spelled; else the best that holds
	Met bool     // ACR is one that was asked for, or nothing was
	AMR []string // RFC 8176, and others: face, doc

	IALLevel     string // IAL1, IAL2, IAL3 or empty
	IALSource    string
	IALExpiresAt time.Time

	// Verification is the verified one that Outcome is from; its claims are those that
	// the client may see. Zero ID: there is none, or its data is gone.
	Verification proof.Verification
	Outcome      proof.Outcome
}

// Session is one browser's person, towards one client.
type Session struct {
	ID           string // UUIDv7; sid
	Hash         []byte // SHA-256 of the cookie's value
	Tenant       string
	Client       string
	Subject      string
	Challenge    string // the one that was matched; empty: none
	Verification string // the one that was verified; empty: none
	AuthTime     time.Time
	CreatedAt    time.Time
	ExpiresAt    time.Time
	EndedAt      time.Time // logged out; zero while it lasts
	Sealed       []byte    // SessionNotes, under the subject's key; may be nil
}

// SessionNotes is what an upstream provider said, where it authenticated the person.
type SessionNotes struct {
	ACR        string       `json:"acr,omitempty"`
	AMR        []string     `json:"amr,omitempty"`
	Face       bool         `json:"face,omitempty"` // it says that a face was matched
	IALLevel   string       `json:"ial,omitempty"`
	IALExpires time.Time    `json:"ial_expires,omitzero"`
	Claims     proof.Claims `json:"claims,omitzero"`
	Issuer     string       `json:"iss,omitempty"`
}
