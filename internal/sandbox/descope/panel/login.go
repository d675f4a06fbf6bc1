package panel

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
)

const (
	loginCookie  = "kosmoscope_lab_login"
	deviceCookie = "kosmoscope_lab_device"
	cookieAge    = 365 * 24 * 60 * 60 // seconds
)

// newDevice asks for a device that nobody has seen; it gets a name of its own, which
// it keeps for the logins that follow.
const newDevice = "new"

// Login is what a browser signs in as. The zero value changes nothing.
type Login struct {
	IP         string  `json:"ip"`          // empty: the connection's own
	Device     string  `json:"device"`      // empty: this browser's own; "new": never seen before; else a name
	VPN        bool    `json:"vpn"`         //
	Bot        bool    `json:"bot"`         //
	HoursLater float64 `json:"hours_later"` // how much later it is for risk, 0 to 8760
}

// What can be wrong with a Login.
var (
	errIP     = errors.New("ip is not an IPv4 or IPv6 address")
	errDevice = errors.New("device is a name of at most 40 letters")
	errHours  = errors.New("hours_later must be from 0 to 8760")
)

func (l *Login) check() error {
	l.IP, l.Device = strings.TrimSpace(l.IP), strings.TrimSpace(l.Device)
	if l.IP != "" {
		a, err := netip.ParseAddr(l.IP)
		if err != nil || a.Zone() != "" {
			return errIP
		}
		l.IP = a.Unmap().String()
	}
	if utf8.RuneCountInString(l.Device) > 40 || strings.ContainsFunc(l.Device, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) {
		return errDevice
	}
	if math.IsNaN(l.HoursLater) || l.HoursLater < 0 || l.HoursLater > 8760 {
		return errHours
	}
	if l.Device == newDevice {
		l.Device = newDevice + "-" + strings.ToLower(rand.Text()[:8])
	}
	return nil
}

// login reads the cookie; what cannot be read is as if it were not there.
func login(r *http.Request) Login {
	c, err := r.Cookie(loginCookie)
	if err != nil {
		return Login{}
	}
	b, err := base64.RawURLEncoding.DecodeString(c.Value)
	var l Login
	if err != nil || json.Unmarshal(b, &l) != nil || l.Device == newDevice || l.check() != nil {
		return Login{}
	}
	return l
}

func setLogin(w http.ResponseWriter, l Login) error {
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	cookie(w, loginCookie, base64.RawURLEncoding.EncodeToString(b), cookieAge)
	return nil
}

// cookie sets one of ours. SameSite goes by site, not by origin: a page on another
// port of the same host sends it along, as flows need.
func cookie(w http.ResponseWriter, name, value string, age int) {
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: age, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// Browser is what the project sees of the browser that made a request. Refresh is
// for whoever reads the Authorization header.
func (p *Panel) Browser(r *http.Request) project.Browser {
	l := login(r)
	b := project.Browser{
		UserAgent: r.UserAgent(), Device: l.Device, DTD: r.Header.Get("X-Descope-Trusted-Device-Token"),
		VPN: l.VPN, Bot: l.Bot, Now: p.now().Add(time.Duration(l.HoursLater * float64(time.Hour))),
	}
	if l.IP != "" {
		b.Addr, _ = netip.ParseAddr(l.IP)
	} else if a, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		b.Addr = a.Addr().Unmap()
	}
	if b.Device == "" {
		if own := ownDevice(r); own != "" {
			b.Device = "own-" + own
		}
	}
	return b
}

// ownDevice is what tells this browser from others; empty if it has nothing yet.
func ownDevice(r *http.Request) string {
	for _, c := range r.CookiesNamed(deviceCookie) {
		if validDevice(c.Value) {
			return c.Value
		}
	}
	return ""
}

func validDevice(s string) bool {
	return len(s) >= 16 && len(s) <= 40 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
}

// FirstContact gives a browser its own device if it has none yet, so that it is told
// apart later. It is on the answer and, for this request's Browser, on r.
func (p *Panel) FirstContact(w http.ResponseWriter, r *http.Request) {
	if ownDevice(r) != "" {
		return
	}
	id := strings.ToLower(rand.Text())
	cookie(w, deviceCookie, id, cookieAge)
	r.AddCookie(&http.Cookie{Name: deviceCookie, Value: id})
}
