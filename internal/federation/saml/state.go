package saml

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
)

// state is what a response needs of its request. It travels as Ask.State.
type state struct {
	ID     string `json:"i"`
	ACS    string `json:"u"`
	Relay  string `json:"r,omitempty"`
	Apart  []byte `json:"x,omitempty"` // SHA-256 of a RelayState that travels in cookies of its own
	Format string `json:"f"`           // of the NameID
	Policy bool   `json:"p,omitempty"` // the request asked for Format
	Paths  bool   `json:"c,omitempty"` // the request calls levels of assurance as OpenID Connect does
}

// A browser keeps no cookie of more than 4096 bytes, which is all that an Ask has. A
// long RelayState travels apart, in plain: its service provider gave it to this
// browser in plain.
const (
	relayInState = 256  // bytes
	relayPart    = 2700 // bytes of one cookie, before base64
	relayParts   = (maxRelay + relayPart - 1) / relayPart
	relayLife    = time.Hour
	relayOthers  = 6 << 10 // bytes of those that a browser keeps beside a new one
	relayPrefix  = "kosmoscope_relay_"
)

// split takes a long RelayState out of a request's state.
func (p *Provider) split(req *request) (state, []federation.Cookie) {
	s := req.state
	if len(s.Relay) <= relayInState {
		return s, nil
	}
	sum := sha256.Sum256([]byte(s.Relay))
	s.Apart, s.Relay = sum[:], ""
	var set []federation.Cookie
	for i, rest := 0, req.state.Relay; rest != ""; i++ {
		n := min(len(rest), relayPart)
		c := relayCookie(req.ask.Tenant, s, i)
		c.Value, c.MaxAge = base64.RawURLEncoding.EncodeToString([]byte(rest[:n])), relayLife
		set, rest = append(set, c), rest[n:]
	}
	return s, set
}

// crowd drops the RelayStates of other runs when they are too long beside a new one: proxies
// refuse a request whose header is, and then nothing here could be reached for as long as the
// cookies last.
func crowd(r *http.Request, tenant string) (drop []federation.Cookie) {
	size := 0
	for _, c := range r.Cookies() {
		if strings.HasPrefix(c.Name, relayPrefix) {
			size += len(c.Name) + len(c.Value)
			drop = append(drop, federation.Cookie{Name: c.Name, Path: relayPath(tenant), MaxAge: -1})
		}
	}
	if size <= relayOthers {
		return nil
	}
	return drop
}

func relayPath(tenant string) string { return "/federation/" + tenant + "/" }

func relayCookie(tenant string, s state, part int) federation.Cookie {
	sum := sha256.Sum256([]byte(s.ID))
	return federation.Cookie{
		Name: relayPrefix + base64.RawURLEncoding.EncodeToString(sum[:9]) + "_" + strconv.Itoa(part),
		Path: relayPath(tenant),
	}
}

// join brings the RelayState back, and drops its cookies.
func (p *Provider) join(w http.ResponseWriter, r *http.Request, tenant string, s state) (state, bool) {
	if s.Apart == nil {
		return s, true
	}
	var relay []byte
	var drop []federation.Cookie
	for i := range relayParts {
		c := relayCookie(tenant, s, i)
		got, err := r.Cookie(c.Name)
		if err != nil {
			break
		}
		part, err := base64.RawURLEncoding.DecodeString(got.Value)
		if err != nil {
			return s, false
		}
		relay = append(relay, part...)
		c.MaxAge = -1
		drop = append(drop, c)
	}
	if sum := sha256.Sum256(relay); string(sum[:]) != string(s.Apart) {
		return s, false
	}
	p.Core.Cookies(w, drop)
	s.Relay = string(relay)
	return s, true
}
