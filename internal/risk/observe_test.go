package risk_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/risk"
)

var now = time.Date(2026, 11, 23, 12, 30, 0, 0, time.UTC)

const (
	home    = "78.55.20.10"
	nearby  = "78.55.20.99" // its /24
	mobile  = "109.40.1.1"
	homeSix = "2a02:8109:1:2::10"
	private = "10.0.0.7"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func addrs(list ...string) []netip.Addr {
	out := []netip.Addr{}
	for _, s := range list {
		out = append(out, addr(s))
	}
	return out
}

// from is a login from an address, and where that is.
func from(ip string, asn uint32, country string) (risk.Login, risk.Where) {
	l := risk.Login{At: now}
	if ip != "" {
		l.IP, l.IPGiven = addr(ip), true
	}
	return l, risk.Where{Address: risk.KindOf(l.IP, l.IPGiven), ASN: asn, Country: country}
}

// past is a history of logins, each a day after the one before, the last a day before now.
func past(lessons ...risk.Lesson) *risk.History {
	h := new(risk.History)
	for i, l := range lessons {
		l.Decision = fmt.Sprint("d", i)
		if l.At.IsZero() {
			l.At = now.Add(-time.Duration(len(lessons)-i) * 24 * time.Hour)
		}
		h.Learn(l)
	}
	return h
}

func TestObserveDevice(t *testing.T) {
	t.Parallel()
	h := past(risk.Lesson{Device: "laptop"}, risk.Lesson{Device: "phone"})
	for name, c := range map[string]struct {
		device         string
		known, trusted risk.Tri
		h              *risk.History
		want           risk.Tri
		source         string
	}{
		"our cookie, known":                   {"laptop", risk.Unknown, risk.Unknown, h, risk.Yes, "cookie"},
		"our cookie, new":                     {"tablet", risk.Unknown, risk.Unknown, h, risk.No, "cookie"},
		"our cookie, of a person without any": {"laptop", risk.Unknown, risk.Unknown, nil, risk.No, "cookie"},
		"our cookie is new, Descope knows it": {"tablet", risk.Yes, risk.Unknown, h, risk.No, "cookie"},
		"known to Descope":                    {"", risk.Yes, risk.No, h, risk.Yes, "descope"},
		"trusted, says Descope":               {"", risk.No, risk.Yes, h, risk.Yes, "descope"},
		"both no":                             {"", risk.No, risk.No, h, risk.No, "descope"},
		"known no":                            {"", risk.No, risk.Unknown, h, risk.No, "descope"},
		"trusted no says nothing":             {"", risk.Unknown, risk.No, h, risk.Unknown, ""},
		"nobody says":                         {"", risk.Unknown, risk.Unknown, h, risk.Unknown, ""},
	} {
		o := risk.Observe(risk.Login{At: now, Device: c.device, KnownDevice: c.known, TrustedDevice: c.trusted}, risk.Where{}, c.h, risk.Context{})
		if o.DeviceKnown != c.want || o.DeviceSource != c.source || o.DeviceTrusted != c.trusted {
			t.Errorf("%s: known %s by %q, trusted %s", name, o.DeviceKnown, o.DeviceSource, o.DeviceTrusted)
		}
	}
}

func TestObserveNetwork(t *testing.T) {
	t.Parallel()
	h := past(risk.Lesson{IP: addr(home), ASN: 6805}, risk.Lesson{IP: addr(homeSix), ASN: 6805})
	noAS := past(risk.Lesson{IP: addr(home)})
	const yes, no, unknown = risk.Yes, risk.No, risk.Unknown
	for name, c := range map[string]struct {
		ip                   string
		asn                  uint32
		h                    *risk.History
		last                 []netip.Addr
		address, network, as risk.Tri
		source               string
	}{
		"the same address":                {home, 6805, h, nil, yes, yes, yes, "history"},
		"the same, mapped":                {"::ffff:" + home, 6805, h, nil, yes, yes, yes, "history"},
		"the same, translated":            {"64:ff9b::" + home, 6805, h, nil, yes, yes, yes, "history"},
		"another of its /24":              {nearby, 6805, h, nil, no, yes, yes, "history"},
		"another of its /48":              {"2a02:8109:1:ffff::1", 6805, h, nil, no, yes, yes, "history"},
		"another network of the provider": {"78.55.99.1", 6805, h, nil, no, no, yes, "history"},
		"elsewhere":                       {mobile, 3209, h, nil, no, no, no, "history"},
		"elsewhere, provider unknown":     {mobile, 0, h, nil, no, no, unknown, "history"},
		"no provider was ever known":      {mobile, 3209, noAS, nil, no, no, unknown, "history"},
		"nothing to compare with":         {home, 6805, nil, nil, unknown, unknown, unknown, ""},
		"an empty history":                {home, 6805, new(risk.History), nil, unknown, unknown, unknown, ""},
		"an unreadable history":           {home, 6805, &risk.History{Nets: []risk.SeenNetwork{{IP: "?", ASN: 6805}}}, nil, unknown, unknown, unknown, ""},
		"private":                         {private, 0, h, nil, unknown, unknown, unknown, ""},
		"missing":                         {"", 0, h, nil, unknown, unknown, unknown, ""},

		"Descope had it":                           {home, 6805, nil, addrs(mobile, home), yes, yes, unknown, "descope"},
		"Descope had its network":                  {nearby, 6805, nil, addrs(home), no, yes, unknown, "descope"},
		"Descope had others":                       {mobile, 3209, nil, addrs(home), no, no, unknown, "descope"},
		"Descope had none":                         {home, 6805, nil, addrs(), unknown, unknown, unknown, ""},
		"Descope had private ones":                 {home, 6805, nil, addrs(private, "127.0.0.1"), unknown, unknown, unknown, ""},
		"Descope had none that is one":             {home, 6805, nil, []netip.Addr{{}}, unknown, unknown, unknown, ""},
		"both, Descope knows more":                 {mobile, 3209, h, addrs(mobile), yes, yes, no, "descope"},
		"both, Descope knows its network":          {"109.40.1.200", 3209, h, addrs(mobile), no, yes, no, "descope"},
		"both, Descope knows less":                 {home, 6805, h, addrs(mobile), yes, yes, yes, "history"},
		"both, Descope knows the address in a /24": {nearby, 6805, h, addrs(nearby), yes, yes, yes, "descope"},
		"both know it":                             {home, 6805, h, addrs(home), yes, yes, yes, "history"},
		"both, neither knows":                      {mobile, 3209, h, addrs("49.180.20.30"), no, no, no, "history"},
		"Descope's count nothing for a private":    {private, 0, h, addrs(private), unknown, unknown, unknown, ""},
	} {
		l, w := from(c.ip, c.asn, "")
		l.LastIPs = c.last
		o := risk.Observe(l, w, c.h, risk.Context{})
		if o.AddressSeen != c.address || o.NetworkSeen != c.network || o.ASSeen != c.as || o.AddressSource != c.source {
			t.Errorf("%s: address %s, network %s, AS %s by %q", name, o.AddressSeen, o.NetworkSeen, o.ASSeen, o.AddressSource)
		}
		if public := o.Address == risk.AddressPublic; public != (o.IP != "") || !public && o.ASN != 0 {
			t.Errorf("%s: a %q address is recorded as %q, AS%d", name, o.Address, o.IP, o.ASN)
		}
	}
}

func TestObserveCountry(t *testing.T) {
	t.Parallel()
	h := past(risk.Lesson{IP: addr(home), Country: "de"}, risk.Lesson{IP: addr(home), Country: "FR"})
	for name, c := range map[string]struct {
		ip, country string
		h           *risk.History
		last        []string
		want        risk.Tri
		known       []string
		source      string
	}{
		"seen":                      {home, "FR", h, nil, risk.Yes, []string{"DE", "FR"}, "history"},
		"seen, in lower case":       {home, "de", h, nil, risk.Yes, []string{"DE", "FR"}, "history"},
		"new":                       {home, "PT", h, nil, risk.No, []string{"DE", "FR"}, "history"},
		"new to us, not to Descope": {home, "PT", h, []string{"pt"}, risk.Yes, []string{"DE", "FR", "PT"}, "descope"},
		"Descope adds another":      {home, "DE", h, []string{"pt"}, risk.Yes, []string{"DE", "FR", "PT"}, "history"},
		"Descope only":              {home, "DE", nil, []string{"fr", "es", "FR"}, risk.No, []string{"ES", "FR"}, "descope"},
		"Descope says nothing":      {home, "DE", nil, []string{"", ""}, risk.Unknown, nil, ""},
		"nothing to compare with":   {home, "DE", nil, nil, risk.Unknown, nil, ""},
		"where it is is not known":  {home, "", h, nil, risk.Unknown, []string{"DE", "FR"}, "history"},
		"private":                   {private, "DE", h, []string{"de"}, risk.Unknown, nil, ""},
	} {
		l, w := from(c.ip, 0, c.country)
		l.LastCountries = c.last
		o := risk.Observe(l, w, c.h, risk.Context{})
		if o.CountrySeen != c.want || !slices.Equal(o.KnownCountries, c.known) || o.CountrySource != c.source {
			t.Errorf("%s: seen %s, known %v by %q", name, o.CountrySeen, o.KnownCountries, o.CountrySource)
		}
	}
	l, w := from(home, 0, "DE")
	for i := range 600 {
		l.LastCountries = append(l.LastCountries, fmt.Sprintf("%03d", i))
	}
	if o := risk.Observe(l, w, h, risk.Context{}); len(o.KnownCountries) != 2*risk.MaxPlaces {
		t.Errorf("%d countries", len(o.KnownCountries))
	}
}

func TestObserveTravel(t *testing.T) {
	t.Parallel()
	berlin := risk.Lesson{IP: addr(home), ASN: 6805, Country: "DE", City: "Berlin", Latitude: 52.5, Longitude: 13.4, RadiusKM: 10, HasCoordinates: true}
	nowhere := risk.Lesson{IP: addr(mobile), ASN: 3209, Country: "DE"}
	later := berlin
	later.At = now.Add(time.Hour)
	h := past(berlin, nowhere, berlin, later)
	l, w := from("85.240.1.1", 3243, "PT")
	w.Latitude, w.Longitude, w.RadiusKM, w.HasCoordinates = 38.7, -9.1, 7, true
	o := risk.Observe(l, w, h, risk.Context{})
	var hours []float64
	for _, v := range o.Travels {
		hours = append(hours, v.Hours)
		if v.FromCity != "Berlin" || v.FromCountry != "DE" || v.RadiusKM != 17 || v.SameAS || math.Abs(v.KM-2314) > 5 {
			t.Errorf("%+v", v)
		}
	}
	if want := []float64{-1, 48, 96}; !slices.Equal(hours, want) {
		t.Errorf("hours %v, want %v: newest first, none without coordinates", hours, want)
	}
	w.ASN = 6805
	if o = risk.Observe(l, w, h, risk.Context{}); !o.Travels[0].SameAS {
		t.Error("the AS is the same")
	}
	for name, bad := range map[string]risk.Where{
		"no coordinates": {Address: risk.AddressPublic, Latitude: 1, Longitude: 1},
		"not a number":   {Address: risk.AddressPublic, Latitude: math.NaN(), HasCoordinates: true},
		"no radius":      {Address: risk.AddressPublic, RadiusKM: math.Inf(1), HasCoordinates: true},
		"private":        {Address: risk.AddressPrivate, HasCoordinates: true},
	} {
		if o := risk.Observe(l, bad, h, risk.Context{}); o.Travels != nil {
			t.Errorf("%s: %+v", name, o.Travels)
		}
	}
}

func TestObserveHours(t *testing.T) {
	t.Parallel()
	at := func(hour int) risk.Lesson {
		return risk.Lesson{At: time.Date(2026, 11, 1, hour, 59, 0, 0, time.UTC)}
	}
	h := past(at(22), at(23), at(0), at(1), at(2), at(3), at(12), at(21))
	for hour, want := range map[int]float64{0: 5. / 8, 23: 5. / 8, 12: 1. / 8, 8: 0, 5: 1. / 8, 1: 5. / 8} {
		o := risk.Observe(risk.Login{At: time.Date(2026, 11, 23, hour, 0, 0, 0, time.UTC)}, risk.Where{}, h, risk.Context{})
		if o.HourShare != want || o.HourSamples != 8 {
			t.Errorf("at %d: %v of %d, want %v", hour, o.HourShare, o.HourSamples, want)
		}
	}
	// The hour is one of UTC, wherever the server stands.
	zone := time.FixedZone("", 5*3600)
	if o := risk.Observe(risk.Login{At: time.Date(2026, 11, 23, 17, 0, 0, 0, zone)}, risk.Where{}, h, risk.Context{}); o.HourShare != 1./8 {
		t.Errorf("%v at 12:00 UTC", o.HourShare)
	}
	if o := risk.Observe(risk.Login{At: now}, risk.Where{}, nil, risk.Context{}); o.HourShare != 0 || o.HourSamples != 0 {
		t.Errorf("without a history: %v of %d", o.HourShare, o.HourSamples)
	}
}

func TestObserveClockSkew(t *testing.T) {
	t.Parallel()
	h := past(risk.Lesson{At: now.Add(time.Hour), IP: addr(home), Country: "DE", HasCoordinates: true})
	h.Scorch(now.Add(time.Hour), "", addr(home))
	l, w := from(home, 0, "DE")
	w.HasCoordinates = true
	o := risk.Observe(l, w, h, risk.Context{ProofedAt: now.Add(time.Hour)})
	if !o.LastLogin.Equal(now) || !o.ProofedAt.Equal(now) {
		t.Errorf("last login %s, proofed %s: after now", o.LastLogin, o.ProofedAt)
	}
	// It lowers the risk: if a clock was wrong by more than that, nothing is known.
	c := risk.Context{ProofedAt: now.Add(time.Hour + 1), ProofedBy: "challenge", ProofingKnown: true}
	if o := risk.Observe(l, w, h, c); o.ProofingKnown || o.ProofedBy != "" || !o.ProofedAt.IsZero() {
		t.Errorf("proofed %s by %q, known %t", o.ProofedAt, o.ProofedBy, o.ProofingKnown)
	}
	if o.HeatNetwork != 1 || o.HeatSubject != risk.SubjectHeat {
		t.Errorf("heat %v, %v", o.HeatNetwork, o.HeatSubject)
	}
	if o.Travels[0].Hours != -1 {
		t.Errorf("%+v", o.Travels)
	}
}

func TestObserveCarries(t *testing.T) {
	t.Parallel()
	score := 0.3
	l, w := from(home, 6805, "DE")
	l.Application, l.Scopes, l.UserAgent = "shop", []string{"openid"}, "Browser"
	l.ImpossibleTravel, l.VPN, l.Bot, l.RiskScore = risk.No, risk.Yes, risk.No, &score
	w.City, w.ASName, w.Anonymiser, w.Listed = "Berlin", "Home Net", "VPN", true
	c := risk.Context{
		Window: time.Minute, Attempts: risk.Counts{Subject: 1, Device: 2, Network: 3}, Failures: risk.Counts{Subject: 4, Device: 5, Network: 6},
		ProofedAt: now.Add(-time.Hour), ProofedBy: "challenge", ProofingKnown: true,
	}
	got := risk.Observe(l, w, nil, c)
	want := risk.Observation{
		At: now, Application: "shop", Scopes: []string{"openid"}, ScopesGiven: true, UserAgent: "Browser",
		Address: risk.AddressPublic, IP: home, ASN: 6805, ASName: "Home Net", Country: "DE", City: "Berlin",
		DescopeTravel: risk.No, Window: time.Minute, Attempts: c.Attempts, Failures: c.Failures, Anonymiser: "VPN", Listed: true,
		VPN: risk.Yes, Bot: risk.No, RiskScore: &score, ProofedAt: now.Add(-time.Hour), ProofedBy: "challenge", ProofingKnown: true,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n%+v, want\n%+v", got, want)
	}
	raw, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var back risk.Observation
	if err := json.Unmarshal(raw, &back); err != nil || !reflect.DeepEqual(back, got) {
		t.Errorf("%v: it comes back as\n%+v from\n%s", err, back, raw)
	}

	if o := risk.Observe(risk.Login{At: now, Scopes: []string{}}, risk.Where{}, nil, risk.Context{}); !o.ScopesGiven {
		t.Error("no scopes is something that was said")
	}
	if o := risk.Observe(risk.Login{At: now}, risk.Where{}, nil, risk.Context{}); o.ScopesGiven {
		t.Error("no scopes were said")
	}
	l.IP, w.Address = addr(private), risk.AddressPrivate
	if o := risk.Observe(l, w, nil, c); o.Listed || o.Anonymiser != "" {
		t.Error("a private address is on nobody's list")
	}
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if o := risk.Observe(risk.Login{At: now, RiskScore: &bad}, risk.Where{}, nil, risk.Context{}); o.RiskScore != nil {
			t.Errorf("a score of %v", bad)
		}
	}
}

// A login is observed; nothing is learned from that.
func TestObserveChangesNothing(t *testing.T) {
	t.Parallel()
	h := past(risk.Lesson{Device: "laptop", IP: addr(home), ASN: 1, Country: "FR", HasCoordinates: true}, risk.Lesson{IP: addr(mobile), ASN: 2, Country: "DE"})
	h.Scorch(now, "laptop", addr(home))
	before, _ := json.Marshal(h)
	l, w := from(home, 1, "PT")
	l.LastCountries, l.LastIPs = []string{"es"}, addrs(mobile, nearby)
	risk.Observe(l, w, h, risk.Context{})
	if after, _ := json.Marshal(h); string(after) != string(before) {
		t.Errorf("%s\nbecame\n%s", before, after)
	}
	if l.LastCountries[0] != "es" || l.LastIPs[0] != addr(mobile) {
		t.Error("the login changed")
	}
}

func TestTri(t *testing.T) {
	t.Parallel()
	for v, want := range map[risk.Tri]string{risk.Yes: "true", risk.No: "false", risk.Unknown: "null"} {
		raw, err := json.Marshal(v)
		if err != nil || string(raw) != want {
			t.Errorf("%s: %s, %v", v, raw, err)
		}
		back := risk.Tri(7)
		if err := json.Unmarshal(raw, &back); err != nil || back != v {
			t.Errorf("%s came back as %s, %v", v, back, err)
		}
	}
	for _, bad := range []string{`"true"`, `1`, `{}`} {
		var v risk.Tri
		if err := json.Unmarshal([]byte(bad), &v); err == nil {
			t.Errorf("%s became %s", bad, v)
		}
	}
}

func BenchmarkObserve(b *testing.B) {
	h := full()
	l, w := from("109.41.2.2", 3209, "DE")
	w.Latitude, w.Longitude, w.HasCoordinates = 53.6, 10, true
	l.LastCountries, l.LastIPs = []string{"DE", "FR"}, addrs(home, mobile, "49.180.20.30")
	b.ReportAllocs()
	for b.Loop() {
		risk.Observe(l, w, h, risk.Context{})
	}
}
