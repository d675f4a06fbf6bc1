package risk

import (
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Lesson is a login that ended well.
type Lesson struct {
	Decision            string
	At                  time.Time
	Device              string     // of our own cookie; empty: not known
	IP                  netip.Addr // only a public one is remembered
	ASN                 uint32
	Country, City       string
	Latitude, Longitude float64
	RadiusKM            float64
	HasCoordinates      bool
	Matched             bool // the person's face matched
}

// Learn makes a login's device, network and place familiar, once for each decision. What
// was not seen for the longest time makes room.
func (h *History) Learn(l Lesson) {
	h.Format = 1
	l.Country = strings.ToUpper(l.Country)
	if !finite(l.Latitude, l.Longitude, l.RadiusKM) { // JSON cannot say them
		l.HasCoordinates = false
	}
	if !l.HasCoordinates {
		l.Latitude, l.Longitude, l.RadiusKM = 0, 0, 0
	}
	if l.Matched && l.At.After(h.MatchedAt) {
		h.MatchedAt = l.At
	}
	if l.Matched {
		h.cool(heatSubject, "")
		h.cool(heatDevice, l.Device)
		if l.IP.IsValid() {
			h.cool(heatNetwork, NetworkOf(l.IP).String())
		}
	}
	if slices.Contains(h.Learned, l.Decision) {
		return
	}
	h.Learned = first(append([]string{l.Decision}, h.Learned...), MaxLearned)
	h.Logins++
	if l.At.After(h.Last) {
		h.Last = l.At
	}
	hour := l.At.UTC().Hour()
	if h.Hours[hour] == math.MaxUint16 {
		for i := range h.Hours {
			h.Hours[i] /= 2
		}
	}
	h.Hours[hour]++
	if l.Device != "" {
		h.device(l)
	}
	public := KindOf(l.IP, true) == AddressPublic
	if public {
		h.net(l)
	}
	if public && l.Country != "" {
		h.place(l)
	}
	if public && (l.HasCoordinates || l.Country != "") {
		v := Visit{
			At: l.At, Country: l.Country, City: l.City, Latitude: l.Latitude, Longitude: l.Longitude, RadiusKM: l.RadiusKM,
			HasCoordinates: l.HasCoordinates, ASN: l.ASN,
		}
		h.Recent = append([]Visit{v}, h.Recent...)
		slices.SortStableFunc(h.Recent, func(a, b Visit) int { return b.At.Compare(a.At) })
		h.Recent = first(h.Recent, MaxRecent)
	}
}

func finite(numbers ...float64) bool {
	return !slices.ContainsFunc(numbers, func(n float64) bool { return math.IsNaN(n) || math.IsInf(n, 0) })
}

func first[T any](list []T, n int) []T { return list[:min(len(list), n)] }

// seen counts one more time.
func seen(at time.Time, begun, last *time.Time, count *int) {
	*count++
	if begun.IsZero() || at.Before(*begun) {
		*begun = at
	}
	if at.After(*last) {
		*last = at
	}
}

func (h *History) device(l Lesson) {
	i := slices.IndexFunc(h.Devices, func(d SeenDevice) bool { return d.ID == l.Device })
	if i < 0 {
		i = len(h.Devices)
		h.Devices = append(h.Devices, SeenDevice{ID: l.Device})
	}
	d := &h.Devices[i]
	seen(l.At, &d.First, &d.Last, &d.Count)
	slices.SortStableFunc(h.Devices, func(a, b SeenDevice) int { return b.Last.Compare(a.Last) })
	h.Devices = first(h.Devices, MaxDevices)
}

func (h *History) net(l Lesson) {
	ip := bare(l.IP).String()
	i := slices.IndexFunc(h.Nets, func(n SeenNetwork) bool { return n.IP == ip })
	if i < 0 {
		i = len(h.Nets)
		h.Nets = append(h.Nets, SeenNetwork{IP: ip})
	}
	n := &h.Nets[i]
	if l.ASN != 0 {
		n.ASN = l.ASN
	}
	seen(l.At, &n.First, &n.Last, &n.Count)
	slices.SortStableFunc(h.Nets, func(a, b SeenNetwork) int { return b.Last.Compare(a.Last) })
	h.Nets = first(h.Nets, MaxNets)
}

func (h *History) place(l Lesson) {
	i := slices.IndexFunc(h.Places, func(p SeenPlace) bool { return p.Country == l.Country })
	if i < 0 {
		i = len(h.Places)
		h.Places = append(h.Places, SeenPlace{Country: l.Country})
	}
	p := &h.Places[i]
	seen(l.At, &p.First, &p.Last, &p.Count)
	slices.SortStableFunc(h.Places, func(a, b SeenPlace) int { return b.Last.Compare(a.Last) })
	h.Places = first(h.Places, MaxPlaces)
}
