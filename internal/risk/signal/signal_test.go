package signal_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/risk"
	"github.com/kosmoscope/kosmoscope/internal/risk/signal"
)

var now = time.Date(2026, 11, 23, 12, 30, 0, 0, time.UTC)

// row is one line of a signal's table.
type row struct {
	name     string
	params   map[string]any
	o        risk.Observation
	want     risk.Outcome
	value    any    // nil: there is none
	evidence string // all of it
}

// table reads each row's observation with a signal, and holds all of the reading to it.
func table(t *testing.T, name string, rows []row) {
	t.Helper()
	t.Parallel()
	s, ok := signal.ByName(name)
	if !ok {
		t.Fatalf("there is no signal %s", name)
	}
	outcomes := map[risk.Outcome]bool{}
	for _, r := range rows {
		p, err := s.Complete(r.params)
		if err != nil {
			t.Errorf("%s: %v", r.name, err)
			continue
		}
		r.o.At = now
		got := s.Bind(p)(&r.o)
		if got.Outcome != r.want || got.Evidence != r.evidence || got.Signal != name {
			t.Errorf("%s: %s %s: %q\nwant %s: %q", r.name, got.Signal, got.Outcome, got.Evidence, r.want, r.evidence)
		}
		switch want := r.value.(type) {
		case nil:
			if got.Value != nil {
				t.Errorf("%s: value %v, want none", r.name, *got.Value)
			}
		case float64:
			if got.Value == nil || math.Abs(*got.Value-want) > 0.005 {
				t.Errorf("%s: value %v, want %v", r.name, show(got.Value), want)
			}
		default:
			t.Fatalf("%s: a value is a float64", r.name)
		}
		outcomes[got.Outcome] = true
	}
	if len(outcomes) != 3 {
		t.Errorf("the table shows only %v", outcomes)
	}
}

func show(v *float64) string {
	if v == nil {
		return "none"
	}
	return fmt.Sprint(*v)
}

// public is an observation of a public address.
func public(change func(o *risk.Observation)) risk.Observation {
	o := risk.Observation{
		Address: risk.AddressPublic, IP: "78.55.20.10", ASN: 6805, ASName: "Home Net", Country: "DE", City: "Berlin", Window: 15 * time.Minute,
	}
	if change != nil {
		change(&o)
	}
	return o
}

var (
	missing = risk.Observation{}
	bad     = risk.Observation{Address: risk.AddressBad}
	private = risk.Observation{Address: risk.AddressPrivate, IP: "10.0.0.7"}
)

const (
	isMissing = "No address was given."
	isBad     = "The address that was given is none."
	isPrivate = "The login came from a private address, which is nowhere in particular."
)

// The names, their order and their points are a contract: policies, reasons and
// docs/policy.md name them.
func TestAll(t *testing.T) {
	t.Parallel()
	want := []struct {
		name   string
		weight float64
	}{
		{"new_device", 35}, {"unfamiliar_ip", 15}, {"geo_anomaly", 40}, {"impossible_travel", 60}, {"sensitive_scope", 50}, {"velocity", 35},
		{"dormant_account", 20}, {"unusual_hour", 10}, {"anonymiser", 30}, {"descope_risk", 50}, {"recent_proofing", -25},
	}
	all := signal.All()
	if len(all) != len(want) {
		t.Fatalf("there are %d signals", len(all))
	}
	named := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	for i, s := range all {
		if s.Name != want[i].name || s.Weight != want[i].weight {
			t.Errorf("%d is %s with %v points, want %+v", i, s.Name, s.Weight, want[i])
		}
		if s.Lowers != (s.Weight < 0) {
			t.Errorf("%s: lowers %t with %v points", s.Name, s.Lowers, s.Weight)
		}
		if s.Title == "" || !strings.HasSuffix(s.Help, ".") || s.Asks == "" || strings.HasSuffix(s.Asks, ".") || s.Bind == nil {
			t.Errorf("%s is not told in full: %+v", s.Name, s)
		}
		if found, ok := signal.ByName(s.Name); !ok || found.Title != s.Title {
			t.Errorf("%s is not found by its name", s.Name)
		}
		seen := map[string]bool{}
		for _, p := range s.Params {
			if !named.MatchString(p.Name) || seen[p.Name] || p.Title == "" {
				t.Errorf("%s: parameter %+v", s.Name, p)
			}
			seen[p.Name] = true
			if p.Kind == signal.Number && !(p.Min < p.Max && p.Min <= p.Number && p.Number <= p.Max) {
				t.Errorf("%s: %s is %v, of %v to %v", s.Name, p.Name, p.Number, p.Min, p.Max)
			}
		}
	}
	for _, name := range []string{"", "new-device", "NEW_DEVICE", "tomorrow"} {
		if s, ok := signal.ByName(name); ok {
			t.Errorf("%q is %s", name, s.Name)
		}
	}
}

func TestComplete(t *testing.T) {
	t.Parallel()
	long := make([]any, 101)
	for i := range long {
		long[i] = "x"
	}
	for _, c := range []struct {
		signal string
		given  map[string]any
		name   string
		want   any
		err    string
	}{
		{"dormant_account", nil, "days", 90.0, ""},
		{"dormant_account", map[string]any{"days": nil}, "days", 90.0, ""},
		{"dormant_account", map[string]any{"days": 7.0}, "days", 7.0, ""},
		{"dormant_account", map[string]any{"days": 7}, "days", 7.0, ""},
		{"dormant_account", map[string]any{"days": 1.0}, "days", 1.0, ""},
		{"dormant_account", map[string]any{"days": 3650.0}, "days", 3650.0, ""},
		{"dormant_account", map[string]any{"days": 0.99}, "", nil, "dormant_account: days must be from 1 to 3650"},
		{"dormant_account", map[string]any{"days": 3651.0}, "", nil, "dormant_account: days must be from 1 to 3650"},
		{"dormant_account", map[string]any{"days": -math.MaxFloat64}, "", nil, "dormant_account: days must be from 1 to 3650"},
		{"dormant_account", map[string]any{"days": math.NaN()}, "", nil, "dormant_account: days must be a number"},
		{"dormant_account", map[string]any{"days": math.Inf(1)}, "", nil, "dormant_account: days must be a number"},
		{"dormant_account", map[string]any{"days": "7"}, "", nil, "dormant_account: days must be a number"},
		{"dormant_account", map[string]any{"days": []any{7.0}}, "", nil, "dormant_account: days must be a number"},
		{"dormant_account", map[string]any{"day": 7.0}, "", nil, `dormant_account has no setting "day"`},
		{"new_device", map[string]any{"days": 7.0}, "", nil, `new_device has no setting "days"`},
		{"velocity", map[string]any{"network_attempts": 1e7}, "", nil, "velocity: network_attempts must be from 1 to 1000000"},
		{"velocity", map[string]any{"heat": 0.001}, "", nil, "velocity: heat must be from 0.01 to 1"},
		{"sensitive_scope", nil, "scopes", []string{"orders:refund", "payments", "admin"}, ""},
		{"sensitive_scope", map[string]any{"scopes": []any{"a", "b"}}, "scopes", []string{"a", "b"}, ""},
		{"sensitive_scope", map[string]any{"scopes": []string{"a"}}, "scopes", []string{"a"}, ""},
		{"sensitive_scope", map[string]any{"scopes": []any{}}, "scopes", []string{}, ""},
		{"sensitive_scope", map[string]any{"scopes": long[:100]}, "scopes", strings.Split(strings.Repeat("x", 100), ""), ""},
		{"sensitive_scope", map[string]any{"scopes": long}, "", nil, "sensitive_scope: scopes must have at most 100 items"},
		{"sensitive_scope", map[string]any{"scopes": []any{"a", 1.0}}, "", nil, "sensitive_scope: scopes must be a list of texts"},
		{"sensitive_scope", map[string]any{"scopes": "a"}, "", nil, "sensitive_scope: scopes must be a list of texts"},
		{"sensitive_scope", map[string]any{"scopes": []any{""}}, "", nil, "sensitive_scope: scopes must have items of 1 to 200 bytes"},
		{"sensitive_scope", map[string]any{"scopes": []any{strings.Repeat("x", 201)}}, "", nil, "sensitive_scope: scopes must have items of 1 to 200 bytes"},
	} {
		s, _ := signal.ByName(c.signal)
		p, err := s.Complete(c.given)
		if c.err != "" {
			if err == nil || err.Error() != c.err || p != nil {
				t.Errorf("%s %v: %v, %v, want %s", c.signal, c.given, p, err, c.err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(p[c.name], c.want) || len(p) != len(s.Params) {
			t.Errorf("%s %v: %v, %v", c.signal, c.given, p, err)
		}
	}
}

// Whoever changes what Complete gave does not change the defaults of all others.
func TestCompleteGivesItsOwn(t *testing.T) {
	t.Parallel()
	s, _ := signal.ByName("sensitive_scope")
	p, _ := s.Complete(nil)
	p["scopes"].([]string)[0] = "changed"
	if again, _ := s.Complete(nil); again["scopes"].([]string)[0] == "changed" {
		t.Error("the default changed")
	}
}

// bound is every signal with its defaults.
func bound(t testing.TB) (list []func(*risk.Observation) risk.Reading) {
	for _, s := range signal.All() {
		p, err := s.Complete(nil)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, s.Bind(p))
	}
	return list
}

// Of a login of which nothing is known, no signal tells anything.
func TestNothingIsKnown(t *testing.T) {
	t.Parallel()
	for _, read := range bound(t) {
		for _, address := range []risk.AddressKind{risk.AddressMissing, risk.AddressBad, risk.AddressPrivate, risk.AddressPublic} {
			if r := read(&risk.Observation{At: now, Address: address}); r.Outcome != risk.CannotTell {
				t.Errorf("%s of a %q address: %s: %s", r.Signal, address, r.Outcome, r.Evidence)
			}
		}
	}
}

// anything is an observation with whatever can be in one, and some that cannot.
func anything(r *rand.Rand) risk.Observation {
	tri := func() risk.Tri { return risk.Tri(r.IntN(3) - 1) }
	odd := func() float64 {
		return []float64{0, 0.5, 1, -1, 300, 1e9, math.NaN(), math.Inf(1), math.Inf(-1)}[r.IntN(9)]
	}
	text := func(list ...string) string { return list[r.IntN(len(list))] }
	count := func() risk.Counts {
		return risk.Counts{Subject: r.IntN(8) - 1, Device: r.IntN(8) - 1, Network: r.IntN(25) - 1}
	}
	o := risk.Observation{
		At: now, ScopesGiven: r.IntN(2) == 0, DeviceKnown: tri(), DeviceTrusted: tri(), DeviceSource: text("", "cookie", "descope"),
		Address: risk.AddressKind(text("", "bad", "private", "public")), IP: text("", "78.55.20.10"), AddressSeen: tri(), NetworkSeen: tri(), ASSeen: tri(),
		ASN: r.Uint32N(2), ASName: text("", "Net %s %d"), Country: text("", "DE"), City: text("", "Berlin %!"), CountrySeen: tri(),
		DescopeTravel: tri(), Window: time.Duration(r.IntN(3)-1) * time.Minute, Attempts: count(), Failures: count(),
		HeatDevice: r.Float64(), HeatNetwork: r.Float64(), HeatSubject: r.Float64() / 4, Logins: r.IntN(3), HourShare: r.Float64(), HourSamples: r.IntN(40),
		Anonymiser: text("", "", "Tor"), Listed: r.IntN(2) == 0, VPN: tri(), Bot: tri(), ProofedBy: text("", "verification", "challenge"),
		ProofingKnown: r.IntN(2) == 0,
	}
	for range r.IntN(3) {
		o.Scopes = append(o.Scopes, text("openid", "admin", "%d"))
		o.KnownCountries = append(o.KnownCountries, text("DE", "FR"))
		o.Travels = append(o.Travels, risk.Travel{FromCountry: text("", "FR"), KM: odd(), RadiusKM: odd(), Hours: odd(), SameAS: r.IntN(2) == 0})
	}
	if r.IntN(2) == 0 {
		v := odd()
		o.RiskScore = &v
	}
	if r.IntN(2) == 0 {
		o.LastLogin, o.ProofedAt = now.Add(-time.Duration(r.IntN(5000)-100)*time.Hour), now.Add(-time.Duration(r.IntN(100)-10)*time.Hour)
	}
	return o
}

// Whatever is observed, a reading is one of three outcomes with a sentence and at most a
// number that JSON can say, the same every time; and reading changes nothing.
func TestReadingProperties(t *testing.T) {
	t.Parallel()
	all, names := bound(t), signal.All()
	r := rand.New(rand.NewPCG(6, 11))
	outcomes := map[string]map[risk.Outcome]bool{}
	for range 2000 {
		o := anything(r)
		before := fmt.Sprintf("%+v", o)
		for i, read := range all {
			got := read(&o)
			if got.Signal != names[i].Name || got.Outcome != risk.Fired && got.Outcome != risk.Clear && got.Outcome != risk.CannotTell {
				t.Fatalf("%+v of %+v", got, o)
			}
			if !strings.HasSuffix(got.Evidence, ".") || strings.Contains(got.Evidence, "%!(") {
				t.Fatalf("%s: %q", got.Signal, got.Evidence)
			}
			if got.Value != nil && (got.Outcome == risk.CannotTell || math.IsNaN(*got.Value) || math.IsInf(*got.Value, 0)) {
				t.Fatalf("%s %s: value %v of %+v", got.Signal, got.Outcome, *got.Value, o)
			}
			if _, err := json.Marshal(got); err != nil {
				t.Fatal(err)
			}
			if again := read(&o); !reflect.DeepEqual(again, got) {
				t.Fatalf("%+v, then %+v", got, again)
			}
			if outcomes[got.Signal] == nil {
				outcomes[got.Signal] = map[risk.Outcome]bool{}
			}
			outcomes[got.Signal][got.Outcome] = true
		}
		if after := fmt.Sprintf("%+v", o); after != before {
			t.Fatalf("%s\nbecame\n%s", before, after)
		}
	}
	for name, seen := range outcomes {
		if len(seen) != 3 {
			t.Errorf("%s never came to more than %v", name, seen)
		}
	}
}

// An address that says nothing is never a reason, and never an excuse, for whatever else
// an observation might say of it.
func TestAddressesThatSayNothing(t *testing.T) {
	t.Parallel()
	all, names := bound(t), signal.All()
	r := rand.New(rand.NewPCG(6, 12))
	for range 2000 {
		o := anything(r)
		o.DescopeTravel, o.Travels, o.Anonymiser, o.Listed = risk.Unknown, nil, "", false // as risk.Observe leaves them
		if o.Address == risk.AddressPublic {
			o.Address = risk.AddressPrivate
		}
		for i, read := range all {
			switch name := names[i].Name; name {
			case "unfamiliar_ip", "geo_anomaly", "impossible_travel", "anonymiser":
				if got := read(&o); got.Outcome != risk.CannotTell {
					t.Fatalf("%s of a %q address: %+v", name, o.Address, got)
				}
			}
		}
	}
}

// wide is an observation that makes every signal say much.
func wide() *risk.Observation {
	score := 0.9
	o := public(func(o *risk.Observation) {
		o.At, o.Scopes, o.ScopesGiven = now, []string{"openid", "orders:refund", "admin"}, true
		o.DeviceKnown, o.DeviceSource = risk.No, risk.SourceCookie
		o.AddressSeen, o.NetworkSeen, o.ASSeen, o.CountrySeen = risk.No, risk.No, risk.No, risk.No
		o.KnownCountries = []string{"AT", "CH", "ES", "FR", "GB", "IT", "PT", "US"}
		for i := range risk.MaxRecent {
			o.Travels = append(o.Travels, risk.Travel{FromCountry: "AU", FromCity: "Sydney", KM: 16000, RadiusKM: 20, Hours: float64(i + 1)})
		}
		o.Attempts, o.Failures = risk.Counts{Subject: 20, Device: 40, Network: 900}, risk.Counts{Subject: 10, Device: 20, Network: 90}
		o.LastLogin, o.HourShare, o.HourSamples = now.Add(-4000*time.Hour), 0.01, 400
		o.Anonymiser, o.Listed, o.RiskScore, o.ProofedAt, o.ProofingKnown = "VPN", true, &score, now.Add(-time.Hour), true
	})
	return &o
}

func TestWideFires(t *testing.T) {
	t.Parallel()
	for _, read := range bound(t) {
		if r := read(wide()); r.Outcome != risk.Fired {
			t.Errorf("%s is %s: the benchmark measures nothing", r.Signal, r.Outcome)
		}
	}
}

// Reading all signals must take well under 50 µs (issue 6).
func BenchmarkAll(b *testing.B) {
	all, o := bound(b), wide()
	b.ReportAllocs()
	for b.Loop() {
		for _, read := range all {
			read(o)
		}
	}
}
