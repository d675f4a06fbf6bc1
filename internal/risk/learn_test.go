package risk_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/risk"
)

func TestLearn(t *testing.T) {
	t.Parallel()
	first, second := now.Add(-48*time.Hour), now.Add(-24*time.Hour)
	h := new(risk.History)
	h.Learn(risk.Lesson{
		Decision: "a", At: first, Device: "laptop", IP: addr(home), ASN: 6805, Country: "DE", City: "Berlin",
		Latitude: 52.5, Longitude: 13.4, RadiusKM: 10, HasCoordinates: true,
	})
	h.Learn(risk.Lesson{Decision: "b", At: second, Device: "laptop", IP: addr("::ffff:" + home), Country: "DE", Matched: true})
	want := &risk.History{
		Format: 1, Logins: 2, Last: second, MatchedAt: second, Learned: []string{"b", "a"},
		Devices: []risk.SeenDevice{{ID: "laptop", First: first, Last: second, Count: 2}},
		Nets:    []risk.SeenNetwork{{IP: home, ASN: 6805, First: first, Last: second, Count: 2}},
		Places:  []risk.SeenPlace{{Country: "DE", First: first, Last: second, Count: 2}},
		Recent: []risk.Visit{
			{At: second, Country: "DE"},
			{At: first, Country: "DE", City: "Berlin", Latitude: 52.5, Longitude: 13.4, RadiusKM: 10, HasCoordinates: true, ASN: 6805},
		},
		Hours: [24]uint16{12: 2},
	}
	if !reflect.DeepEqual(h, want) {
		t.Errorf("\n%+v, want\n%+v", h, want)
	}
}

func TestLearnOnce(t *testing.T) {
	t.Parallel()
	l := risk.Lesson{Decision: "a", At: now, Device: "laptop", IP: addr(home), ASN: 1, Country: "DE", Matched: true}
	h := new(risk.History)
	h.Learn(l)
	once, _ := json.Marshal(h)
	h.Learn(l)
	if twice, _ := json.Marshal(h); string(twice) != string(once) {
		t.Errorf("%s\nbecame\n%s", once, twice)
	}
	// The flow said success first; that the face matched is heard of later.
	h = new(risk.History)
	l.Matched = false
	h.Learn(l)
	h.Scorch(now, "laptop", addr(home))
	l.Matched = true
	h.Learn(l)
	if h.Logins != 1 || !h.MatchedAt.Equal(now) || len(h.Heat) != 0 {
		t.Errorf("%+v", h)
	}
}

func TestLearnOutOfOrder(t *testing.T) {
	t.Parallel()
	lesson := func(id string, ago time.Duration, ip string) risk.Lesson {
		return risk.Lesson{Decision: id, At: now.Add(-ago), Device: id, IP: addr(ip), Country: "DE", Matched: true}
	}
	h := new(risk.History)
	h.Learn(lesson("new", time.Hour, home))
	h.Learn(lesson("old", 9*time.Hour, mobile))
	if want := now.Add(-time.Hour); !h.Last.Equal(want) || !h.MatchedAt.Equal(want) || !h.Recent[0].At.Equal(want) || h.Devices[0].ID != "new" || h.Nets[0].IP != home {
		t.Errorf("an older lesson came before a newer one: %+v", h)
	}
	if p := h.Places[0]; !p.First.Equal(now.Add(-9*time.Hour)) || !p.Last.Equal(now.Add(-time.Hour)) || p.Count != 2 {
		t.Errorf("%+v", p)
	}
}

func TestLearnNothingOfPrivate(t *testing.T) {
	t.Parallel()
	for _, ip := range []netip.Addr{addr(private), addr("fd00::1"), {}} {
		h := new(risk.History)
		h.Learn(risk.Lesson{Decision: "a", At: now, IP: ip, ASN: 1, Country: "DE", City: "Berlin", HasCoordinates: true})
		if h.Nets != nil || h.Places != nil || h.Recent != nil || h.Logins != 1 {
			t.Errorf("%s: %+v", ip, h)
		}
	}
}

// What was not seen for the longest time makes room, and what is in use stays.
func TestLearnMakesRoom(t *testing.T) {
	t.Parallel()
	h := new(risk.History)
	for i := range 100 {
		at := now.Add(time.Duration(2*i) * time.Hour)
		h.Learn(risk.Lesson{Decision: fmt.Sprint("d", i), At: at, Device: fmt.Sprint("n", i), IP: addr(fmt.Sprintf("78.55.%d.1", i)), Country: fmt.Sprintf("%c%c", 'A'+i/26, 'A'+i%26)})
		h.Learn(risk.Lesson{Decision: fmt.Sprint("e", i), At: at.Add(time.Hour), Device: "laptop", IP: addr(home), Country: "DE"})
	}
	if len(h.Devices) != risk.MaxDevices || h.Devices[0].ID != "laptop" || h.Devices[1].ID != "n99" || h.Devices[0].Count != 100 {
		t.Errorf("devices: %+v", h.Devices)
	}
	if len(h.Nets) != risk.MaxNets || h.Nets[0].IP != home {
		t.Errorf("networks: %+v", h.Nets)
	}
	if len(h.Places) != risk.MaxPlaces || h.Places[0].Country != "DE" {
		t.Errorf("places: %+v", h.Places)
	}
	if len(h.Recent) != risk.MaxRecent || len(h.Learned) != risk.MaxLearned || h.Learned[0] != "e99" {
		t.Errorf("%d visits, learned %v", len(h.Recent), h.Learned)
	}
}

func TestHoursAreHalved(t *testing.T) {
	t.Parallel()
	h := &risk.History{Hours: [24]uint16{3: 1000, 12: math.MaxUint16}}
	h.Learn(risk.Lesson{Decision: "a", At: now})
	if h.Hours[12] != math.MaxUint16/2+1 || h.Hours[3] != 500 {
		t.Errorf("%v", h.Hours)
	}
}

func TestHeat(t *testing.T) {
	t.Parallel()
	h := new(risk.History)
	h.Scorch(now, "laptop", addr(home))
	h.Scorch(now.Add(-time.Hour), "laptop", addr(home)) // heard of late
	for _, c := range []struct {
		after                    time.Duration
		device                   string
		ip                       string
		onDevice, onNet, subject float64
	}{
		{0, "laptop", home, 1, 1, 0.25},
		{0, "laptop", nearby, 1, 1, 0.25},
		{30 * time.Minute, "phone", mobile, 0, 0, 0.125},
		{time.Hour, "phone", mobile, 0, 0, 0},
		{6 * time.Hour, "laptop", mobile, 0.75, 0, 0},
		{12 * time.Hour, "", home, 0, 0.5, 0},
		{24 * time.Hour, "laptop", home, 0, 0, 0},
		{400 * 24 * time.Hour, "laptop", home, 0, 0, 0},
		{time.Minute, "", private, 0, 0, 0.25 * 59 / 60},
	} {
		l, w := from(c.ip, 0, "")
		l.At, l.Device = now.Add(c.after), c.device
		o := risk.Observe(l, w, h, risk.Context{})
		for _, v := range [][2]float64{{o.HeatDevice, c.onDevice}, {o.HeatNetwork, c.onNet}, {o.HeatSubject, c.subject}} {
			if math.Abs(v[0]-v[1]) > 1e-9 {
				t.Errorf("%s later, %q, %s: device %v, network %v, subject %v", c.after, c.device, c.ip, o.HeatDevice, o.HeatNetwork, o.HeatSubject)
				break
			}
		}
	}

	// A face that matches cools its own device and network, and the person; not others.
	h.Scorch(now, "phone", addr(mobile))
	h.Learn(risk.Lesson{Decision: "a", At: now, Device: "laptop", IP: addr(nearby), Matched: true})
	if len(h.Heat) != 2 || slices.ContainsFunc(h.Heat, func(e risk.Heat) bool { return e.Kind == "subject" || e.Key == "laptop" || e.Key == "78.55.20.0/24" }) {
		t.Errorf("%+v", h.Heat)
	}
	// A login without a match cools nothing.
	h.Learn(risk.Lesson{Decision: "b", At: now, Device: "phone", IP: addr(mobile)})
	if len(h.Heat) != 2 {
		t.Errorf("%+v", h.Heat)
	}
	// A private address and no device heat only the person.
	h = new(risk.History)
	h.Scorch(now, "", addr(private))
	if len(h.Heat) != 1 || h.Heat[0].Kind != "subject" {
		t.Errorf("%+v", h.Heat)
	}
}

// full is a history that is as large as one gets.
func full() *risk.History {
	h := new(risk.History)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 500 {
		h.Learn(lesson(r, i))
	}
	for i := range 50 {
		h.Scorch(now, fmt.Sprint("device", i), addr(fmt.Sprintf("78.%d.1.1", i)))
	}
	return h
}

func lesson(r *rand.Rand, i int) risk.Lesson {
	odd := []float64{0, 52.5, -33.9, 180, math.NaN(), math.Inf(1), math.Inf(-1), 1e300}
	l := risk.Lesson{
		Decision: fmt.Sprint("d", r.IntN(i+2)), At: now.Add(time.Duration(r.IntN(10_000)-5000) * time.Minute), ASN: r.Uint32N(60),
		Country: string([]byte{byte('A' + r.IntN(26)), byte('a' + r.IntN(26))}), City: "somewhere",
		HasCoordinates: r.IntN(4) > 0, Latitude: odd[r.IntN(len(odd))], Longitude: odd[r.IntN(len(odd))], RadiusKM: odd[r.IntN(len(odd))],
		Matched: r.IntN(5) == 0,
	}
	if r.IntN(5) > 0 {
		l.Device = fmt.Sprint("device", r.IntN(60))
	}
	switch r.IntN(6) {
	case 0: // none
	case 1:
		l.IP = netip.AddrFrom16([16]byte{0x2a, 2, 0x81, byte(r.IntN(256)), byte(r.IntN(256)), 0, 0, 1, 15: byte(r.IntN(256))})
	default:
		l.IP = netip.AddrFrom4([4]byte{byte(r.IntN(256)), byte(r.IntN(3)), byte(r.IntN(3)), byte(r.IntN(3))})
	}
	return l
}

// Whatever is learned in whatever order, a history stays within its bounds, comes back
// from JSON as it was, and can be observed and recorded.
func TestHistoryProperties(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 6))
		h := new(risk.History)
		for i := range 200 {
			l := lesson(r, i)
			last, matched := h.Last, h.MatchedAt
			if r.IntN(4) == 0 {
				h.Scorch(l.At, l.Device, l.IP)
			} else {
				h.Learn(l)
				if !slices.Contains(h.Learned, l.Decision) {
					t.Fatalf("seed %d: %s is not noted", seed, l.Decision)
				}
			}
			if h.Last.Before(last) || h.MatchedAt.Before(matched) {
				t.Fatalf("seed %d: time went back", seed)
			}
			if len(h.Devices) > risk.MaxDevices || len(h.Nets) > risk.MaxNets || len(h.Places) > risk.MaxPlaces || len(h.Recent) > risk.MaxRecent ||
				len(h.Heat) > risk.MaxHeat || len(h.Learned) > risk.MaxLearned {
				t.Fatalf("seed %d: out of bounds after %d: %+v", seed, i, h)
			}
			if !slices.IsSortedFunc(h.Recent, func(a, b risk.Visit) int { return b.At.Compare(a.At) }) {
				t.Fatalf("seed %d: visits are not in order", seed)
			}
		}
		raw, err := json.Marshal(h)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		back := new(risk.History)
		if err := json.Unmarshal(raw, back); err != nil || !reflect.DeepEqual(back, h) {
			t.Fatalf("seed %d: %v: it comes back as\n%+v, was\n%+v", seed, err, back, h)
		}
		if len(raw) > 20_000 {
			t.Errorf("seed %d: %d bytes", seed, len(raw))
		}
		l := lesson(r, 0)
		w := risk.Where{
			Address: risk.KindOf(l.IP, true), Country: l.Country, ASN: l.ASN, Latitude: l.Latitude, Longitude: l.Longitude, RadiusKM: l.RadiusKM,
			HasCoordinates: l.HasCoordinates,
		}
		o := risk.Observe(risk.Login{At: l.At, IP: l.IP, Device: l.Device, LastIPs: []netip.Addr{l.IP}}, w, back, risk.Context{})
		if _, err := json.Marshal(o); err != nil {
			t.Fatalf("seed %d: %v of %+v", seed, err, o)
		}
		for _, heat := range []float64{o.HeatDevice, o.HeatNetwork, 4 * o.HeatSubject, o.HourShare} {
			if !(heat >= 0 && heat <= 1) {
				t.Fatalf("seed %d: %+v", seed, o)
			}
		}
	}
}

// After a login was learned from, the next one like it is familiar in every way.
func TestLearnedIsFamiliar(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 7))
		h := new(risk.History)
		for i := range 60 {
			h.Learn(lesson(r, i))
		}
		v := lesson(r, 0)
		v.Decision, v.At = "the last", now.Add(10_000*time.Hour)
		h.Learn(v)
		w := risk.Where{Address: risk.KindOf(v.IP, v.IP.IsValid()), Country: v.Country, ASN: v.ASN}
		o := risk.Observe(risk.Login{At: v.At, IP: v.IP, Device: v.Device}, w, h, risk.Context{})
		if v.Device != "" && o.DeviceKnown != risk.Yes {
			t.Fatalf("seed %d: the device is %s", seed, o.DeviceKnown)
		}
		if o.Address == risk.AddressPublic && (o.AddressSeen != risk.Yes || o.NetworkSeen != risk.Yes || o.CountrySeen != risk.Yes || v.ASN != 0 && o.ASSeen != risk.Yes) {
			t.Fatalf("seed %d: %+v", seed, o)
		}
	}
}

// A history of a newer program, or a damaged one, is read without harm.
func FuzzHistory(f *testing.F) {
	raw, err := json.Marshal(full())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"networks":[{"ip":"?"}],"recent":[{"coordinates":true,"lat":1e308,"lon":-1e308}],"hours":[65535]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		h := new(risk.History)
		if json.Unmarshal(raw, h) != nil {
			return
		}
		l, w := from(home, 1, "DE")
		w.HasCoordinates = true
		l.Device = "laptop"
		if _, err := json.Marshal(risk.Observe(l, w, h, risk.Context{})); err != nil {
			t.Fatal(err)
		}
		h.Scorch(now, l.Device, l.IP)
		h.Learn(risk.Lesson{Decision: "a", At: now, Device: l.Device, IP: l.IP, ASN: 1, Country: "DE"})
		if len(h.Devices) > risk.MaxDevices || len(h.Nets) > risk.MaxNets || len(h.Places) > risk.MaxPlaces || len(h.Recent) > risk.MaxRecent || len(h.Heat) > risk.MaxHeat {
			t.Fatalf("%+v", h)
		}
	})
}
