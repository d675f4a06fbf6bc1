package accounts

import (
	"cmp"
	"context"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
)

// device is one that a user signed in on. Times are unix seconds.
type device struct {
	ID          string `json:"id"`          // of the trust, if it was trusted; else empty
	Fingerprint string `json:"fingerprint"` // project.Browser's Device; empty if only the trust tells it
	Name        string `json:"name"`        // for people
	First       int64  `json:"first"`       // login, by the browser's time
	Last        int64  `json:"last"`
	Trusted     int64  `json:"trusted"` // until when; 0: it is not
	Where       string `json:"where"`   // the last login was
}

// visit is a login. Its time is the browser's.
type visit struct {
	At     time.Time `json:"at"`
	IP     string    `json:"ip"`
	Device string    `json:"device"` // its name
	place
}

// place is where an address is; the zero place is nowhere.
type place struct {
	Country string  `json:"country"`
	City    string  `json:"city"`
	Lat     float64 `json:"lat"` // degrees
	Lon     float64 `json:"lon"`
	Radius  float64 `json:"radius"` // km
	Known   bool    `json:"known"`
}

// shared are the addresses of networks behind a provider's NAT (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

// place looks an address up. Those that lead nowhere have no place.
func (a *Accounts) place(addr netip.Addr) (p place) {
	addr = addr.Unmap()
	if a.opt.Geo == nil || !addr.IsValid() || !addr.IsGlobalUnicast() || addr.IsPrivate() || shared.Contains(addr) {
		return p
	}
	p.Country, p.City, p.Lat, p.Lon, p.Radius, p.Known = a.opt.Geo(addr)
	if !p.Known || p.Country == "" {
		return place{}
	}
	return p
}

const earthKM = 6371

// distance is how far apart two places are at least, in km.
func distance(p, q place) float64 {
	rad := func(deg float64) float64 { return deg * math.Pi / 180 }
	dLat, dLon := rad(q.Lat-p.Lat)/2, rad(q.Lon-p.Lon)/2
	h := math.Sin(dLat)*math.Sin(dLat) + math.Cos(rad(p.Lat))*math.Cos(rad(q.Lat))*math.Sin(dLon)*math.Sin(dLon)
	return max(0, 2*earthKM*math.Asin(math.Sqrt(min(1, h)))-p.Radius-q.Radius)
}

func (a *Accounts) when(b project.Browser) time.Time {
	if b.Now.IsZero() {
		return a.now()
	}
	return b.Now
}

func (a *Accounts) visit(b project.Browser) visit {
	v := visit{At: a.when(b).UTC(), Device: deviceName(b), place: a.place(b.Addr)}
	if b.Addr.IsValid() {
		v.IP = b.Addr.Unmap().String()
	}
	return v
}

// deviceName is what a person would call a device, as far as its browser tells.
func deviceName(b project.Browser) string {
	name := ""
	for _, browser := range []struct{ mark, name string }{{"Edg/", "Edge"}, {"Firefox/", "Firefox"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}} {
		if strings.Contains(b.UserAgent, browser.mark) {
			name = browser.name
			break
		}
	}
	for _, system := range []struct{ mark, name string }{
		{"Android", "Android"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"Linux", "Linux"},
	} {
		if strings.Contains(b.UserAgent, system.mark) {
			name = strings.TrimSpace(name + " on " + system.name)
			break
		}
	}
	return cmp.Or(name, "unknown browser")
}

// visited adds a login. The record is a new one, its lists are not.
func (r *record) visited(v visit, b project.Browser, trust device, now time.Time) {
	r.Logins = append([]visit{v}, r.Logins...)
	slices.SortStableFunc(r.Logins, func(one, two visit) int { return two.At.Compare(one.At) })
	r.Logins = r.Logins[:min(len(r.Logins), maxLogins)]
	if b.Device == "" && trust.ID == "" {
		return // it cannot be told from others
	}
	devices := slices.Clone(r.Devices)
	at := slices.IndexFunc(devices, func(d device) bool { return b.Device != "" && d.Fingerprint == b.Device })
	d := device{Fingerprint: b.Device, First: v.At.Unix(), Last: v.At.Unix()}
	if at >= 0 {
		d = devices[at]
		devices = slices.Delete(devices, at, at+1)
		d.First, d.Last = min(d.First, v.At.Unix()), max(d.Last, v.At.Unix())
	}
	d.Name, d.Where = v.Device, v.Country
	if d.Trusted != 0 && d.Trusted <= now.Unix() {
		d.ID, d.Trusted = "", 0
	}
	if trust.ID != "" {
		d.ID, d.Trusted = trust.ID, trust.Trusted
	}
	r.Devices = append([]device{d}, devices...)
	r.Devices = r.Devices[:min(len(r.Devices), maxDevices)]
}

// Risk implements runner.Accounts. What happened later than the browser's time has
// not happened yet. The score is that of guesses.go.
func (a *Accounts) Risk(_ context.Context, userID string, b project.Browser) (project.Risk, error) {
	now, here := a.when(b), a.visit(b)
	k := project.Risk{VPN: b.VPN, Bot: b.Bot, IP: here.IP, Country: here.Country, City: here.City}
	score := 0.0
	add := func(fired bool, weight float64) {
		if fired {
			score += weight
		}
	}
	if userID != "" {
		a.mu.RLock()
		r := a.users[userID]
		a.mu.RUnlock()
		if r == nil {
			return project.Risk{}, project.ErrNoUser
		}
		past := slices.DeleteFunc(slices.Clone(r.Logins), func(v visit) bool { return v.At.After(now) })
		k.KnownDevice = b.Device != "" && slices.ContainsFunc(r.Devices, func(d device) bool {
			return d.Fingerprint == b.Device && d.First <= now.Unix()
		})
		k.TrustedDevice = a.trusts(r, b)
		k.LastIPs = recent(past, func(v visit) string { return v.IP })
		k.LastCountries = recent(past, func(v visit) string { return v.Country })
		k.LastCities = recent(past, func(v visit) string { return v.City })
		if len(past) > 0 {
			k.LastIP, k.LastCountry, k.LastCity = past[0].IP, past[0].Country, past[0].City
			add(!k.KnownDevice && !k.TrustedDevice, scoreNewDevice)
			add(here.Known && len(k.LastCountries) > 0 && !slices.Contains(k.LastCountries, here.Country), scoreNewCountry)
			add(here.IP != "" && !slices.Contains(k.LastIPs, here.IP), scoreNewIP)
		}
		k.ImpossibleTravel = impossible(past, here)
	}
	add(k.Bot, scoreBot)
	add(k.VPN, scoreVPN)
	add(k.ImpossibleTravel, scoreTravel)
	k.Score = math.Round(min(1, score)*100) / 100
	return k, nil
}

// impossible reports whether nobody gets here from where the last login with a place
// was in the time between. Without a place it cannot be told, which is false.
func impossible(past []visit, here visit) bool {
	at := slices.IndexFunc(past, func(v visit) bool { return v.Known })
	if at < 0 || !here.Known {
		return false
	}
	hours := max(here.At.Sub(past[at].At).Hours(), travelFloorHours)
	return distance(past[at].place, here.place) > travelKMH*hours
}

// trusts reports whether the browser has a trusted device token of this user's, and
// is the device that it was given to.
func (a *Accounts) trusts(r *record, b project.Browser) bool {
	if b.DTD == "" {
		return false
	}
	c, err := a.read(b.DTD, a.when(b), drnTrusted)
	return err == nil && c.Subject == r.User.UserID && slices.ContainsFunc(r.Devices, func(d device) bool {
		return d.ID != "" && d.ID == c.Device && d.Fingerprint == b.Device && d.Trusted > a.when(b).Unix()
	})
}

// recent are different values of logins, newest first.
func recent(past []visit, of func(visit) string) []string {
	out := []string{}
	for _, v := range past {
		if s := of(v); s != "" && !slices.Contains(out, s) && len(out) < maxRecent {
			out = append(out, s)
		}
	}
	return out
}

// Login is a login in the history that the Management API tells.
type Login struct {
	UserID    string `json:"userId"`
	LoginTime int64  `json:"loginTime"` // unix seconds
	City      string `json:"city"`
	Country   string `json:"country"`
	IP        string `json:"ip"`
}

// History are the logins of users, each one's newest first. Unknown users have none.
func (a *Accounts) History(_ context.Context, userIDs []string) []Login {
	a.mu.RLock()
	defer a.mu.RUnlock()
	out := []Login{}
	for _, id := range userIDs {
		if r := a.users[id]; r != nil {
			for _, v := range r.Logins {
				out = append(out, Login{id, v.At.Unix(), v.City, v.Country, v.IP})
			}
		}
	}
	return out
}

// TrustedDevice is a device that a user marked as trusted. Its names are Descope's.
type TrustedDevice struct {
	ID             string `json:"id"`
	Name           string `json:"name"`
	DeviceType     string `json:"deviceType"`
	UserID         string `json:"userId"`
	LastLoginTime  int64  `json:"lastLoginTime"`
	ExpirationTime int64  `json:"expirationTime"`
	LastLocation   string `json:"lastLocation"`
	Current        bool   `json:"isCurrentDevice"`
}

// TrustedDevices are those of users, by user ids or login ids.
func (a *Accounts) TrustedDevices(_ context.Context, ids []string) []TrustedDevice {
	now := a.now().Unix()
	a.mu.RLock()
	defer a.mu.RUnlock()
	out := []TrustedDevice{}
	for _, id := range ids {
		r := a.find(id)
		if r == nil {
			continue
		}
		for _, d := range r.Devices {
			if d.ID != "" && d.Trusted > now {
				out = append(out, TrustedDevice{
					ID: d.ID, Name: d.Name, UserID: r.User.UserID, LastLoginTime: d.Last, ExpirationTime: d.Trusted, LastLocation: d.Where,
				})
			}
		}
	}
	return out
}

// RemoveTrustedDevices ends the trust in devices of a user. They stay known.
func (a *Accounts) RemoveTrustedDevices(ctx context.Context, id string, devices []string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	old := a.find(id)
	if old == nil {
		return project.ErrNoUser
	}
	r := &record{User: old.User, Devices: slices.Clone(old.Devices), Logins: old.Logins}
	for i := range r.Devices {
		if d := &r.Devices[i]; d.ID != "" && slices.Contains(devices, d.ID) {
			d.ID, d.Trusted = "", 0
		}
	}
	if err := a.store.save(ctx, []change{{kind: kindUser, id: r.User.UserID, value: r}}); err != nil {
		return a.failed(err)
	}
	a.put(old, r)
	return nil
}
