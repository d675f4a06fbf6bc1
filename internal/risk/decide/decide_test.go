package decide_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk"
	"github.com/kosmoscope/kosmoscope/internal/risk/decide"
	"github.com/kosmoscope/kosmoscope/internal/risk/policy"
	"github.com/kosmoscope/kosmoscope/internal/store"
	"github.com/kosmoscope/kosmoscope/internal/vault"
)

var (
	ctx   = context.Background()
	shop  = proof.Caller{ID: "shop", Tenant: "acme"}
	other = proof.Caller{ID: "other", Tenant: "acme"}
	alien = proof.Caller{ID: "shop", Tenant: "elsewhere"}
)

// Addresses of the tests, and where they are.
var places = map[string]risk.Where{
	"78.55.20.10":   {Country: "DE", City: "Berlin", Latitude: 52.5, Longitude: 13.4, HasCoordinates: true, ASN: 6805, ASName: "Berlin Net"},
	"77.188.30.20":  {Country: "DE", City: "Berlin", Latitude: 52.5, Longitude: 13.4, HasCoordinates: true, ASN: 3320, ASName: "Office Net"},
	"49.180.20.30":  {Country: "AU", City: "Sydney", Latitude: -33.9, Longitude: 151.2, HasCoordinates: true, ASN: 4804, ASName: "Sydney Net"},
	"185.220.101.1": {Country: "NL", ASN: 60729, ASName: "Exit", Anonymiser: "Tor", Listed: true},
}

const (
	berlin = "78.55.20.10"
	office = "77.188.30.20"
	sydney = "49.180.20.30"
)

type world struct {
	*decide.Service
	t       *testing.T
	store   *store.Store
	journey *journey.Service
	vault   journey.Vault
	now     time.Time
	signIns []decide.SignIn // at Descope
}

var empty = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "decide")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "k.db")
	s, err := store.OpenSQLite(ctx, path)
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	dir := t.TempDir()
	fresh, err := empty()
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "k.db"), fresh, 0o600))
	w := &world{t: t, now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	w.store, err = store.OpenSQLite(ctx, filepath.Join(dir, "k.db"))
	must(t, err)
	t.Cleanup(func() { w.store.Close() })
	key := filepath.Join(dir, "master.key")
	must(t, vault.Create(key))
	keys, err := vault.Open(key)
	must(t, err)
	w.vault = keys
	clock := func() time.Time { return w.now }
	w.journey = journey.New(journey.Options{Store: w.store, Vault: keys, Now: clock, OnVerdict: decide.JobVerdict})
	tenant := decide.Tenant{
		ID: "acme", Preset: "balanced", Window: 15 * time.Minute, KeepDecisions: 90 * 24 * time.Hour, KeepHistory: 400 * 24 * time.Hour,
		SignIns: func(_ context.Context, since, until time.Time) ([]decide.SignIn, error) {
			return slices.DeleteFunc(slices.Clone(w.signIns), func(e decide.SignIn) bool { return e.At.Before(since) || !e.At.Before(until) }), nil
		},
	}
	elsewhere := tenant
	elsewhere.ID = "elsewhere"
	w.Service, err = decide.New(decide.Options{
		Store: w.store, Vault: keys, Subjects: w.journey, Tenants: []decide.Tenant{tenant, elsewhere}, Now: clock,
		Locate: func(a netip.Addr) risk.Where { return places[a.String()] },
	})
	must(t, err)
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// login is one from an address, on a device that Descope knows, or not.
func login(ip string, known bool) risk.Login {
	l := risk.Login{KnownDevice: risk.TriOf(known), TrustedDevice: risk.TriOf(known), Scopes: []string{"openid"}}
	if ip != "" {
		l.IPGiven = true
		l.IP, _ = netip.ParseAddr(ip)
	}
	return l
}

func (w *world) weigh(user string, l risk.Login) decide.Answer {
	w.t.Helper()
	a, err := w.Evaluate(ctx, shop, decide.Request{UserIdentifier: user, Login: l})
	must(w.t, err)
	return a
}

func (w *world) end(id, outcome string) decide.Ended {
	w.t.Helper()
	e, err := w.End(ctx, shop, id, "", outcome)
	must(w.t, err)
	return e
}

func (w *world) want(a decide.Answer, v risk.Verdict, reasons ...risk.Reason) {
	w.t.Helper()
	if a.Verdict != v {
		w.t.Fatalf("decided %s for %v, want %s", a.Verdict, a.Reasons, v)
	}
	for _, r := range reasons {
		if !slices.Contains(a.Reasons, r) {
			w.t.Fatalf("reasons %v, want %s", a.Reasons, r)
		}
	}
}

// familiar makes a device and place familiar: known to Descope, and a login that ended well.
func (w *world) familiar(user, ip string) {
	w.t.Helper()
	l := login(ip, true)
	l.LastCountries, l.LastIPs = []string{"DE"}, []netip.Addr{l.IP}
	a := w.weigh(user, l)
	w.want(a, risk.Allow)
	if e := w.end(a.DecisionID, decide.OutcomeSuccess); !e.Learned || e.Why != "" {
		w.t.Fatalf("%+v", e)
	}
	w.now = w.now.Add(time.Hour)
}

// verdict has a challenge of a decision end, and the job hear of it.
func (w *world) verdict(c proof.Caller, decision, user string, status proof.ChallengeStatus) {
	w.t.Helper()
	id := w.challenge(c, decision, user, status)
	_, err := w.Verdict(ctx, proof.Job{Tenant: c.Tenant, Kind: decide.JobVerdict, Key: id})
	must(w.t, err)
}

func (w *world) challenge(c proof.Caller, decision, user string, status proof.ChallengeStatus) (id string) {
	w.t.Helper()
	subject, fresh, err := w.journey.Subject(ctx, c.Tenant, user)
	must(w.t, err)
	id = fmt.Sprintf("0198f0aa-0000-7000-8000-%012d", w.now.UnixNano()%1e12)
	ch := &proof.Challenge{
		ID: id, Tenant: c.Tenant, Caller: c.ID, Subject: subject.ID, DecisionID: decision, Status: proof.ChallengePending,
		CreatedAt: w.now, ExpiresAt: w.now.Add(time.Minute),
	}
	v := proof.Verdict{Status: status}
	if status == proof.ChallengeNoMatch {
		v.Reason = proof.ReasonFaceMismatch
	}
	must(w.t, ch.Finish(w.now, v))
	must(w.t, w.store.Update(ctx, func(tx journey.Tx) error {
		if fresh {
			if err := tx.InsertSubject(subject); err != nil {
				return err
			}
		}
		return tx.InsertChallenge(ch)
	}))
	w.now = w.now.Add(time.Second)
	return id
}

func TestMissionExample(t *testing.T) {
	w := newWorld(t)
	w.familiar("ada", berlin)
	t.Log("the device and place that are known: straight through")
	w.want(w.weigh("ada", login(berlin, true)), risk.Allow)
	w.want(w.weigh("ada", login(berlin, false)), risk.StepUp, "new_device")
	w.want(w.weigh("ada", login(office, false)), risk.StepUp, "new_device", "unfamiliar_ip")
	w.want(w.weigh("ada", login(sydney, true)), risk.StepUp, "geo_anomaly", "impossible_travel")
	sensitive := login(berlin, true)
	sensitive.Scopes = []string{"openid", "payments:write"}
	if a := w.weigh("ada", sensitive); a.Verdict != risk.Allow && a.Verdict != risk.StepUp {
		t.Fatal(a)
	}
}

func TestNothingIsKnown(t *testing.T) {
	w := newWorld(t)
	a := w.weigh("ada", risk.Login{})
	w.want(a, risk.StepUp, risk.ReasonNothingTold)
	// A private address is no reason to ask, and none to refuse.
	l := login("10.0.0.7", true)
	w.want(w.weigh("ada", l), risk.Allow)
	if a := w.weigh("grace", login("no address", true)); a.Verdict == risk.Deny {
		t.Fatal(a)
	}
}

func TestLearning(t *testing.T) {
	w := newWorld(t)
	w.familiar("ada", berlin)
	// A step-up that was asked for teaches nothing until a face has matched, whatever the
	// flow says.
	a := w.weigh("ada", login(sydney, true))
	w.want(a, risk.StepUp)
	if e := w.end(a.DecisionID, decide.OutcomeSuccess); e.Learned || e.Why != decide.WhyNoMatch {
		t.Fatalf("%+v", e)
	}
	w.want(w.weigh("ada", login(sydney, true)), risk.StepUp, "geo_anomaly")

	a = w.weigh("ada", login(sydney, true))
	w.verdict(shop, a.DecisionID, "ada", proof.ChallengeMatch)
	if e := w.end(a.DecisionID, decide.OutcomeSuccess); !e.Learned || e.Outcome != decide.OutcomeSuccess {
		t.Fatalf("%+v", e)
	}
	if e := w.end(a.DecisionID, decide.OutcomeSuccess); !e.Learned || e.Outcome != decide.OutcomeSuccess {
		t.Fatalf("again: %+v", e)
	}
	if e := w.end(a.DecisionID, decide.OutcomeFailure); e.Outcome != decide.OutcomeSuccess || e.Why != decide.WhyEnded {
		t.Fatalf("otherwise: %+v", e)
	}
	w.now = w.now.Add(24 * time.Hour)
	w.want(w.weigh("ada", login(sydney, true)), risk.Allow)
	w.want(w.weigh("grace", login(sydney, true)), risk.Allow) // hers is hers: nothing to compare with, a device that Descope knows
}

// The flow says how it ended before the job hears of the match.
func TestTheFlowIsQuicker(t *testing.T) {
	w := newWorld(t)
	w.familiar("ada", berlin)
	a := w.weigh("ada", login(sydney, true))
	w.challenge(shop, a.DecisionID, "ada", proof.ChallengeMatch)
	if e := w.end(a.DecisionID, decide.OutcomeSuccess); !e.Learned || e.Why != "" {
		t.Fatalf("%+v", e)
	}
	w.now = w.now.Add(24 * time.Hour)
	w.want(w.weigh("ada", login(sydney, true)), risk.Allow)
}

func TestAMatchOfSomebodyElseTeachesNothing(t *testing.T) {
	w := newWorld(t)
	w.familiar("ada", berlin)
	a := w.weigh("ada", login(sydney, true))
	w.verdict(shop, a.DecisionID, "mallory", proof.ChallengeMatch)
	w.verdict(other, a.DecisionID, "ada", proof.ChallengeMatch)
	w.verdict(alien, a.DecisionID, "ada", proof.ChallengeMatch)
	if e := w.end(a.DecisionID, decide.OutcomeSuccess); e.Learned || e.Why != decide.WhyNoMatch {
		t.Fatalf("%+v", e)
	}
	w.want(w.weigh("ada", login(sydney, true)), risk.StepUp)
}

func TestNoMatchHeatsTheNetworkAndHardlyThePerson(t *testing.T) {
	w := newWorld(t)
	w.familiar("ada", berlin)
	w.familiar("ada", office)
	for range 8 { // somebody elsewhere tries with ada's account
		a := w.weigh("ada", login(sydney, false))
		w.verdict(shop, a.DecisionID, "ada", proof.ChallengeNoMatch)
	}
	w.now = w.now.Add(20 * time.Minute) // velocity is over; heat is not
	o, _, err := w.Weigh(ctx, "acme", decide.Request{UserIdentifier: "ada", Login: login(sydney, true)})
	must(t, err)
	if o.HeatNetwork < 0.9 || o.HeatSubject > 0.25 {
		t.Fatalf("heat: network %v, subject %v", o.HeatNetwork, o.HeatSubject)
	}
	w.want(w.weigh("ada", login(sydney, true)), risk.StepUp)
	w.want(w.weigh("ada", login(berlin, true)), risk.Allow) // nobody locks somebody else out
}

// TestBeforeLogin: anybody can ask before a login, so nothing comes of such a decision,
// whoever says what; the same login with its person authenticated is learned from.
func TestBeforeLogin(t *testing.T) {
	w := newWorld(t)
	w.familiar("ada", berlin)
	w.publish("", document(t, "geo_anomaly", risk.StepUp), 0, decide.Enforce)
	ask := func(ip string, unauthenticated bool) decide.Answer {
		l := login(ip, true)
		l.Device = "a device"
		a, err := w.Evaluate(ctx, shop, decide.Request{UserIdentifier: "ada", Login: l, Unauthenticated: unauthenticated})
		must(t, err)
		return a
	}
	known := func() int {
		o, _, err := w.Weigh(ctx, "acme", decide.Request{UserIdentifier: "ada", Login: login(office, true)})
		must(t, err)
		return o.Logins
	}
	before := known()
	refused := func(id string) {
		t.Helper()
		for _, user := range []string{"", "ada", "somebody"} {
			for _, outcome := range []string{decide.OutcomeSuccess, decide.OutcomeFailure} {
				e, err := w.End(ctx, shop, id, user, outcome)
				if want := (decide.Ended{DecisionID: id, Why: decide.WhyNobody}); err != nil || e != want {
					t.Fatalf("%s of %q: %+v, %v", outcome, user, e, err)
				}
			}
		}
		if _, err := w.End(ctx, other, id, "", decide.OutcomeSuccess); proof.ReasonOf(err) != proof.ReasonUnknownDecision {
			t.Fatal(err)
		}
		if e, err := w.Explain(ctx, "acme", id); err != nil || e.Outcome != "" {
			t.Fatalf("%+v, %v", e, err)
		}
	}
	theirs := ask(office, false) // of the person themselves
	allowed, asked := ask(office, true), ask(sydney, true)
	w.want(allowed, risk.Allow)
	w.want(asked, risk.StepUp)
	w.verdict(shop, asked.DecisionID, "ada", proof.ChallengeMatch)
	w.verdict(shop, asked.DecisionID, "ada", proof.ChallengeNoMatch)
	w.signIns = []decide.SignIn{{Users: []string{"ada"}, IP: netip.MustParseAddr(office), At: w.now.Add(time.Second)}}
	w.now = w.now.Add(time.Minute)
	_, err := w.ReadSignIns(ctx, proof.Job{Tenant: "acme", Kind: decide.JobSignIns, Key: "acme"})
	must(t, err)
	refused(allowed.DecisionID)
	refused(asked.DecisionID)
	if n := known(); n != before+1 {
		t.Fatalf("%d logins are known, not %d: their own alone", n, before+1)
	}
	if e := w.end(theirs.DecisionID, decide.OutcomeSuccess); !e.Learned {
		t.Fatalf("%+v", e)
	}
	o, _, err := w.Weigh(ctx, "acme", decide.Request{UserIdentifier: "ada", Login: login(sydney, true)})
	must(t, err)
	if o.HeatNetwork != 0 || o.HeatSubject != 0 || o.AddressSeen == risk.Yes {
		t.Fatalf("%+v", o)
	}
	after := ask(office, false)
	w.want(after, risk.Allow)
	if e := w.end(after.DecisionID, decide.OutcomeSuccess); !e.Learned || e.Outcome != decide.OutcomeSuccess || known() != before+2 {
		t.Fatalf("%+v, and %d logins", e, known())
	}
}

func TestEndIsForWhoAsked(t *testing.T) {
	w := newWorld(t)
	a := w.weigh("ada", login(berlin, true))
	for name, call := range map[string]func() (decide.Ended, error){
		"another caller": func() (decide.Ended, error) { return w.End(ctx, other, a.DecisionID, "", decide.OutcomeSuccess) },
		"another tenant": func() (decide.Ended, error) { return w.End(ctx, alien, a.DecisionID, "", decide.OutcomeSuccess) },
		"another user":   func() (decide.Ended, error) { return w.End(ctx, shop, a.DecisionID, "grace", decide.OutcomeSuccess) },
		"unknown": func() (decide.Ended, error) {
			return w.End(ctx, shop, "0198f0aa-0000-7000-8000-000000000001", "", decide.OutcomeSuccess)
		},
	} {
		if _, err := call(); proof.ReasonOf(err) != proof.ReasonUnknownDecision {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.End(ctx, shop, a.DecisionID, "", "match"); proof.CodeOf(err) != proof.CodeInvalid {
		t.Errorf("an outcome that is not the flow's to say: %v", err)
	}
	w.now = w.now.Add(25 * time.Hour)
	if e := w.end(a.DecisionID, decide.OutcomeSuccess); e.Learned || e.Why != decide.WhyTooLate {
		t.Errorf("a day later: %+v", e)
	}
}

func TestErasingForgets(t *testing.T) {
	w := newWorld(t)
	w.familiar("ada", berlin)
	a := w.weigh("ada", login(berlin, true))
	_, err := w.journey.Erase(ctx, "acme", "ada")
	must(t, err)
	e, err := w.Explain(ctx, "acme", a.DecisionID)
	must(t, err)
	if !e.Erased || e.Observation != nil || e.User != "" || e.Verdict != risk.Allow {
		t.Fatalf("%+v", e)
	}
	if _, err := w.End(ctx, shop, a.DecisionID, "", decide.OutcomeSuccess); proof.ReasonOf(err) != proof.ReasonUnknownDecision {
		t.Fatal(err)
	}
	o, _, err := w.Weigh(ctx, "acme", decide.Request{UserIdentifier: "ada", Login: login(berlin, true)})
	must(t, err)
	if o.Logins != 0 || o.AddressSeen == risk.Yes {
		t.Fatalf("still remembered: %+v", o)
	}
}

func TestPurge(t *testing.T) {
	w := newWorld(t)
	w.familiar("ada", berlin)
	a := w.weigh("ada", login(berlin, true))
	w.now = w.now.Add(91 * 24 * time.Hour)
	next, err := w.Purge(ctx, proof.Job{Tenant: "acme", Kind: decide.JobPurge, Key: "acme"})
	must(t, err)
	if !next.Equal(w.now.Add(24 * time.Hour)) {
		t.Error(next)
	}
	if _, err := w.Explain(ctx, "acme", a.DecisionID); proof.ReasonOf(err) != proof.ReasonUnknownDecision {
		t.Error(err)
	}
	w.want(w.weigh("ada", login(berlin, true)), risk.Allow) // the history is still there
	w.now = w.now.Add(401 * 24 * time.Hour)
	_, err = w.Purge(ctx, proof.Job{Tenant: "acme", Kind: decide.JobPurge, Key: "acme"})
	must(t, err)
	subject, fresh, err := w.journey.Subject(ctx, "acme", "ada")
	must(t, err)
	if !fresh {
		t.Errorf("subject %s is kept, though nothing needs it", subject.ID)
	}
}

// document is a policy that asks, or refuses, for one signal.
func document(t *testing.T, signal string, v risk.Verdict) json.RawMessage {
	t.Helper()
	d := policy.Document{
		Format: policy.Format, Name: signal, Otherwise: risk.Allow,
		Nodes: []policy.Node{{ID: "signal", Type: policy.TypeSignal, Signal: signal}, {ID: "rule", Type: policy.TypeDecide, Decision: v}},
		Edges: []policy.Edge{{From: "signal", To: "rule"}},
	}
	raw, err := json.Marshal(d)
	must(t, err)
	return raw
}

func (w *world) publish(application string, document json.RawMessage, base int, mode decide.Mode) decide.VersionInfo {
	w.t.Helper()
	v, problems, err := w.Publish(ctx, "acme", decide.Publish{Application: application, Document: document, Base: base, Mode: mode, Author: "Ann", Comment: "why"})
	must(w.t, err)
	if len(problems) > 0 {
		w.t.Fatal(problems)
	}
	return v
}

func TestPublishing(t *testing.T) {
	w := newWorld(t)
	w.familiar("ada", berlin)
	if a := w.weigh("ada", login(berlin, false)); a.PolicyVersion != 0 || a.Verdict != risk.StepUp {
		t.Fatalf("%+v", a)
	}
	w.publish("", document(t, "geo_anomaly", risk.StepUp), 0, decide.Enforce)
	if a := w.weigh("ada", login(berlin, false)); a.PolicyVersion != 1 || a.Verdict != risk.Allow {
		t.Fatalf("at once: %+v", a)
	}

	if _, _, err := w.Publish(ctx, "acme", decide.Publish{Document: document(t, "new_device", risk.Deny), Base: 0, Mode: decide.Enforce}); proof.CodeOf(err) != proof.CodeConflict {
		t.Fatalf("somebody else was quicker: %v", err)
	}
	_, problems, err := w.Publish(ctx, "acme", decide.Publish{Document: document(t, "of_the_future", risk.Deny), Base: 1, Mode: decide.Enforce})
	must(t, err)
	if len(problems) == 0 {
		t.Fatal("a signal that nobody knows")
	}

	// In shadow mode it is evaluated and recorded, and does not act.
	w.publish("", document(t, "new_device", risk.Deny), 1, decide.Shadow)
	a := w.weigh("ada", login(berlin, false))
	w.want(a, risk.Allow)
	e, err := w.Explain(ctx, "acme", a.DecisionID)
	must(t, err)
	if e.PolicyVersion != 1 || e.ShadowVersion != 2 || e.ShadowVerdict != risk.Deny || e.Shadow.Verdict != risk.Deny {
		t.Fatalf("%+v", e.Summary)
	}

	// An application's own policy goes before the tenant's.
	w.publish("bank", document(t, "new_device", risk.Deny), 0, decide.Enforce)
	l := login(berlin, false)
	l.Application = "bank"
	if a := w.weigh("ada", l); a.Verdict != risk.Deny || a.PolicyApplication != "bank" || a.PolicyVersion != 1 {
		t.Fatalf("%+v", a)
	}
	w.want(w.weigh("ada", login(berlin, false)), risk.Allow)

	v, err := w.Rollback(ctx, "acme", "", 0, 2, "Ann", "")
	must(t, err)
	if a := w.weigh("ada", login(berlin, false)); v.Version != 3 || a.Verdict != risk.StepUp || a.PolicyVersion != 3 {
		t.Fatalf("back to the preset: %+v %+v", v, a)
	}
	slots, err := w.Slots(ctx, "acme")
	must(t, err)
	if want := []decide.Slot{{Application: "", Enforced: 3, Latest: 3}, {Application: "bank", Enforced: 1, Latest: 1}}; !slices.Equal(slots, want) {
		t.Fatalf("%+v", slots)
	}
	must(t, w.store.View(ctx, func(tx journey.Tx) error {
		records, err := tx.AuditOf("acme", "policy:")
		if err == nil && (len(records) != 3 || records[2].Action != "policy.rolled_back" || records[2].Detail["author"] != "Ann") {
			t.Errorf("%d audit records", len(records))
		}
		return err
	}))
}

// A policy that a newer version of the program published, or that was damaged, decides
// nothing: everybody is asked, and told why.
func TestAPolicyThatCannotBeEvaluated(t *testing.T) {
	w := newWorld(t)
	w.familiar("ada", berlin)
	for i, raw := range []string{`{"format":9,"name":"x"}`, strings.ReplaceAll(string(document(t, "new_device", risk.Deny)), "new_device", "of_the_future")} {
		must(t, w.store.UpdateRisk(ctx, func(tx decide.Tx) error {
			return tx.InsertPolicy(&decide.PolicyVersion{Tenant: "acme", Version: i + 1, Mode: decide.Enforce, At: w.now, Document: json.RawMessage(raw)})
		}))
		w.now = w.now.Add(2 * time.Second)
		a := w.weigh("ada", login(berlin, true))
		w.want(a, risk.StepUp, risk.ReasonEvaluationFailed)
		e, err := w.Explain(ctx, "acme", a.DecisionID)
		must(t, err)
		if e.Result.Failed == "" || e.Differs {
			t.Fatalf("%+v", e.Result)
		}
	}
}

func TestAHistoryThatDoesNotOpen(t *testing.T) {
	w := newWorld(t)
	w.familiar("ada", berlin)
	subject, _, err := w.journey.Subject(ctx, "acme", "ada")
	must(t, err)
	must(t, w.store.UpdateRisk(ctx, func(tx decide.Tx) error {
		_, version, err := tx.History("acme", subject.ID)
		if err != nil {
			return err
		}
		return tx.PutHistory("acme", subject.ID, []byte("rubbish"), version, w.now)
	}))
	a := w.weigh("ada", login(berlin, true))
	w.want(a, risk.StepUp, risk.ReasonEvaluationFailed)
	if e := w.end(a.DecisionID, decide.OutcomeSuccess); e.Learned {
		t.Fatalf("%+v", e)
	}
}

func TestExplainAndList(t *testing.T) {
	w := newWorld(t)
	w.familiar("ada@shop.example", berlin)
	var ids []string
	for i := range 5 {
		ids = append(ids, w.weigh("ada@shop.example", login(berlin, i%2 == 0)).DecisionID)
		w.now = w.now.Add(time.Minute)
	}
	w.now = w.now.Add(31 * 24 * time.Hour)
	e, err := w.Explain(ctx, "acme", ids[1])
	must(t, err)
	if e.Verdict != risk.StepUp || e.User != "a•••@shop.example" || e.Differs || len(e.Result.Steps) == 0 || len(e.Result.Readings) == 0 || e.Observation.City != "Berlin" {
		t.Fatalf("%+v", e)
	}
	for _, id := range []string{"", "nonsense", "0198f0aa-0000-7000-8000-000000000001"} {
		if _, err := w.Explain(ctx, "acme", id); proof.ReasonOf(err) != proof.ReasonUnknownDecision {
			t.Errorf("%q: %v", id, err)
		}
	}
	if _, err := w.Explain(ctx, "elsewhere", ids[1]); proof.ReasonOf(err) != proof.ReasonUnknownDecision {
		t.Errorf("of another tenant: %v", err)
	}
	var seen []string
	cursor := ""
	for {
		page, next, err := w.List(ctx, "acme", decide.ListFilter{User: "ada@shop.example", Limit: 4, Cursor: cursor})
		must(t, err)
		for _, d := range page {
			seen = append(seen, d.ID)
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	slices.Reverse(seen)
	if len(seen) != 6 || !slices.Equal(seen[1:], ids) {
		t.Fatalf("%v, want %v after one more", seen, ids)
	}
	asked, _, err := w.List(ctx, "acme", decide.ListFilter{Verdict: risk.StepUp})
	must(t, err)
	if len(asked) != 2 {
		t.Fatalf("%d were asked", len(asked))
	}
	if _, _, err := w.List(ctx, "acme", decide.ListFilter{Cursor: "x"}); proof.CodeOf(err) != proof.CodeInvalid {
		t.Error(err)
	}
}

func TestReplay(t *testing.T) {
	w := newWorld(t)
	for _, user := range []string{"ada@shop.example", "grace@shop.example"} {
		w.familiar(user, berlin)
		w.weigh(user, login(berlin, false))
	}
	w.weigh("ada@shop.example", login(berlin, false))
	w.now = w.now.Add(time.Second)
	var steps int
	r, err := w.Replay(ctx, "acme", decide.ReplayRequest{Document: document(t, "new_device", risk.Deny), Days: 7}, func(done, total int) {
		if steps++; total != 5 || done > total {
			t.Errorf("%d of %d", done, total)
		}
	})
	must(t, err)
	if steps < 2 || r.Logins != 5 || r.Unread != 0 || r.Now != (decide.Tally{Allow: 2, StepUp: 3}) || r.Then != r.Now || r.Draft != (decide.Tally{Allow: 2, Deny: 3}) ||
		r.Stricter != 3 || r.Milder != 0 || r.People != 2 || r.Who[0].User != "a•••@shop.example" || r.Who[0].Logins != 2 {
		t.Fatalf("%+v", r)
	}
	w.now = w.now.Add(8 * 24 * time.Hour)
	if r, err = w.Replay(ctx, "acme", decide.ReplayRequest{Document: document(t, "new_device", risk.Deny), Days: 7}, nil); err != nil || r.Logins != 0 {
		t.Fatalf("%+v %v", r, err)
	}
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	if _, err = w.Replay(stopped, "acme", decide.ReplayRequest{Document: document(t, "new_device", risk.Deny), Days: 30}, nil); err == nil {
		t.Error("goes on after it was cancelled")
	}
}

// Two logins of a new person at once make one subject.
func TestAtOnce(t *testing.T) {
	w := newWorld(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := w.Evaluate(ctx, shop, decide.Request{UserIdentifier: "ada", Login: login(berlin, true)}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	page, _, err := w.List(ctx, "acme", decide.ListFilter{User: "ada"})
	must(t, err)
	if len(page) != 8 {
		t.Fatalf("%d decisions", len(page))
	}
}

// Descope's own word that a login succeeded ends a decision that allowed it, and nothing else.
func TestSignIns(t *testing.T) {
	w := newWorld(t)
	w.familiar("ada", berlin)
	allowed := w.weigh("ada", login(office, true)) // the preset asks: its network is new
	w.want(allowed, risk.StepUp)
	w.publish("", document(t, "geo_anomaly", risk.StepUp), 0, decide.Enforce)
	allowed = w.weigh("ada", login(office, true))
	w.want(allowed, risk.Allow)
	asked := w.weigh("ada", login(sydney, true))
	w.want(asked, risk.StepUp)
	at := func(ip string) decide.SignIn {
		return decide.SignIn{Users: []string{"U1", "ada"}, IP: netip.MustParseAddr(ip), At: w.now.Add(time.Second)}
	}
	read := func() {
		t.Helper()
		w.now = w.now.Add(time.Minute)
		next, err := w.ReadSignIns(ctx, proof.Job{Tenant: "acme", Kind: decide.JobSignIns, Key: "acme"})
		must(t, err)
		if !next.Equal(w.now.Add(time.Minute)) {
			t.Fatal(next)
		}
	}
	outcome := func(id string) string {
		e, err := w.Explain(ctx, "acme", id)
		must(t, err)
		return e.Outcome
	}
	w.signIns = []decide.SignIn{at("185.220.101.1"), at(sydney), {Users: []string{"nobody", ""}, At: w.now}}
	read()
	if outcome(allowed.DecisionID) != "" || outcome(asked.DecisionID) != "" {
		t.Fatal("ended by a login from elsewhere, or one that was asked for a face")
	}
	w.signIns = append(w.signIns, at(office))
	read()
	read() // the same events again
	if outcome(allowed.DecisionID) != decide.OutcomeSuccess {
		t.Fatal("not ended")
	}
	o, _, err := w.Weigh(ctx, "acme", decide.Request{UserIdentifier: "ada", Login: login(office, true)})
	must(t, err)
	if o.Logins != 2 || o.AddressSeen != risk.Yes {
		t.Fatalf("%+v", o)
	}
}
