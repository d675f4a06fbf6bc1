package journey_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/store"
	"github.com/kosmoscope/kosmoscope/internal/vault"
)

// kosmos is an upstream that answers what the test says.
type kosmos struct {
	mu       sync.Mutex
	started  []journey.StartUpstream
	startErr error
	answer   journey.Progress
	pollErr  error
	level    journey.Assertion
	levelErr error
	asked    []string
}

func (k *kosmos) Profile() string    { return "blockid" }
func (k *kosmos) ChoiceNeeded() bool { return true }
func (k *kosmos) Supports(t proof.DocumentType, m proof.LivenessMode) bool {
	return t != proof.DriversLicense || m == proof.LivenessActive
}

func (k *kosmos) Start(_ context.Context, r journey.StartUpstream) (journey.UpstreamSession, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.started = append(k.started, r)
	return journey.UpstreamSession{SessionID: "up-" + r.Verification, DVC: "dvc", URL: "https://kosmos.example/s/bearer"}, k.startErr
}

func (k *kosmos) Poll(_ context.Context, up proof.Upstream) (journey.Progress, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !strings.HasPrefix(up.SessionID, "up-") || up.DVC != "dvc" {
		return journey.Progress{}, errors.New("asked about a session that was never opened")
	}
	return k.answer, k.pollErr
}

func (k *kosmos) Assurance(_ context.Context, user string) (journey.Assertion, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked = append(k.asked, user)
	return k.level, k.levelErr
}

// world is a service on a real store and a real vault, with a clock of its own.
type world struct {
	*journey.Service
	t       *testing.T
	kosmos  *kosmos
	faces   *faces
	store   *store.Store
	options journey.Options
	path    string
	now     time.Time
}

var (
	ctx   = context.Background()
	shop  = proof.Caller{ID: "shop", Tenant: "acme", Application: "Acme Shop", Liveness: []proof.LivenessMode{"passive", "active", "none"}, Claims: []string{"given_name", "birthdate"}, CallbackURLs: []string{"https://shop.example/done?a=1"}}
	other = proof.Caller{ID: "other", Tenant: "acme", Application: "Other", Liveness: []proof.LivenessMode{"active"}}
	alien = proof.Caller{ID: "shop", Tenant: "elsewhere", Liveness: []proof.LivenessMode{"active"}}
)

// empty is the file of a store with nothing in it. To make the tables takes longer
// than most tests.
var empty = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "journey")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "k.db")
	s, err := store.OpenSQLite(ctx, path)
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil { // which leaves all in this one file
		return nil, err
	}
	return os.ReadFile(path)
})

func newWorld(t *testing.T) *world {
	t.Helper()
	path := filepath.Join(t.TempDir(), "k.db")
	fresh, err := empty()
	if err == nil {
		err = os.WriteFile(path, fresh, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	w := newWorldOn(t, func(t *testing.T) *store.Store {
		s, err := store.OpenSQLite(ctx, path)
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
	w.path = path
	return w
}

func newWorldOn(t *testing.T, open func(*testing.T) *store.Store) *world {
	t.Helper()
	w := &world{t: t, kosmos: &kosmos{answer: journey.Progress{Status: proof.InProgress}}, now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	w.faces = &faces{now: func() time.Time { return w.now }, answer: pending}
	w.store = open(t)
	t.Cleanup(func() { w.store.Close() })
	key := filepath.Join(t.TempDir(), "master.key")
	if err := vault.Create(key); err != nil {
		t.Fatal(err)
	}
	keys, err := vault.Open(key)
	if err != nil {
		t.Fatal(err)
	}
	tenant := journey.Tenant{
		ID: "acme", Upstream: w.kosmos, DefaultLiveness: proof.LivenessActive, LinkTTL: 30 * time.Minute, Deadline: time.Hour,
		HandoverTTL: 10 * time.Minute, Retention: 24 * time.Hour, PollFirst: 3 * time.Second, PollMax: 15 * time.Second, PollGiveUp: 3,
		Policy: []journey.AssuranceRule{{Name: "chip", Level: "IAL1", Checks: []string{"face_match", "chip"}}},
		StepUp: journey.StepUpRules{
			Backend: w.faces, Timeout: 5 * time.Minute, MaxTimeout: 15 * time.Minute, Poll: 2 * time.Second, ResultTTL: 10 * time.Minute,
			Limits: journey.Limits{
				SubjectStarts: journey.Limit{Max: 5, Per: 10 * time.Minute}, SubjectFailures: journey.Limit{Max: 3, Per: 15 * time.Minute},
				CallerStarts: journey.Limit{Max: 1000, Per: time.Minute}, NetworkOpens: journey.Limit{Max: 20, Per: 10 * time.Minute},
				NetworkFailures: journey.Limit{Max: 10, Per: 15 * time.Minute},
			},
		},
	}
	elsewhere := tenant
	elsewhere.ID = "elsewhere"
	w.options = journey.Options{
		Store: w.store, Vault: keys, Tenants: []journey.Tenant{tenant, elsewhere}, PublicURL: "https://bridge.example", ConsentVersion: "7",
		Now: func() time.Time { return w.now },
		Callers: func(tenant, id string) (proof.Caller, bool) {
			for _, c := range []proof.Caller{shop, other, alien} {
				if c.Tenant == tenant && c.ID == id {
					return c, true
				}
			}
			return proof.Caller{}, false
		},
	}
	w.Service = journey.New(w.options)
	return w
}

// replica is another process on the same store, whose 1Kosmos answers otherwise.
func (w *world) replica(f *faces) *journey.Service {
	o := w.options
	o.Tenants = slices.Clone(o.Tenants)
	for i := range o.Tenants {
		o.Tenants[i].StepUp.Backend = f
	}
	return journey.New(o)
}

func (w *world) start(c proof.Caller, r journey.StartRequest) journey.Started {
	w.t.Helper()
	s, err := w.Start(ctx, c, r)
	if err != nil {
		w.t.Fatalf("start: %v", err)
	}
	return s
}

func secretOf(s journey.Started) string {
	return s.SessionURL[strings.LastIndexByte(s.SessionURL, '/')+1:]
}

// consented brings a verification to in_progress and returns the browser's cookie.
func (w *world) consented(s journey.Started) string {
	w.t.Helper()
	_, cookie, err := w.Open(ctx, s.SessionID, secretOf(s), "", "")
	if err != nil {
		w.t.Fatalf("open: %v", err)
	}
	v, err := w.Consent(ctx, s.SessionID, cookie, proof.Passport)
	if err != nil || v.Status != proof.InProgress || v.UpstreamURL != "https://kosmos.example/s/bearer" {
		w.t.Fatalf("consent: %+v, %v", v, err)
	}
	return cookie
}

func (w *world) job(id string) proof.Job { return proof.Job{Tenant: "acme", Key: id} }

func (w *world) poll(id string) time.Time {
	w.t.Helper()
	next, err := w.Poll(ctx, w.job(id))
	if err != nil {
		w.t.Fatalf("poll: %v", err)
	}
	return next
}

func (w *world) result(c proof.Caller, id string) journey.ResultView {
	w.t.Helper()
	r, err := w.Result(ctx, c, id, "")
	if err != nil {
		w.t.Fatalf("result: %v", err)
	}
	return r
}

func (w *world) actions(id string) (list []string) {
	w.t.Helper()
	if err := w.store.View(ctx, func(tx journey.Tx) error {
		list = nil
		records, err := tx.AuditOf("acme", "verification:"+id)
		for _, r := range records {
			a := strings.TrimPrefix(r.Action, "verification.")
			if r.Reason != "" {
				a += " " + string(r.Reason)
			}
			list = append(list, a)
		}
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	return list
}

func success() journey.Progress {
	return journey.Progress{Status: proof.Verified, Outcome: proof.Outcome{
		Framework: "urn:test",
		Claims:    proof.Claims{GivenName: "ANNA MARIA", FamilyName: "ERIKSSON", BirthDate: "1974-08-12", DocumentNumber: "L898902C3", ExpiryDate: "2034-04-15"},
		Checks:    []proof.Check{{Name: "face_match", Outcome: proof.CheckPass}},
	}}
}

// Every way through a verification, with the audit trail that it leaves.
func TestScenarios(t *testing.T) {
	upstreamDown := &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonUpstreamUnavailable, Temporary: true}
	refused := &proof.Error{Code: proof.CodeUpstream, Reason: proof.ReasonUpstreamAuth}
	garbage := &proof.Error{Code: proof.CodeUpstream, Reason: proof.ReasonUpstreamMalformed}
	for _, c := range []struct {
		name    string
		request journey.StartRequest
		play    func(w *world, s journey.Started)
		status  proof.Status
		reason  proof.Reason
		audit   string
	}{
		{"another document than was chosen", journey.StartRequest{}, func(w *world, s journey.Started) {
			w.consented(s)
			w.kosmos.answer = success()
			w.kosmos.answer.Outcome.Claims.DocumentType = proof.IDCard
			w.poll(s.SessionID)
		}, proof.Failed, proof.ReasonDocumentType, "started, opened, consented, failed document_type"},
		{"verified at the deadline, and no level to be had", journey.StartRequest{Request: proof.Request{UserIdentifier: "ada"}}, func(w *world, s journey.Started) {
			w.consented(s)
			w.kosmos.answer, w.kosmos.levelErr = success(), upstreamDown
			w.now = s.ExpiresAt
			w.expire(s)
		}, proof.Verified, "", "started, opened, consented, verified"},
		{"clicked again and again while nobody is there", journey.StartRequest{}, func(w *world, s journey.Started) {
			_, cookie, _ := w.Open(ctx, s.SessionID, secretOf(s), "", "")
			w.kosmos.startErr = upstreamDown
			for range 25 {
				_, _ = w.Consent(ctx, s.SessionID, cookie, proof.Passport)
			}
			if len(w.kosmos.started) != 20 {
				w.t.Errorf("%d attempts upstream", len(w.kosmos.started))
			}
		}, proof.Failed, proof.ReasonUpstreamUnavailable, "started, opened, upstream_unreachable upstream_unavailable, failed upstream_unavailable"},
		{"nobody opens it", journey.StartRequest{}, func(w *world, s journey.Started) {
			w.now = s.ExpiresAt
			w.expire(s)
		}, proof.Expired, proof.ReasonTimeLimit, "started, expired time_limit"},
		{"declined", journey.StartRequest{}, func(w *world, s journey.Started) {
			_, cookie, _ := w.Open(ctx, s.SessionID, secretOf(s), "", "")
			if v, err := w.Decline(ctx, s.SessionID, cookie); err != nil || v.Status != proof.Abandoned {
				w.t.Fatalf("%+v %v", v, err)
			}
		}, proof.Abandoned, proof.ReasonDeclined, "started, opened, abandoned declined"},
		{"verified", journey.StartRequest{}, func(w *world, s journey.Started) {
			w.consented(s)
			w.kosmos.answer = success()
			w.poll(s.SessionID)
		}, proof.Verified, "", "started, opened, consented, verified"},
		{"a late answer changes nothing", journey.StartRequest{}, func(w *world, s journey.Started) {
			w.consented(s)
			w.now = s.ExpiresAt
			w.expire(s)
			w.kosmos.answer = success()
			w.poll(s.SessionID)
		}, proof.Expired, proof.ReasonTimeLimit, "started, opened, consented, expired time_limit"},
		{"an answer at the deadline is read", journey.StartRequest{}, func(w *world, s journey.Started) {
			w.consented(s)
			w.kosmos.answer = success()
			w.now = s.ExpiresAt
			w.expire(s)
		}, proof.Verified, "", "started, opened, consented, verified"},
		{"failed upstream", journey.StartRequest{}, func(w *world, s journey.Started) {
			w.consented(s)
			w.kosmos.answer = journey.Progress{Status: proof.Failed, Reason: proof.ReasonFaceMismatch}
			w.poll(s.SessionID)
			w.kosmos.answer = success()
			w.poll(s.SessionID)
		}, proof.Failed, proof.ReasonFaceMismatch, "started, opened, consented, failed face_mismatch"},
		{"expected somebody else", journey.StartRequest{Request: proof.Request{Expected: proof.Expected{BirthDate: "1974-08-13"}}}, func(w *world, s journey.Started) {
			w.consented(s)
			w.kosmos.answer = success()
			w.poll(s.SessionID)
		}, proof.Failed, proof.ReasonExpectedMismatch, "started, opened, consented, failed expected_mismatch"},
		{"upstream down, then up", journey.StartRequest{}, func(w *world, s journey.Started) {
			w.consented(s)
			w.kosmos.pollErr = upstreamDown
			for range 20 {
				w.poll(s.SessionID)
			}
			if r := w.result(shop, s.SessionID); r.Verification.Status != proof.InProgress || r.Verification.Reason != proof.ReasonUpstreamUnavailable {
				w.t.Fatalf("while down: %s %s", r.Verification.Status, r.Verification.Reason)
			}
			w.kosmos.pollErr, w.kosmos.answer = nil, success()
			w.poll(s.SessionID)
		}, proof.Verified, "", "started, opened, consented, verified"},
		{"upstream down to the end", journey.StartRequest{}, func(w *world, s journey.Started) {
			w.consented(s)
			w.kosmos.pollErr = upstreamDown
			w.now = s.ExpiresAt
			w.expire(s)
		}, proof.Expired, proof.ReasonUpstreamUnavailable, "started, opened, consented, expired upstream_unavailable"},
		{"garbage three times in a row", journey.StartRequest{}, func(w *world, s journey.Started) {
			w.consented(s)
			w.kosmos.pollErr = garbage
			w.poll(s.SessionID)
			w.poll(s.SessionID)
			w.kosmos.pollErr = nil
			w.poll(s.SessionID) // in between all is well, so the count begins anew
			w.kosmos.pollErr = garbage
			w.poll(s.SessionID)
			w.poll(s.SessionID)
			if r := w.result(shop, s.SessionID); r.Verification.Status != proof.InProgress {
				w.t.Fatalf("gave up early: %s", r.Verification.Status)
			}
			w.poll(s.SessionID)
		}, proof.Failed, proof.ReasonUpstreamMalformed, "started, opened, consented, failed upstream_malformed"},
		{"licence refused at consent", journey.StartRequest{}, func(w *world, s journey.Started) {
			_, cookie, _ := w.Open(ctx, s.SessionID, secretOf(s), "", "")
			w.kosmos.startErr = refused
			if v, err := w.Consent(ctx, s.SessionID, cookie, proof.Passport); err != nil || v.Status != proof.Failed {
				w.t.Fatalf("%+v %v", v, err)
			}
		}, proof.Failed, proof.ReasonUpstreamAuth, "started, opened, failed upstream_unauthorized"},
		{"unreachable at consent, then again", journey.StartRequest{}, func(w *world, s journey.Started) {
			_, cookie, _ := w.Open(ctx, s.SessionID, secretOf(s), "", "")
			w.kosmos.startErr = upstreamDown
			if _, err := w.Consent(ctx, s.SessionID, cookie, proof.Passport); proof.ReasonOf(err) != proof.ReasonUpstreamUnavailable {
				w.t.Fatalf("got %v", err)
			}
			w.kosmos.startErr, w.kosmos.answer = nil, success()
			if _, err := w.Consent(ctx, s.SessionID, cookie, proof.Passport); err != nil {
				w.t.Fatal(err)
			}
			w.poll(s.SessionID)
		}, proof.Verified, "", "started, opened, upstream_unreachable upstream_unavailable, consented, verified"},
		{"erased meanwhile", journey.StartRequest{Request: proof.Request{UserIdentifier: "u1"}}, func(w *world, s journey.Started) {
			w.consented(s)
			if _, err := w.Erase(ctx, "acme", "u1"); err != nil {
				w.t.Fatal(err)
			}
			w.kosmos.answer = success()
			w.poll(s.SessionID)
		}, proof.Failed, proof.ReasonErased, "started, opened, consented, failed erased"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			s := w.start(shop, c.request)
			if s.Status != proof.Pending {
				t.Fatalf("started as %s", s.Status)
			}
			c.play(w, s)
			r := w.result(shop, s.SessionID)
			if r.Verification.Status != c.status || r.Verification.Reason != c.reason {
				t.Errorf("got %s %s, want %s %s", r.Verification.Status, r.Verification.Reason, c.status, c.reason)
			}
			if c.status != proof.Verified && r.Outcome.Claims != (proof.Claims{}) {
				t.Errorf("claims of somebody who is not verified: %+v", r.Outcome.Claims)
			}
			if got := strings.Join(w.actions(s.SessionID), ", "); got != c.audit {
				t.Errorf("audit\n got %s\nwant %s", got, c.audit)
			}
		})
	}
}

func (w *world) expire(s journey.Started) {
	w.t.Helper()
	if _, err := w.Expire(ctx, w.job(s.SessionID)); err != nil {
		w.t.Fatalf("expire: %v", err)
	}
}

func TestClaimsAreCutToTheAllowList(t *testing.T) {
	w := newWorld(t)
	s := w.start(shop, journey.StartRequest{})
	w.consented(s)
	w.kosmos.answer = success()
	w.poll(s.SessionID)
	if got, want := w.result(shop, s.SessionID).Outcome.Claims, (proof.Claims{GivenName: "ANNA MARIA", BirthDate: "1974-08-12"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestForeignAndUnknownLookTheSame(t *testing.T) {
	w := newWorld(t)
	s := w.start(shop, journey.StartRequest{})
	for _, c := range []struct {
		caller proof.Caller
		id     string
	}{{other, s.SessionID}, {alien, s.SessionID}, {shop, "019ab000-0000-7000-8000-000000000000"}, {shop, "nonsense"}, {shop, ""}} {
		_, err := w.Result(ctx, c.caller, c.id, "")
		if proof.CodeOf(err) != proof.CodeNotFound || proof.ReasonOf(err) != proof.ReasonUnknownSession || err.Error() != "not_found (unknown_session): no such session" {
			t.Errorf("%s/%s %q: %v", c.caller.Tenant, c.caller.ID, c.id, err)
		}
	}
}

func TestRights(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		caller proof.Caller
		r      journey.StartRequest
		field  string
	}{
		"liveness none":   {other, journey.StartRequest{Liveness: proof.LivenessNone}, "liveness_mode"},
		"callback":        {shop, journey.StartRequest{CallbackURL: "https://shop.example/done"}, "callback_url"},
		"no workflow":     {shop, journey.StartRequest{Liveness: proof.LivenessNone, DocumentTypes: []proof.DocumentType{proof.DriversLicense}}, "document_types"},
		"type not listed": {proof.Caller{ID: "x", Tenant: "acme", Liveness: shop.Liveness, DocumentTypes: []proof.DocumentType{proof.Passport}}, journey.StartRequest{DocumentTypes: []proof.DocumentType{proof.IDCard}}, "document_types"},
	} {
		_, err := w.Start(ctx, c.caller, c.r)
		var e *proof.Error
		if !errors.As(err, &e) || e.Code != proof.CodeForbidden || e.Reason != proof.ReasonNotAllowed || e.Field != c.field {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestIdempotency(t *testing.T) {
	w := newWorld(t)
	ask := journey.StartRequest{IdempotencyKey: "k", Request: proof.Request{UserIdentifier: "u", Metadata: map[string]string{"a": "1", "b": "2"}}}
	first := w.start(shop, ask)
	w.now = w.now.Add(time.Minute)
	if again := w.start(shop, ask); again != first {
		t.Errorf("again: %+v, first: %+v", again, first)
	}
	changed := ask
	changed.Request.Metadata = map[string]string{"a": "1"}
	if _, err := w.Start(ctx, shop, changed); proof.ReasonOf(err) != proof.ReasonIdempotencyConflict {
		t.Errorf("other content: %v", err)
	}
	if elsewhere := w.start(other, ask); elsewhere.SessionID == first.SessionID {
		t.Error("another caller's key is the same verification")
	}

	var wg sync.WaitGroup
	ids := make([]string, 16)
	for i := range ids {
		wg.Go(func() {
			s, err := w.Start(ctx, shop, journey.StartRequest{IdempotencyKey: "race", Request: proof.Request{UserIdentifier: "racer"}})
			if err != nil {
				t.Error(err)
			}
			ids[i] = s.SessionID
		})
	}
	wg.Wait()
	if slices.Sort(ids); len(slices.Compact(ids)) != 1 {
		t.Errorf("one key made several verifications")
	}
}

func TestALinkBelongsToItsFirstBrowser(t *testing.T) {
	w := newWorld(t)
	s := w.start(shop, journey.StartRequest{Request: proof.Request{UserIdentifier: "jane.doe@example.com"}})
	secret := secretOf(s)
	if strings.Contains(s.SessionID, "_") || strings.Contains(secret, s.SessionID) || len(secret) != 40 {
		t.Errorf("id %s, secret %s", s.SessionID, secret)
	}
	if _, _, err := w.Open(ctx, s.SessionID, strings.Repeat("0", 40), "", ""); proof.ReasonOf(err) != proof.ReasonLinkEnded {
		t.Errorf("wrong secret: %v", err)
	}
	v, cookie, err := w.Open(ctx, s.SessionID, secret, "", "")
	if err != nil || v.Application != "Acme Shop" || v.MaskedAccount != "j•••@example.com" {
		t.Fatalf("%+v, %v", v, err)
	}
	if _, again, err := w.Open(ctx, s.SessionID, secret, cookie, ""); err != nil || again != cookie {
		t.Errorf("the same browser again: %v", err)
	}
	if _, _, err := w.Open(ctx, s.SessionID, secret, "stranger", ""); proof.ReasonOf(err) != proof.ReasonLinkUsed {
		t.Errorf("another browser: %v", err)
	}
	for _, browser := range []string{"", "stranger", secret} {
		if _, err := w.View(ctx, s.SessionID, browser); proof.ReasonOf(err) != proof.ReasonLinkEnded {
			t.Errorf("view by %q: %v", browser, err)
		}
		if _, err := w.Consent(ctx, s.SessionID, browser, proof.Passport); proof.ReasonOf(err) != proof.ReasonLinkEnded {
			t.Errorf("consent by %q: %v", browser, err)
		}
		if _, err := w.Decline(ctx, s.SessionID, browser); proof.ReasonOf(err) != proof.ReasonLinkEnded {
			t.Errorf("decline by %q: %v", browser, err)
		}
		if _, _, err := w.Handover(ctx, s.SessionID, browser); proof.ReasonOf(err) != proof.ReasonLinkEnded {
			t.Errorf("handover by %q: %v", browser, err)
		}
	}

	handover, _, err := w.Handover(ctx, s.SessionID, cookie)
	if err != nil {
		t.Fatal(err)
	}
	if v, same, err := w.OpenHandover(ctx, s.SessionID, handover, cookie); err != nil || v.Phone || same != cookie {
		t.Errorf("the browser that made the code opens it: %+v, %v", v, err)
	}
	v, phone, err := w.OpenHandover(ctx, s.SessionID, handover, "")
	if err != nil || !v.Phone || phone == cookie {
		t.Fatalf("phone: %+v, %v", v, err)
	}
	if _, _, err := w.OpenHandover(ctx, s.SessionID, handover, ""); proof.ReasonOf(err) != proof.ReasonLinkEnded {
		t.Errorf("the same hand-over twice: %v", err)
	}
	if _, _, err := w.Handover(ctx, s.SessionID, phone); proof.ReasonOf(err) != proof.ReasonLinkEnded {
		t.Errorf("a phone hands over: %v", err)
	}
	if v, err := w.View(ctx, s.SessionID, cookie); err != nil || v.Phone || !v.HandedOver {
		t.Errorf("first browser: %+v, %v", v, err)
	}
	late, expires, err := w.Handover(ctx, s.SessionID, cookie)
	if err != nil {
		t.Fatal(err)
	}
	w.now = expires
	if _, _, err := w.OpenHandover(ctx, s.SessionID, late, ""); proof.ReasonOf(err) != proof.ReasonLinkEnded {
		t.Errorf("a hand-over that is too old: %v", err)
	}
}

func TestALinkNobodyOpenedEnds(t *testing.T) {
	w := newWorld(t)
	s := w.start(shop, journey.StartRequest{})
	w.now = w.now.Add(30 * time.Minute)
	if _, _, err := w.Open(ctx, s.SessionID, secretOf(s), "", ""); proof.ReasonOf(err) != proof.ReasonLinkEnded {
		t.Errorf("got %v", err)
	}
}

func TestTheBrowserDoesNotChooseWhatTheCallerDidNotAllow(t *testing.T) {
	w := newWorld(t)
	s := w.start(shop, journey.StartRequest{DocumentTypes: []proof.DocumentType{proof.IDCard}})
	_, cookie, _ := w.Open(ctx, s.SessionID, secretOf(s), "", "")
	if _, err := w.Consent(ctx, s.SessionID, cookie, proof.Passport); proof.CodeOf(err) != proof.CodeInvalid {
		t.Errorf("got %v", err)
	}
}

func TestAResultCanBeBoundToAUser(t *testing.T) {
	w := newWorld(t)
	s := w.start(shop, journey.StartRequest{Request: proof.Request{UserIdentifier: "jane"}})
	if _, err := w.Result(ctx, shop, s.SessionID, "jane"); err != nil {
		t.Error(err)
	}
	if _, err := w.Result(ctx, shop, s.SessionID, "mallory"); proof.ReasonOf(err) != proof.ReasonUnknownSession {
		t.Errorf("another user: %v", err)
	}
	unnamed := w.start(shop, journey.StartRequest{})
	if _, err := w.Result(ctx, shop, unnamed.SessionID, "jane"); proof.ReasonOf(err) != proof.ReasonUnknownSession {
		t.Errorf("for nobody in particular: %v", err)
	}
}

// Whatever becomes of its job, nobody waits for ever.
func TestOverdueIsExpired(t *testing.T) {
	w := newWorld(t)
	s := w.start(shop, journey.StartRequest{})
	w.now = s.ExpiresAt.Add(time.Hour)
	if r := w.result(shop, s.SessionID); r.Verification.Status != proof.Expired {
		t.Errorf("got %s", r.Verification.Status)
	}
}

// Who has nothing left with us is forgotten, and who has is not.
func TestSubjectsGoWithTheirLastData(t *testing.T) {
	w := newWorld(t)
	gone := func(id string) bool {
		var erased bool
		if err := w.store.View(ctx, func(tx journey.Tx) error {
			v, err := tx.Verification("acme", id)
			if err != nil {
				return err
			}
			subject, err := tx.Subject("acme", v.Subject)
			erased = !subject.ErasedAt.IsZero()
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return erased
	}
	end := func(s journey.Started) {
		w.consented(s)
		w.poll(s.SessionID)
		if _, err := w.Purge(ctx, w.job(s.SessionID)); err != nil {
			t.Fatal(err)
		}
	}
	w.kosmos.answer = success()
	nobody := w.start(shop, journey.StartRequest{})
	end(nobody)
	if !gone(nobody.SessionID) {
		t.Error("a pairwise subject stays without need")
	}
	first, second := w.start(shop, journey.StartRequest{Request: proof.Request{UserIdentifier: "jane"}}), w.start(shop, journey.StartRequest{Request: proof.Request{UserIdentifier: "jane"}})
	end(first)
	if gone(first.SessionID) {
		t.Error("forgotten while another verification has data")
	}
	end(second)
	if !gone(second.SessionID) {
		t.Error("stays without need")
	}
	w.kosmos.level = journey.Assertion{Level: "IAL2"}
	level := w.start(shop, journey.StartRequest{Request: proof.Request{UserIdentifier: "ada"}})
	end(level)
	if gone(level.SessionID) {
		t.Error("forgotten while an assurance is in force")
	}
	if r := w.result(shop, level.SessionID); r.Verification.IALLevel != "IAL2" {
		t.Errorf("level %q", r.Verification.IALLevel)
	}
	if _, err := w.Erase(ctx, "acme", level.SessionID); err != nil {
		t.Errorf("erase by the id of a verification: %v", err)
	}
	if r := w.result(shop, level.SessionID); r.Verification.IALLevel != "" {
		t.Error("a level of somebody who was erased")
	}
}

func TestAPauseThatTheUpstreamAsksForIsKept(t *testing.T) {
	w := newWorld(t)
	s := w.start(shop, journey.StartRequest{})
	w.consented(s)
	w.kosmos.pollErr = &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonUpstreamRateLimited, Temporary: true, RetryAfter: 5 * time.Minute}
	if got := w.poll(s.SessionID).Sub(w.now); got != 5*time.Minute {
		t.Errorf("next poll in %s", got)
	}
	w.kosmos.pollErr = &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonUpstreamUnavailable, Temporary: true}
	if got := w.poll(s.SessionID).Sub(w.now); got != 15*time.Second {
		t.Errorf("after an error the next poll comes in %s", got)
	}
}

func TestTwoClicksOpenOneSessionForUs(t *testing.T) {
	w := newWorld(t)
	s := w.start(shop, journey.StartRequest{CallbackURL: "https://shop.example/done?a=1"})
	_, cookie, _ := w.Open(ctx, s.SessionID, secretOf(s), "", "")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := w.Consent(ctx, s.SessionID, cookie, proof.Passport); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := w.actions(s.SessionID); strings.Join(got, " ") != "started opened consented" {
		t.Errorf("audit %v", got)
	}
	w.kosmos.answer = success()
	w.poll(s.SessionID)
	v, err := w.View(ctx, s.SessionID, cookie)
	if err != nil || v.ReturnURL != "https://shop.example/done?a=1&session_id="+s.SessionID || v.UpstreamURL != "" {
		t.Errorf("%+v %v", v, err)
	}
}

func TestLevel(t *testing.T) {
	soon := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	chip := success()
	chip.Outcome.Checks = append(chip.Outcome.Checks, proof.Check{Name: "chip", Outcome: proof.CheckPass})
	untold := success()
	untold.Outcome.Checks = append(untold.Outcome.Checks, proof.Check{Name: "chip", Outcome: proof.CheckCannotTell})
	stale := success()
	stale.Outcome.Claims.ExpiryDate = "2020-01-01"
	stale.Outcome.Checks = chip.Outcome.Checks
	asserted := success()
	asserted.Asserted = journey.Assertion{Level: "IAL2"}
	temporary := &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonUpstreamTimeout, Temporary: true}
	for name, c := range map[string]struct {
		user          string
		answer        journey.Progress
		level         journey.Assertion
		levelErr      error
		polls         int
		want, source  string
		expires       time.Time
		askedUpstream bool
	}{
		"nobody says so":                   {answer: success(), polls: 1},
		"1Kosmos for the user":             {user: "ada", answer: success(), level: journey.Assertion{Level: "IAL2", ExpiresAt: soon}, polls: 1, want: "IAL2", source: "1kosmos_ial", expires: soon, askedUpstream: true},
		"expired affidavit":                {user: "ada", answer: success(), level: journey.Assertion{Level: "IAL2", ExpiresAt: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}, polls: 1, askedUpstream: true},
		"no user named":                    {answer: success(), level: journey.Assertion{Level: "IAL2"}, polls: 1},
		"policy":                           {answer: chip, polls: 1, want: "IAL1", source: "policy:chip", expires: time.Date(2034, 4, 16, 0, 0, 0, 0, time.UTC)},
		"policy, document expired":         {answer: stale, polls: 1},
		"a check that could not be made":   {answer: untold, polls: 1},
		"1Kosmos for the session":          {answer: asserted, polls: 1, want: "IAL2", source: "1kosmos_session"},
		"the level cannot be had: no less": {user: "ada", answer: success(), levelErr: temporary, polls: 3, askedUpstream: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.kosmos.level, w.kosmos.levelErr = c.level, c.levelErr
			s := w.start(shop, journey.StartRequest{Request: proof.Request{UserIdentifier: c.user}})
			w.consented(s)
			w.kosmos.answer = c.answer
			for range c.polls {
				w.poll(s.SessionID)
			}
			v := w.result(shop, s.SessionID).Verification
			if v.Status != proof.Verified || v.IALLevel != c.want || v.IALSource != c.source || !v.IALExpiresAt.Equal(c.expires) {
				t.Errorf("got %s %q %q %s", v.Status, v.IALLevel, v.IALSource, v.IALExpiresAt)
			}
			if (len(w.kosmos.asked) > 0) != c.askedUpstream {
				t.Errorf("asked about %v", w.kosmos.asked)
			}
		})
	}
}

func TestNamesAreComparedAsDocumentsWriteThem(t *testing.T) {
	for _, c := range []struct {
		given, family string
		ok            bool
	}{
		{"Anna", "Eriksson", true},
		{"anna maria", "ERIKSSON", true},
		{"Anna-Maria", "Eriksson", true},
		{"Maria", "Eriksson", false},
		{"Anna Maria Luise", "Eriksson", false},
		{"Anna", "Erikson", false},
		{"", "Eriksson", true},
		{"Anna", "", true},
		{"…", "", false},
	} {
		w := newWorld(t)
		s := w.start(shop, journey.StartRequest{Request: proof.Request{Expected: proof.Expected{GivenName: c.given, FamilyName: c.family}}})
		w.consented(s)
		w.kosmos.answer = success()
		w.poll(s.SessionID)
		if got := w.result(shop, s.SessionID).Verification.Status == proof.Verified; got != c.ok {
			t.Errorf("%q %q: %v", c.given, c.family, got)
		}
	}
}

func TestPurgeAndErasureLeaveNothingReadable(t *testing.T) {
	w := newWorld(t)
	ask := journey.StartRequest{IdempotencyKey: "sign-up-jane.doe@example.com", Request: proof.Request{UserIdentifier: "jane.doe@example.com", Metadata: map[string]string{"order": "secret-order-4711"}}}
	purged := w.start(shop, ask)
	ask.IdempotencyKey += "-2"
	w.consented(purged)
	kept := w.start(shop, ask)
	w.consented(kept)
	w.kosmos.answer = success()
	w.poll(purged.SessionID)
	w.poll(kept.SessionID)
	if _, err := w.Purge(ctx, w.job(purged.SessionID)); err != nil {
		t.Fatal(err)
	}
	if r := w.result(shop, purged.SessionID); r.Verification.Status != proof.Verified || r.Verification.Reason != proof.ReasonDataPurged || r.Outcome.Claims != (proof.Claims{}) || r.Metadata != nil {
		t.Errorf("after the purge: %+v", r)
	}
	if r := w.result(shop, kept.SessionID); r.Outcome.Claims.GivenName == "" || r.Metadata["order"] != "secret-order-4711" {
		t.Errorf("the other one: %+v", r)
	}
	if _, err := w.Erase(ctx, "elsewhere", "jane.doe@example.com"); !errors.Is(err, proof.ErrNotFound) {
		t.Errorf("another tenant's operator: %v", err)
	}
	done, err := w.Erase(ctx, "acme", "jane.doe@example.com")
	if err != nil || done.Verifications != 1 {
		t.Fatalf("%+v %v", done, err)
	}
	if _, err := w.Erase(ctx, "acme", "jane.doe@example.com"); !errors.Is(err, proof.ErrNotFound) {
		t.Errorf("again: %v", err)
	}
	if r := w.result(shop, kept.SessionID); r.Verification.Reason != proof.ReasonDataPurged || r.Outcome.Claims != (proof.Claims{}) {
		t.Errorf("after the erasure: %+v", r)
	}
	if _, err := w.Start(ctx, shop, ask); proof.ReasonOf(err) != proof.ReasonIdempotencyConflict {
		t.Errorf("the same key after the erasure: %v", err)
	}
	// Whoever comes back is somebody new.
	ask.IdempotencyKey += "-3"
	if again := w.start(shop, ask); again.SessionID == kept.SessionID {
		t.Error("the same verification")
	}
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{w.path, w.path + "-wal"} {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for _, personal := range []string{"jane.doe", "ERIKSSON", "secret-order", "L898902C3", "s/bearer"} {
			if bytes.Contains(b, []byte(personal)) {
				t.Errorf("%s holds %q in the clear", filepath.Base(file), personal)
			}
		}
	}
}

func TestOwnSecretIsTheSameForEverybody(t *testing.T) {
	w := newWorld(t)
	var wg sync.WaitGroup
	got := make([]string, 8)
	for i := range got {
		wg.Go(func() {
			b, err := w.OwnSecret(ctx, "acme", "key", func() ([]byte, error) { return []byte{byte('a' + i)}, nil })
			if err != nil {
				t.Error(err)
			}
			got[i] = string(b)
		})
	}
	wg.Wait()
	if slices.Sort(got); len(slices.Compact(got)) != 1 {
		t.Errorf("several secrets")
	}
}

func TestPollsGetRarer(t *testing.T) {
	w := newWorld(t)
	s := w.start(shop, journey.StartRequest{})
	w.consented(s)
	var distances []time.Duration
	for _, after := range []time.Duration{0, 10 * time.Second, time.Minute, 10 * time.Minute} {
		w.now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC).Add(after)
		distances = append(distances, w.poll(s.SessionID).Sub(w.now))
	}
	if want := []time.Duration{3 * time.Second, 3 * time.Second, 7500 * time.Millisecond, 15 * time.Second}; !slices.Equal(distances, want) {
		t.Errorf("got %v, want %v", distances, want)
	}
}
