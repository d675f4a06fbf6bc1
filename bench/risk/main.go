package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/internal/geo"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk"
	"github.com/kosmoscope/kosmoscope/internal/risk/decide"
	"github.com/kosmoscope/kosmoscope/internal/risk/policy"
	"github.com/kosmoscope/kosmoscope/internal/store"
	"github.com/kosmoscope/kosmoscope/internal/vault"
)

const (
	people  = 1000
	tenant  = "bench"
	learned = 8 // logins of each person that ended well
)

var caller = proof.Caller{ID: "bench", Tenant: tenant}

type figures struct {
	What   string  `json:"what"`
	N      int     `json:"n"`
	P50    float64 `json:"p50_us"`
	P99    float64 `json:"p99_us"`
	Max    float64 `json:"max_us"`
	Target float64 `json:"target_p99_us,omitempty"`
}

type report struct {
	Cores  int            `json:"cores"`
	Calls  []figures      `json:"calls"`
	Replay *decide.Replay `json:"replay,omitempty"`
	Logins int            `json:"replayed_logins,omitempty"`
	Took   float64        `json:"replay_seconds,omitempty"`
}

func main() {
	logins := flag.Int("logins", 1_000_000, "recorded `logins` to replay; 0: none")
	calls := flag.Int("calls", 20_000, "how many logins to weigh")
	asJSON := flag.Bool("json", false, "print JSON")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := measure(ctx, *calls, *logins)
	if err == nil {
		err = r.print(*asJSON)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "risk:", err)
		os.Exit(1)
	}
}

func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, "== "+format+"\n", args...) }

// address is one of many public ones.
func address(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{77, byte(i >> 16), byte(i >> 8), byte(i)})
}

func login(i int) risk.Login {
	score := 0.1
	return risk.Login{
		IP: address(i * 7919), IPGiven: true, UserAgent: "Mozilla/5.0 (X11; Linux x86_64)", Application: "shop", Scopes: []string{"openid"},
		KnownDevice: risk.TriOf(i%2 == 0), TrustedDevice: risk.No, ImpossibleTravel: risk.No, VPN: risk.No, Bot: risk.No, RiskScore: &score,
		LastCountries: []string{"DE"}, LastIPs: []netip.Addr{address(i)},
	}
}

func person(i int) string { return fmt.Sprintf("person-%d@example.com", i%people) }

func measure(ctx context.Context, calls, logins int) (*report, error) {
	dir, err := os.MkdirTemp("", "kosmoscope-risk-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	st, err := store.Open(ctx, "sqlite:"+filepath.Join(dir, "k.db"))
	if err != nil {
		return nil, err
	}
	defer st.Close()
	key := filepath.Join(dir, "master.key")
	if err := vault.Create(key); err != nil {
		return nil, err
	}
	keys, err := vault.Open(key)
	if err != nil {
		return nil, err
	}
	atlas, err := geo.OpenAtlas(geo.AtlasOptions{})
	if err != nil {
		return nil, err
	}
	defer atlas.Close()
	subjects := journey.New(journey.Options{Store: st, Vault: keys})
	s, err := decide.New(decide.Options{
		Store: st, Vault: keys, Subjects: subjects, Locate: func(a netip.Addr) risk.Where { return risk.WhereOf(atlas.Locate(a)) },
		Tenants: []decide.Tenant{{ID: tenant, Preset: "balanced", Window: 15 * time.Minute, KeepDecisions: 90 * 24 * time.Hour, KeepHistory: 400 * 24 * time.Hour}},
	})
	if err != nil {
		return nil, err
	}
	r := &report{Cores: runtime.NumCPU()}

	progress("%d logins each of %d people, which end well", learned, people)
	for i := range learned * people {
		l := login(i)
		l.KnownDevice = risk.Yes
		a, err := s.Evaluate(ctx, caller, decide.Request{UserIdentifier: person(i), Login: l})
		if err != nil {
			return nil, err
		}
		if _, err := s.End(ctx, caller, a.DecisionID, "", decide.OutcomeSuccess); err != nil {
			return nil, err
		}
	}
	request := func(i int) decide.Request { return decide.Request{UserIdentifier: person(i * 13), Login: login(i)} }
	var seen []risk.Observation
	if err := r.time("a full decision: subject, counts, history, geo, policy; nothing recorded", calls, 1000, func(i int) error {
		o, _, err := s.Weigh(ctx, tenant, request(i))
		if len(seen) < 1000 {
			seen = append(seen, o)
		}
		return err
	}); err != nil {
		return nil, err
	}
	for _, p := range policy.Presets() {
		compiled, err := policy.Compile(p.Document)
		if err != nil {
			return nil, err
		}
		if err := r.time("compute: preset "+p.Name+" on an observation", calls*10, 50, func(i int) error {
			compiled.Evaluate(&seen[i%len(seen)], false)
			return nil
		}); err != nil {
			return nil, err
		}
	}
	if err := r.time("a decision, recorded (one durable transaction)", calls/10, 0, func(i int) error {
		_, err := s.Evaluate(ctx, caller, request(i))
		return err
	}); err != nil {
		return nil, err
	}
	if logins == 0 {
		return r, nil
	}
	if err := record(ctx, st, keys, subjects, seen, logins); err != nil {
		return nil, err
	}
	var strict json.RawMessage
	for _, p := range policy.Presets() {
		if p.Name == "strict" {
			if strict, err = json.Marshal(p.Document); err != nil {
				return nil, err
			}
		}
	}
	progress("replaying")
	begin := time.Now()
	last := begin
	r.Replay, err = s.Replay(ctx, tenant, decide.ReplayRequest{Document: strict, Days: 30}, func(done, total int) {
		if now := time.Now(); now.Sub(last) > time.Second {
			last = now
			progress("%d of %d", done, total)
		}
	})
	if err != nil {
		return nil, err
	}
	r.Took, r.Logins = time.Since(begin).Seconds(), r.Replay.Logins
	return r, nil
}

// record writes logins as they are recorded, many to a transaction.
func record(ctx context.Context, st *store.Store, keys journey.Vault, subjects *journey.Service, seen []risk.Observation, n int) error {
	progress("recording %d logins", n)
	var whose []*proof.Subject
	for i := range people {
		s, _, err := subjects.Subject(ctx, tenant, person(i))
		if err != nil {
			return err
		}
		whose = append(whose, s)
	}
	now := time.Now()
	for from := 0; from < n; from += 5000 {
		var batch []*decide.Decision
		for i := from; i < min(from+5000, n); i++ {
			id, err := uuid.NewV7()
			if err != nil {
				return err
			}
			s := whose[i%people]
			d := &decide.Decision{
				Tenant: tenant, ID: id.String(), Subject: s.ID, Caller: caller.ID, At: now.Add(-time.Duration(n-i) * 2 * time.Second), Application: "shop",
				Verdict: risk.Allow,
			}
			plain, err := json.Marshal(decide.Record{UserIdentifier: person(i), Observation: seen[i%len(seen)]})
			if err != nil {
				return err
			}
			place := journey.Place{Tenant: tenant, Subject: s.ID, Table: "risk_decisions", Column: "record", Row: d.ID}
			if d.Sealed, err = keys.Seal(s.WrappedKey, place, plain); err != nil {
				return err
			}
			batch = append(batch, d)
		}
		if err := st.UpdateRisk(ctx, func(tx decide.Tx) error {
			for _, d := range batch {
				if err := tx.InsertDecision(d); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

func (r *report) time(what string, n int, target float64, call func(i int) error) error {
	progress("%s", what)
	h := hdrhistogram.New(1, time.Minute.Nanoseconds(), 3)
	for i := range n {
		begin := time.Now()
		if err := call(i); err != nil {
			return err
		}
		if err := h.RecordValue(max(1, time.Since(begin).Nanoseconds())); err != nil {
			return err
		}
	}
	us := func(ns int64) float64 { return float64(ns) / 1000 }
	r.Calls = append(r.Calls, figures{What: what, N: n, P50: us(h.ValueAtQuantile(50)), P99: us(h.ValueAtQuantile(99)), Max: us(h.Max()), Target: target})
	return nil
}

func (r *report) print(asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	fmt.Printf("%d cores; one caller, SQLite\n", r.Cores)
	for _, f := range r.Calls {
		target := ""
		if f.Target > 0 {
			target = fmt.Sprintf("  (must be < %g: %s)", f.Target, map[bool]string{true: "met", false: "MISSED"}[f.P99 < f.Target])
		}
		fmt.Printf("%-75s p50 %8.1f us  p99 %8.1f us  max %8.0f us%s\n", f.What, f.P50, f.P99, f.Max, target)
	}
	if r.Logins > 0 {
		fmt.Printf("replay of %d logins: %.1f s (must be < 60 for 1,000,000), %.1f us each\n", r.Logins, r.Took, r.Took*1e6/float64(r.Logins))
	}
	return nil
}
