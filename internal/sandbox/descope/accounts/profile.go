package accounts

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"
)

// Profile is what the test panel shows of a user.
type Profile struct {
	ID         string
	LoginIDs   []string
	Name       string
	Email      string
	Status     string
	Attributes map[string]any
	Devices    []Device
	Logins     []Visit // newest first
}

// Device is a device that a user signed in on.
type Device struct {
	Name    string
	Trusted bool
	Seen    time.Time
}

// Visit is a login in a user's history. Country and City are empty where they cannot
// be told.
type Visit struct {
	At      time.Time
	IP      string
	Country string
	City    string
	Device  string
}

// Users are all users, oldest first.
func (a *Accounts) Users(context.Context) ([]Profile, error) {
	now := a.now().Unix()
	a.mu.RLock()
	all := slices.Collect(maps.Values(a.users))
	a.mu.RUnlock()
	slices.SortFunc(all, func(one, two *record) int {
		return cmp.Or(cmp.Compare(one.User.CreatedTime, two.User.CreatedTime), cmp.Compare(one.User.UserID, two.User.UserID))
	})
	out := make([]Profile, len(all))
	for i, r := range all {
		u := clone(&r.User)
		p := Profile{ID: u.UserID, LoginIDs: u.LoginIDs, Name: u.Name, Email: u.Email, Status: u.Status, Attributes: u.CustomAttributes}
		for _, d := range r.Devices {
			name := d.Name
			if d.Fingerprint != "" {
				name = d.Fingerprint + ", " + d.Name
			}
			p.Devices = append(p.Devices, Device{name, d.Trusted > now, time.Unix(d.Last, 0).UTC()})
		}
		for _, v := range r.Logins {
			p.Logins = append(p.Logins, Visit{v.At, v.IP, v.Country, v.City, v.Device})
		}
		out[i] = p
	}
	return out, nil
}
