package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk"
	"github.com/kosmoscope/kosmoscope/internal/risk/decide"
)

func decision(s *proof.Subject, at time.Time) *decide.Decision {
	return &decide.Decision{
		Tenant: s.Tenant, ID: id(), Subject: s.ID, Caller: "c", At: at, Application: "shop",
		Verdict: risk.Allow, Sealed: []byte("sealed record"),
	}
}

func updateRisk(t *testing.T, s Store, fn func(decide.Tx) error) {
	t.Helper()
	if err := s.UpdateRisk(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func viewRisk(t *testing.T, s Store, fn func(decide.Tx) error) {
	t.Helper()
	if err := s.ViewRisk(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// putDecisions stores decisions of subjects that are there.
func putDecisions(t *testing.T, s Store, ds ...*decide.Decision) {
	t.Helper()
	updateRisk(t, s, func(tx decide.Tx) error {
		var err error
		for _, d := range ds {
			err = errors.Join(err, tx.InsertDecision(d))
		}
		return err
	})
}

func insertDecision(t *testing.T, s Store, d *decide.Decision) error {
	return s.UpdateRisk(t.Context(), func(tx decide.Tx) error { return tx.InsertDecision(d) })
}

func readDecision(t *testing.T, s Store, id string) *decide.Decision {
	t.Helper()
	var d *decide.Decision
	viewRisk(t, s, func(tx decide.Tx) (err error) { d, err = tx.Decision("t1", id); return err })
	return d
}

func endDecision(t *testing.T, s Store, d *decide.Decision, was string) error {
	return s.UpdateRisk(t.Context(), func(tx decide.Tx) error { return tx.EndDecision(d, was) })
}

func listDecisions(t *testing.T, s Store, tenant string, f decide.Filter, limit int) (list []*decide.Decision) {
	t.Helper()
	viewRisk(t, s, func(tx decide.Tx) (err error) { list, err = tx.Decisions(tenant, f, limit); return err })
	return list
}

func testDecisions(t *testing.T, o Opener) {
	s := open(t, o)
	p, elsewhere := subject("t1"), subject("t2")
	put(t, s, p)
	put(t, s, elsewhere)
	d, foreign := decision(p, start), decision(elsewhere, start)
	foreign.ID = d.ID // ids are of a tenant
	putDecisions(t, s, d, foreign)
	equal(t, "read", readDecision(t, s, d.ID), d)
	for what, ask := range map[string][2]string{"unknown": {"t1", "none"}, "another tenant's": {"t3", d.ID}, "without a tenant": {"", d.ID}} {
		is(t, what, s.ViewRisk(t.Context(), func(tx decide.Tx) error { _, err := tx.Decision(ask[0], ask[1]); return err }), proof.ErrNotFound)
	}
	twin := decision(p, start)
	twin.ID = d.ID
	is(t, "same id", insertDecision(t, s, twin), proof.ErrStale)
	foreignSubject := decision(p, start)
	foreignSubject.Tenant = "t2"
	for what, d := range map[string]*decide.Decision{"no subject": decision(subject("t1"), start), "another tenant's subject": foreignSubject, "no tenant": {ID: id(), Subject: p.ID}, "no id": {Tenant: "t1", Subject: p.ID}} {
		if err := insertDecision(t, s, d); err == nil {
			t.Errorf("a decision of %s was stored", what)
		}
	}
	equal(t, "afterwards", readDecision(t, s, d.ID), d)
}

// testEveryDecisionField is testEveryField for decisions and policies.
func testEveryDecisionField(t *testing.T, o Opener) {
	s := open(t, o)
	p := subject("t1")
	put(t, s, p)
	empty, full := &decide.Decision{Tenant: p.Tenant, ID: id(), Subject: p.ID}, new(decide.Decision)
	fill(t, reflect.ValueOf(full).Elem(), 0)
	full.Tenant, full.Subject = p.Tenant, p.ID
	putDecisions(t, s, empty, full)
	equal(t, "empty", readDecision(t, s, empty.ID), empty)
	equal(t, "full", readDecision(t, s, full.ID), full)
	ended := *full
	fill(t, reflect.ValueOf(&ended).Elem(), 1000)
	ended.Tenant, ended.ID, ended.Learned = full.Tenant, full.ID, false
	ok(t, endDecision(t, s, &ended, full.Outcome))
	full.Outcome, full.OutcomeAt, full.Learned = ended.Outcome, ended.OutcomeAt, ended.Learned // and nothing else
	equal(t, "ended", readDecision(t, s, full.ID), full)

	v := new(decide.PolicyVersion)
	document := json.RawMessage(`{"format":1, "name":"größe \"quoted\""}`) // as it was written, blanks and all
	v.Document = document
	value := reflect.ValueOf(v).Elem()
	for i := range value.NumField() {
		if value.Type().Field(i).Name != "Document" {
			fill(t, value.Field(i), 100*i)
		}
	}
	updateRisk(t, s, func(tx decide.Tx) error { return tx.InsertPolicy(v) })
	viewRisk(t, s, func(tx decide.Tx) error {
		got, err := tx.PolicyVersion(v.Tenant, v.Application, v.Version)
		equal(t, "policy", got, v)
		inForce, e := tx.PolicyInForce(v.Tenant, v.Application, v.Mode)
		equal(t, "policy in force", inForce, v)
		list, e2 := tx.PolicyVersions(v.Tenant, v.Application)
		bare := *v
		bare.Document = nil
		equal(t, "versions", list, []*decide.PolicyVersion{&bare})
		return errors.Join(err, e, e2)
	})
}

func testScore(t *testing.T, o Opener) {
	s := open(t, o)
	p := subject("t1")
	put(t, s, p)
	for _, want := range []float64{0, 100, 0.1, 100.0 / 3, math.Nextafter(100, 0), math.SmallestNonzeroFloat64} {
		d := decision(p, start)
		d.Score = &want
		putDecisions(t, s, d)
		got := readDecision(t, s, d.ID).Score
		if got == nil || math.Float64bits(*got) != math.Float64bits(want) {
			t.Errorf("stored %v, read %v", want, got)
		}
	}
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -0.01, math.Nextafter(100, 101)} {
		d := decision(p, start)
		d.Score = &bad
		if err := insertDecision(t, s, d); err == nil {
			t.Errorf("a score of %v was stored", bad)
		}
	}
}

// testDecisionList asks with every combination of the filters and compares with what
// going through all of them by hand finds.
func testDecisionList(t *testing.T, o Opener) {
	s := open(t, o)
	people := []*proof.Subject{subject("t1"), subject("t1"), subject("t2")}
	for _, p := range people {
		put(t, s, p)
	}
	applications, verdicts := []string{"", "shop", "bank"}, []risk.Verdict{risk.Allow, risk.StepUp, risk.Deny}
	outcomes := []string{"", decide.OutcomeSuccess, decide.OutcomeNoMatch}
	var all []*decide.Decision
	for i := range 90 {
		d := decision(people[i%3], start.Add(time.Duration(i/4)*time.Minute)) // several at the same time
		d.Application, d.Verdict, d.Outcome = applications[i/3%3], verdicts[i/2%3], outcomes[i/5%3]
		all = append(all, d)
	}
	putDecisions(t, s, all...)
	slices.SortFunc(all, func(a, b *decide.Decision) int {
		if c := b.At.Compare(a.At); c != 0 {
			return c
		}
		return -compare(a.ID, b.ID)
	})
	middle := all[len(all)/2]
	asked, found := 0, 0
	for _, tenant := range []string{"t1", "t2", "t3"} {
		for _, application := range []*string{nil, &applications[0], &applications[1]} {
			for _, who := range []string{"", people[0].ID, people[2].ID} {
				for _, verdict := range []risk.Verdict{"", risk.Deny} {
					for _, outcome := range []string{"", decide.OutcomeNoMatch} {
						for _, since := range []time.Time{{}, start.Add(8 * time.Minute)} {
							for _, before := range []decide.Filter{{}, {Before: middle.At}, {Before: middle.At, BeforeID: middle.ID}} {
								f := decide.Filter{Application: application, Subject: who, Verdict: verdict, Outcome: outcome, Since: since, Before: before.Before, BeforeID: before.BeforeID}
								var want []*decide.Decision
								for _, d := range all {
									if d.Tenant == tenant && (application == nil || d.Application == *application) && (who == "" || d.Subject == who) &&
										(verdict == "" || d.Verdict == verdict) && (outcome == "" || d.Outcome == outcome) && !d.At.Before(since) &&
										(f.Before.IsZero() || d.At.Before(f.Before) || d.At.Equal(f.Before) && d.ID < f.BeforeID) {
										want = append(want, d)
									}
								}
								asked++
								found += len(want)
								equal(t, fmt.Sprintf("%s %+v", tenant, f), listDecisions(t, s, tenant, f, 1000), want)
								equal(t, fmt.Sprintf("the first of %s %+v", tenant, f), listDecisions(t, s, tenant, f, 3), want[:min(3, len(want))])
							}
						}
					}
				}
			}
		}
	}
	if found < asked {
		t.Errorf("%d decisions found in %d lists: that says little", found, asked)
	}
	equal(t, "none asked for", len(listDecisions(t, s, "t1", decide.Filter{}, 0)), 0)
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// testDecisionPages goes through a list page by page while others add to it.
func testDecisionPages(t *testing.T, o Opener) {
	s := open(t, o)
	p := subject("t1")
	put(t, s, p)
	var want []string
	for i := range 23 {
		d := decision(p, start.Add(time.Duration(i/5)*time.Second))
		putDecisions(t, s, d)
		want = append(want, d.ID)
	}
	slices.Reverse(want) // ids are made in order
	var got []string
	for f := (decide.Filter{}); ; {
		page := listDecisions(t, s, "t1", f, 4)
		for _, d := range page {
			got = append(got, d.ID)
		}
		if len(page) < 4 {
			break
		}
		last := page[len(page)-1]
		f.Before, f.BeforeID = last.At, last.ID
		putDecisions(t, s, decision(p, start.Add(time.Hour))) // newer: on no page that is still to come
	}
	equal(t, "all pages", got, want)
}

func testDecisionEnds(t *testing.T, o Opener) {
	s := open(t, o)
	p := subject("t1")
	put(t, s, p)
	d := decision(p, start)
	putDecisions(t, s, d)
	end := func(outcome string, learned bool) *decide.Decision {
		c := *d
		c.Outcome, c.OutcomeAt, c.Learned = outcome, start.Add(time.Minute), learned
		return &c
	}
	is(t, "not that any more", endDecision(t, s, end(decide.OutcomeMatch, true), decide.OutcomeSuccess), proof.ErrStale)
	equal(t, "untouched", readDecision(t, s, d.ID), d)
	ok(t, endDecision(t, s, end(decide.OutcomeSuccess, false), ""))
	equal(t, "ended", readDecision(t, s, d.ID), end(decide.OutcomeSuccess, false))
	is(t, "ended already", endDecision(t, s, end(decide.OutcomeFailure, false), ""), proof.ErrStale)
	ok(t, endDecision(t, s, end(decide.OutcomeMatch, true), decide.OutcomeSuccess))
	equal(t, "and again", readDecision(t, s, d.ID), end(decide.OutcomeMatch, true))
	foreign, missing := end(decide.OutcomeFailure, false), end(decide.OutcomeFailure, false)
	foreign.Tenant, missing.ID = "t2", id()
	is(t, "another tenant's", endDecision(t, s, foreign, decide.OutcomeMatch), proof.ErrStale)
	is(t, "not there", endDecision(t, s, missing, decide.OutcomeMatch), proof.ErrStale)
	// A refusal leaves the transaction usable.
	updateRisk(t, s, func(tx decide.Tx) error {
		is(t, "refused", tx.EndDecision(end(decide.OutcomeFailure, false), ""), proof.ErrStale)
		got, err := tx.Decision("t1", d.ID)
		equal(t, "read on", got, end(decide.OutcomeMatch, true))
		return err
	})
}

// testDecisionEndsOnce lets many say at once how one login ended, over two handles.
func testDecisionEndsOnce(t *testing.T, o Opener) {
	stores := []Store{open(t, o), open(t, o)}
	p := subject("t1")
	put(t, stores[0], p)
	outcomes := []string{decide.OutcomeSuccess, decide.OutcomeFailure, decide.OutcomeMatch, decide.OutcomeNoMatch}
	for round := range 8 {
		d := decision(p, start)
		putDecisions(t, stores[0], d)
		const tellers = 8
		errs := atOnce(tellers, func(i int) error {
			return stores[i%2].UpdateRisk(t.Context(), func(tx decide.Tx) error {
				// Half of them look first.
				if i%4 < 2 {
					now, err := tx.Decision("t1", d.ID)
					if err != nil {
						return err
					}
					if now.Outcome != "" {
						return proof.ErrStale
					}
				}
				c := *d
				c.Outcome, c.OutcomeAt, c.Learned = outcomes[(i+round)%4], start.Add(time.Duration(i)*time.Second), i%2 == 0
				return tx.EndDecision(&c, "")
			})
		})
		winner := onlyWinner(t, errs)
		got := readDecision(t, stores[1], d.ID)
		equal(t, "the outcome", []any{got.Outcome, got.OutcomeAt, got.Learned},
			[]any{outcomes[(winner+round)%4], start.Add(time.Duration(winner) * time.Second), winner%2 == 0})
	}
}

// atOnce runs fn n times, all at once.
func atOnce(n int, fn func(i int) error) []error {
	errs := make([]error, n)
	gate := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-gate
			errs[i] = fn(i)
		})
	}
	close(gate)
	wg.Wait()
	return errs
}

// onlyWinner returns who had no error; all the others must have come too late.
func onlyWinner(t *testing.T, errs []error) int {
	t.Helper()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner < 0:
			winner = i
		case err == nil:
			t.Errorf("%d and %d both won", winner, i)
		case !errors.Is(err, proof.ErrStale):
			t.Errorf("%d: %v", i, err)
		}
	}
	if winner < 0 {
		t.Fatalf("nobody won: %v", errs)
	}
	return winner
}

func testPurgeDecisions(t *testing.T, o Opener) {
	s := open(t, o)
	people, elsewhere := []*proof.Subject{subject("t1"), subject("t1"), subject("t1")}, subject("t2")
	for _, p := range append(people, elsewhere) {
		put(t, s, p)
	}
	const old = 2345
	var ds []*decide.Decision
	for i := range old {
		p := people[i%2]
		if i == 0 {
			p = people[2]
		}
		ds = append(ds, decision(p, start.Add(-time.Duration(i+1)*time.Second)))
	}
	kept := []*decide.Decision{decision(people[0], start.Add(time.Second)), decision(people[0], start)}
	foreign := decision(elsewhere, start.Add(-time.Hour))
	putDecisions(t, s, append(ds, kept[0], kept[1], foreign)...)
	left := old
	for round := 0; ; round++ {
		var whose []string
		updateRisk(t, s, func(tx decide.Tx) (err error) { whose, err = tx.PurgeDecisions("t1", start); return err })
		rest := listDecisions(t, s, "t1", decide.Filter{Before: start}, old)
		if len(whose) == 0 {
			equal(t, "left when nobody's went", len(rest), 0)
			if round < 2 {
				t.Errorf("%d rounds for %d decisions", round, old)
			}
			break
		}
		want := []string{people[0].ID, people[1].ID}
		if len(rest) == 0 { // the newest goes last
			want = append(want, people[2].ID)
		}
		slices.Sort(whose)
		equal(t, "whose", whose, want) // ids are made in order
		if gone := left - len(rest); gone < 1 || gone > old/2 {
			t.Errorf("%d of %d at once", gone, old)
		}
		if left = len(rest); left > 0 { // the oldest go first
			equal(t, "left", []string{rest[0].ID, rest[left-1].ID}, []string{ds[0].ID, ds[left-1].ID})
		}
	}
	equal(t, "kept", listDecisions(t, s, "t1", decide.Filter{}, 10), kept)
	equal(t, "another tenant's", listDecisions(t, s, "t2", decide.Filter{}, 10), []*decide.Decision{foreign})
}

func recordedLogins(t *testing.T, s Store, tenant, application string, since, until time.Time) (all []decide.Recorded, batches int) {
	t.Helper()
	err := s.RecordedLogins(t.Context(), tenant, application, since, until, func(batch []decide.Recorded) error {
		batches++
		all = append(all, batch...)
		return nil
	})
	ok(t, err)
	n, err := s.CountLogins(t.Context(), tenant, application, since, until)
	ok(t, err)
	equal(t, "counted", n, len(all))
	return all, batches
}

func testRecordedLogins(t *testing.T, o Opener) {
	s := open(t, o)
	people := []*proof.Subject{subject("t1"), subject("t1"), subject("t1"), subject("t2")}
	for i, p := range people {
		p.WrappedKey = fmt.Append(nil, "key", i)
		put(t, s, p)
	}
	const logins = 5100
	var all []*decide.Decision
	for i := range logins {
		d := decision(people[i%4], start.Add(time.Duration(i/7)*time.Second)) // seven at a time, across the edges of batches
		d.Sealed = fmt.Append(nil, "record", i)
		d.Application, d.Verdict = []string{"shop", "bank", ""}[i/2%3], []risk.Verdict{risk.Allow, risk.Deny}[i/3%2]
		all = append(all, d)
	}
	putDecisions(t, s, all...)
	unsealed := decision(people[0], start)
	unsealed.Sealed = nil
	putDecisions(t, s, unsealed)
	want := func(tenant, application string, since, until time.Time, erased string) (w []decide.Recorded) {
		for i, d := range all {
			if d.Tenant == tenant && d.Subject != erased && (application == "" || d.Application == application) && !d.At.Before(since) && (until.IsZero() || d.At.Before(until)) {
				w = append(w, decide.Recorded{
					Decision:   decide.Decision{Tenant: tenant, ID: d.ID, Subject: d.Subject, At: d.At, Application: d.Application, Verdict: d.Verdict, Sealed: d.Sealed},
					WrappedKey: people[i%4].WrappedKey,
				})
			}
		}
		return w
	}
	end := start.Add(24 * time.Hour)
	for what, c := range map[string]struct {
		tenant, application string
		since, until        time.Time
		batches             int
	}{
		"all":                  {"t1", "", time.Time{}, time.Time{}, 2},
		"until after":          {"t1", "", start, end, 2},
		"some":                 {"t1", "", start.Add(100 * time.Second), start.Add(200 * time.Second), 1},
		"of one application":   {"t1", "bank", start, end, 1},
		"of none":              {"t1", "nowhere", start, end, 0},
		"of another tenant":    {"t2", "", start, end, 1},
		"of no tenant":         {"t3", "", start, end, 0},
		"of no time":           {"t1", "", start, start, 0},
		"from the last second": {"t1", "", start.Add(logins / 7 * time.Second), end, 1},
	} {
		got, batches := recordedLogins(t, s, c.tenant, c.application, c.since, c.until)
		w := want(c.tenant, c.application, c.since, c.until, "")
		if !slices.EqualFunc(got, w, func(a, b decide.Recorded) bool { return reflect.DeepEqual(a, b) }) {
			t.Errorf("%s: %d logins, want %d", what, len(got), len(w))
		}
		equal(t, what+": batches", batches, c.batches)
	}

	// It stops with the error of each.
	mine, calls := errors.New("mine"), 0
	err := s.RecordedLogins(t.Context(), "t1", "", start, end, func([]decide.Recorded) error { calls++; return mine })
	if err != mine || calls != 1 {
		t.Errorf("stopped with %v after %d calls", err, calls)
	}
	ctx, cancel := context.WithCancel(t.Context())
	calls = 0
	err = s.RecordedLogins(ctx, "t1", "", start, end, func([]decide.Recorded) error { calls++; cancel(); return nil })
	is(t, "cancelled", err, context.Canceled)
	equal(t, "calls before that", calls, 1)

	update(t, s, func(tx journey.Tx) error { return tx.EraseSubject("t1", people[1].ID, start) })
	got, _ := recordedLogins(t, s, "t1", "", start, end)
	if w := want("t1", "", start, end, people[1].ID); !slices.EqualFunc(got, w, func(a, b decide.Recorded) bool { return reflect.DeepEqual(a, b) }) {
		t.Errorf("after an erasure: %d logins, want %d", len(got), len(w))
	}
}

// testRecordedWhileWriting erases, purges and records in the midst of a replay, from the
// function that reads it: no transaction spans the whole.
func testRecordedWhileWriting(t *testing.T, o Opener) {
	s := open(t, o)
	p, q := subject("t1"), subject("t1")
	put(t, s, p)
	put(t, s, q)
	var ds []*decide.Decision
	for i := range 4500 {
		who := p
		if i >= 3000 && i%2 == 0 {
			who = q
		}
		ds = append(ds, decision(who, start.Add(time.Duration(i)*time.Millisecond)))
	}
	putDecisions(t, s, ds...)
	var got []string
	first := true
	err := s.RecordedLogins(t.Context(), "t1", "", start, start.Add(time.Hour), func(batch []decide.Recorded) error {
		for _, r := range batch {
			got = append(got, r.ID)
		}
		if !first {
			return nil
		}
		first = false
		late := decision(p, start.Add(time.Minute))
		ds = append(ds, late)
		return s.UpdateRisk(t.Context(), func(tx decide.Tx) error {
			_, err := tx.PurgeDecisions("t1", start.Add(time.Second))
			return errors.Join(err, tx.EraseSubject("t1", q.ID, start), tx.InsertDecision(late))
		})
	})
	ok(t, err)
	var want []string
	for _, d := range ds {
		if d.Subject == p.ID {
			want = append(want, d.ID)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d logins, want %d", len(got), len(want))
	}
}

func testApplications(t *testing.T, o Opener) {
	s := open(t, o)
	p := subject("t1")
	put(t, s, p)
	applications := func(tenant string) (names []string) {
		t.Helper()
		viewRisk(t, s, func(tx decide.Tx) (err error) { names, err = tx.Applications(tenant); return err })
		return names
	}
	equal(t, "none", len(applications("t1")), 0)
	for i, name := range []string{"shop", "", "bank", "shop", "Ärzte", "a b"} {
		d := decision(p, start.Add(time.Duration(i)*time.Second))
		d.Application = name
		putDecisions(t, s, d)
	}
	updateRisk(t, s, func(tx decide.Tx) error {
		return errors.Join(tx.InsertPolicy(version("", 1, decide.Enforce)), tx.InsertPolicy(version("shop", 1, decide.Enforce)),
			tx.InsertPolicy(version("new", 1, decide.Shadow)), tx.InsertPolicy(version("new", 2, decide.Shadow)))
	})
	equal(t, "by bytes", applications("t1"), []string{"a b", "bank", "new", "shop", "Ärzte"})
	equal(t, "another tenant's", len(applications("t2")), 0)
}

type sealedHistory struct {
	Sealed  []byte
	Version int64
}

func readHistory(t *testing.T, s Store, tenant, subject string) (h sealedHistory, err error) {
	t.Helper()
	return h, s.ViewRisk(t.Context(), func(tx decide.Tx) (err error) { h.Sealed, h.Version, err = tx.History(tenant, subject); return err })
}

func putHistory(t *testing.T, s Store, tenant, subject string, sealed []byte, version int64) error {
	return s.UpdateRisk(t.Context(), func(tx decide.Tx) error { return tx.PutHistory(tenant, subject, sealed, version, start) })
}

func remembered(t *testing.T, s Store, tenant, subject string) (yes bool) {
	t.Helper()
	view(t, s, func(tx journey.Tx) (err error) { yes, err = tx.Remembered(tenant, subject); return err })
	return yes
}

func testHistories(t *testing.T, o Opener) {
	s := open(t, o)
	p, q, elsewhere := subject("t1"), subject("t1"), subject("t2")
	elsewhere.ID = p.ID
	for _, who := range []*proof.Subject{p, q, elsewhere} {
		put(t, s, who)
	}
	_, err := readHistory(t, s, "t1", p.ID)
	is(t, "none yet", err, proof.ErrNotFound)
	equal(t, "remembered", remembered(t, s, "t1", p.ID), false)
	is(t, "another version of none", putHistory(t, s, "t1", p.ID, []byte("x"), 1), proof.ErrStale)
	is(t, "of nobody", putHistory(t, s, "t1", "nobody", []byte("x"), 0), proof.ErrStale)
	is(t, "of another tenant's", putHistory(t, s, "t2", q.ID, []byte("x"), 0), proof.ErrStale)
	if err := putHistory(t, s, "t1", p.ID, nil, 0); err == nil {
		t.Error("an empty history was stored")
	}
	contents := [][]byte{{0, 0xff, 'a'}, []byte("b"), []byte("longer than before"), {0}}
	for i, sealed := range contents {
		ok(t, putHistory(t, s, "t1", p.ID, sealed, int64(i)))
		got, err := readHistory(t, s, "t1", p.ID)
		ok(t, err)
		equal(t, "stored", got, sealedHistory{sealed, int64(i) + 1})
		for _, stale := range []int64{0, int64(i), int64(i) + 2, -1} {
			is(t, "stale", putHistory(t, s, "t1", p.ID, []byte("stale"), stale), proof.ErrStale)
		}
	}
	equal(t, "remembered", []bool{remembered(t, s, "t1", p.ID), remembered(t, s, "t1", q.ID), remembered(t, s, "t2", p.ID)}, []bool{true, false, false})
	_, err = readHistory(t, s, "t2", p.ID)
	is(t, "another tenant's", err, proof.ErrNotFound)
	// A refusal leaves the transaction usable, and one that fails leaves nothing.
	mine := errors.New("mine")
	is(t, "failing", s.UpdateRisk(t.Context(), func(tx decide.Tx) error {
		is(t, "stale", tx.PutHistory("t1", p.ID, []byte("x"), 1, start), proof.ErrStale)
		ok(t, tx.PutHistory("t1", p.ID, []byte("x"), int64(len(contents)), start))
		_, v, err := tx.History("t1", p.ID)
		equal(t, "one's own", v, int64(len(contents))+1)
		return errors.Join(err, mine)
	}), mine)
	got, err := readHistory(t, s, "t1", p.ID)
	ok(t, err)
	equal(t, "after a failure", got, sealedHistory{contents[len(contents)-1], int64(len(contents))})

	drop := func(tenant, subject string) {
		t.Helper()
		updateRisk(t, s, func(tx decide.Tx) error { return tx.DropHistory(tenant, subject) })
	}
	drop("t2", p.ID)
	if _, err := readHistory(t, s, "t1", p.ID); err != nil {
		t.Errorf("after another tenant dropped theirs: %v", err)
	}
	for range 2 {
		drop("t1", p.ID)
		_, err := readHistory(t, s, "t1", p.ID)
		is(t, "dropped", err, proof.ErrNotFound)
	}
	equal(t, "remembered", remembered(t, s, "t1", p.ID), false)
	is(t, "a copy from before", putHistory(t, s, "t1", p.ID, []byte("x"), int64(len(contents))), proof.ErrStale)
	ok(t, putHistory(t, s, "t1", p.ID, []byte("anew"), 0))
	// A decision is something, too, as long as it can be read.
	bare := decision(q, start)
	bare.Sealed = nil
	putDecisions(t, s, bare)
	equal(t, "a decision that cannot be read", remembered(t, s, "t1", q.ID), false)
	putDecisions(t, s, decision(q, start))
	equal(t, "a decision", []bool{remembered(t, s, "t1", q.ID), remembered(t, s, "t2", q.ID)}, []bool{true, false})
}

func testStaleHistories(t *testing.T, o Opener) {
	s := open(t, o)
	people := []*proof.Subject{subject("t1"), subject("t1"), subject("t1"), subject("t2")}
	for _, p := range people {
		put(t, s, p)
	}
	put := func(p *proof.Subject, version int64, when time.Time) {
		t.Helper()
		updateRisk(t, s, func(tx decide.Tx) error { return tx.PutHistory(p.Tenant, p.ID, []byte("x"), version, when) })
	}
	stale := func(tenant string, before time.Time, limit int) (who []string) {
		t.Helper()
		viewRisk(t, s, func(tx decide.Tx) (err error) { who, err = tx.StaleHistories(tenant, before, limit); return err })
		return who
	}
	var want []string
	for n, i := range []int{2, 0, 1, 3} {
		put(people[i], 0, start.Add(time.Duration(n)*time.Minute))
		if people[i].Tenant == "t1" {
			want = append(want, people[i].ID)
		}
	}
	after := start.Add(time.Hour)
	equal(t, "all", stale("t1", after, 10), want)
	equal(t, "the first", stale("t1", after, 2), want[:2])
	equal(t, "none asked for", len(stale("t1", after, 0)), 0)
	equal(t, "not yet", len(stale("t1", start, 10)), 0)
	equal(t, "one", stale("t1", start.Add(time.Minute), 10), want[:1])
	equal(t, "another tenant's", stale("t2", after, 10), []string{people[3].ID})
	// What is added to counts as new.
	put(people[2], 1, after)
	equal(t, "added to", stale("t1", after, 10), want[1:])
	equal(t, "all of them", stale("t1", after.Add(time.Microsecond), 10), []string{want[1], want[2], want[0]})
	updateRisk(t, s, func(tx decide.Tx) error { return tx.DropHistory("t1", want[1]) })
	equal(t, "dropped", stale("t1", after, 10), want[2:])
}

// testHistoryAtOnce lets many learn into one history over two handles: each adds to what
// they have read, and none is lost.
func testHistoryAtOnce(t *testing.T, o Opener) {
	stores := []Store{open(t, o), open(t, o)}
	p := subject("t1")
	put(t, stores[0], p)
	const workers, each = 16, 4
	var stale atomic.Int64
	errs := atOnce(workers, func(w int) error {
		s := stores[w%2]
		for done := 0; done < each; {
			var h sealedHistory
			read := func(tx decide.Tx) (err error) {
				h.Sealed, h.Version, err = tx.History("t1", p.ID)
				if errors.Is(err, proof.ErrNotFound) {
					h, err = sealedHistory{}, nil
				}
				return err
			}
			add := func(tx decide.Tx) error {
				return tx.PutHistory("t1", p.ID, append(slices.Clone(h.Sealed), byte(w)), h.Version, start)
			}
			var err error
			if w%4 < 2 { // read in one transaction and write in another: only the version guards it
				if err = s.ViewRisk(t.Context(), read); err == nil {
					err = s.UpdateRisk(t.Context(), add)
				}
			} else {
				err = s.UpdateRisk(t.Context(), func(tx decide.Tx) error {
					if err := read(tx); err != nil {
						return err
					}
					return add(tx)
				})
			}
			switch {
			case err == nil:
				done++
			case errors.Is(err, proof.ErrStale):
				stale.Add(1)
			case proof.CodeOf(err) == proof.CodeUnavailable: // gave up after many collisions
			default:
				return err
			}
		}
		return nil
	})
	ok(t, errors.Join(errs...))
	h, err := readHistory(t, stores[0], "t1", p.ID)
	ok(t, err)
	equal(t, "version", h.Version, int64(workers*each))
	var counts [workers]int
	for _, w := range h.Sealed {
		counts[w]++
	}
	for w, n := range counts {
		if n != each {
			t.Errorf("%d of worker %d, want %d", n, w, each)
		}
	}
	t.Logf("%d learned, %d refused as stale", workers*each, stale.Load())
}

func version(application string, n int, mode decide.Mode) *decide.PolicyVersion {
	return &decide.PolicyVersion{
		Tenant: "t1", Application: application, Version: n, Mode: mode, Author: "ann", Comment: "why", At: start.Add(time.Duration(n) * time.Hour),
		Document: fmt.Appendf(nil, `{"format":1,"name":"%s %d"}`, application, n),
	}
}

func insertPolicy(t *testing.T, s Store, p *decide.PolicyVersion) error {
	return s.UpdateRisk(t.Context(), func(tx decide.Tx) error { return tx.InsertPolicy(p) })
}

func testPolicies(t *testing.T, o Opener) {
	s := open(t, o)
	shop := []*decide.PolicyVersion{version("shop", 1, decide.Enforce), version("shop", 2, decide.Shadow), version("shop", 3, decide.Enforce), version("shop", 10, decide.Shadow)}
	whole, foreign := version("", 1, decide.Enforce), version("shop", 7, decide.Enforce)
	foreign.Tenant = "t2"
	for _, i := range []int{2, 0, 3, 1} {
		ok(t, insertPolicy(t, s, shop[i]))
	}
	ok(t, insertPolicy(t, s, whole))
	ok(t, insertPolicy(t, s, foreign))
	bare := func(ps ...*decide.PolicyVersion) (list []*decide.PolicyVersion) {
		for _, p := range ps {
			c := *p
			c.Document = nil
			list = append(list, &c)
		}
		return list
	}
	viewRisk(t, s, func(tx decide.Tx) error {
		var errs []error
		read := func(what string, p *decide.PolicyVersion, err error, want *decide.PolicyVersion) {
			equal(t, what, p, want)
			errs = append(errs, err)
		}
		p, err := tx.PolicyVersion("t1", "shop", 2)
		read("one", p, err, shop[1])
		p, err = tx.PolicyVersion("t1", "", 1)
		read("the tenant's", p, err, whole)
		p, err = tx.PolicyInForce("t1", "shop", decide.Enforce)
		read("in force", p, err, shop[2])
		p, err = tx.PolicyInForce("t1", "shop", decide.Shadow)
		read("tried", p, err, shop[3])
		p, err = tx.PolicyInForce("t1", "", decide.Enforce)
		read("the tenant's in force", p, err, whole)
		p, err = tx.PolicyInForce("t2", "shop", decide.Enforce)
		read("another tenant's in force", p, err, foreign)
		for what, c := range map[string]struct {
			tenant, application string
			want                []*decide.PolicyVersion
		}{
			"versions":              {"t1", "shop", bare(shop[3], shop[2], shop[1], shop[0])},
			"the tenant's versions": {"t1", "", bare(whole)},
			"another tenant's":      {"t2", "shop", bare(foreign)},
			"none":                  {"t2", "", nil},
		} {
			list, err := tx.PolicyVersions(c.tenant, c.application)
			equal(t, what, list, c.want)
			errs = append(errs, err)
		}
		for what, ask := range map[string]func() (*decide.PolicyVersion, error){
			"unknown":                    func() (*decide.PolicyVersion, error) { return tx.PolicyVersion("t1", "shop", 4) },
			"another application's":      func() (*decide.PolicyVersion, error) { return tx.PolicyVersion("t1", "", 2) },
			"another tenant's":           func() (*decide.PolicyVersion, error) { return tx.PolicyVersion("t2", "shop", 1) },
			"of no such mode":            func() (*decide.PolicyVersion, error) { return tx.PolicyInForce("t1", "", decide.Shadow) },
			"in force of nothing":        func() (*decide.PolicyVersion, error) { return tx.PolicyInForce("t1", "bank", decide.Enforce) },
			"in force in another tenant": func() (*decide.PolicyVersion, error) { return tx.PolicyInForce("t3", "shop", decide.Enforce) },
		} {
			_, err := ask()
			is(t, what, err, proof.ErrNotFound)
		}
		return errors.Join(errs...)
	})
	again := version("shop", 3, decide.Shadow)
	is(t, "again", insertPolicy(t, s, again), proof.ErrStale)
	updateRisk(t, s, func(tx decide.Tx) error { // and the transaction can go on
		is(t, "again", tx.InsertPolicy(again), proof.ErrStale)
		got, err := tx.PolicyVersion("t1", "shop", 3)
		equal(t, "as it was", got, shop[2])
		return err
	})
	none, nameless, undocumented := version("shop", 0, decide.Enforce), version("shop", 11, decide.Enforce), version("shop", 12, decide.Enforce)
	nameless.Tenant, undocumented.Document = "", nil
	for what, p := range map[string]*decide.PolicyVersion{"version 0": none, "no tenant": nameless, "no document": undocumented} {
		if err := insertPolicy(t, s, p); err == nil {
			t.Errorf("a policy of %s was stored", what)
		}
	}
}

// testPublishersAtOnce lets many publish the same version, over two handles: one does.
func testPublishersAtOnce(t *testing.T, o Opener) {
	stores := []Store{open(t, o), open(t, o)}
	for n := 1; n <= 8; n++ {
		errs := atOnce(8, func(i int) error {
			return stores[i%2].UpdateRisk(t.Context(), func(tx decide.Tx) error {
				if i%4 < 2 { // as publishing does: look for the latest first
					all, err := tx.PolicyVersions("t1", "shop")
					if err != nil {
						return err
					}
					if len(all) != n-1 {
						return proof.ErrStale
					}
				}
				p := version("shop", n, decide.Enforce)
				p.Author = fmt.Sprint("author ", i)
				return tx.InsertPolicy(p)
			})
		})
		winner := onlyWinner(t, errs)
		viewRisk(t, stores[1], func(tx decide.Tx) error {
			got, err := tx.PolicyInForce("t1", "shop", decide.Enforce)
			if err == nil {
				equal(t, "published", []any{got.Version, got.Author}, []any{n, fmt.Sprint("author ", winner)})
			}
			return err
		})
	}
}

func testEraseRisk(t *testing.T, o Opener) {
	s := open(t, o)
	p, bystander := subject("t1"), subject("t1")
	put(t, s, p)
	put(t, s, bystander)
	d, ended, others := decision(p, start), decision(p, start), decision(bystander, start)
	d.Reasons, ended.Outcome = []risk.Reason{"new_device"}, decide.OutcomeSuccess
	putDecisions(t, s, d, ended, others)
	ok(t, putHistory(t, s, "t1", p.ID, []byte("history"), 0))
	ok(t, putHistory(t, s, "t1", bystander.ID, []byte("theirs"), 0))
	is(t, "another tenant's", s.UpdateRisk(t.Context(), func(tx decide.Tx) error { return tx.EraseSubject("t2", p.ID, start) }), proof.ErrNotFound)
	equal(t, "untouched", readDecision(t, s, d.ID), d)
	for range 2 {
		update(t, s, func(tx journey.Tx) error { return tx.EraseSubject("t1", p.ID, start) })
	}
	want := *d
	want.Sealed = nil
	equal(t, "erased", readDecision(t, s, d.ID), &want)
	equal(t, "somebody else's", readDecision(t, s, others.ID), others)
	_, err := readHistory(t, s, "t1", p.ID)
	is(t, "history", err, proof.ErrNotFound)
	theirs, err := readHistory(t, s, "t1", bystander.ID)
	ok(t, err)
	equal(t, "somebody else's history", theirs, sealedHistory{[]byte("theirs"), 1})
	equal(t, "remembered", []bool{remembered(t, s, "t1", p.ID), remembered(t, s, "t1", bystander.ID)}, []bool{false, true})
	// Copies that were read before bring nothing back.
	is(t, "an old history", putHistory(t, s, "t1", p.ID, []byte("x"), 1), proof.ErrStale)
	is(t, "a new history", putHistory(t, s, "t1", p.ID, []byte("x"), 0), proof.ErrStale)
	late := *d
	late.Outcome = decide.OutcomeFailure
	ok(t, endDecision(t, s, &late, ""))
	equal(t, "ended later", readDecision(t, s, d.ID).Sealed, []byte(nil))
}

// testEraseAgainstLogins: whoever records a decision or learns at the same time as
// somebody erases is either first, and swept away, or second, and sees it.
func testEraseAgainstLogins(t *testing.T, o Opener) {
	stores := []Store{open(t, o), open(t, o)}
	for round := range 12 {
		p := subject("t1")
		put(t, stores[0], p)
		if round%2 == 0 {
			ok(t, putHistory(t, stores[0], "t1", p.ID, []byte("earlier"), 0))
		}
		ok(t, errors.Join(atOnce(3, func(i int) error {
			return stores[i%2].UpdateRisk(t.Context(), func(tx decide.Tx) error {
				if i == 0 {
					return tx.EraseSubject("t1", p.ID, start)
				}
				who, err := tx.Subject("t1", p.ID)
				if err != nil || !who.ErasedAt.IsZero() {
					return err
				}
				if i == 1 {
					return tx.InsertDecision(decision(p, start))
				}
				_, n, err := tx.History("t1", p.ID)
				if err != nil && !errors.Is(err, proof.ErrNotFound) {
					return err
				}
				return tx.PutHistory("t1", p.ID, []byte("learned"), n, start)
			})
		})...))
		for _, d := range listDecisions(t, stores[0], "t1", decide.Filter{Subject: p.ID}, 10) {
			if d.Sealed != nil {
				t.Error("a record outlived the erasure")
			}
		}
		_, err := readHistory(t, stores[0], "t1", p.ID)
		is(t, "a history that outlived the erasure", err, proof.ErrNotFound)
	}
}

// testLoginsAtOnce records logins as evaluating does, next to each other, to how earlier
// ones ended and to newcomers. All that is acknowledged is there.
func testLoginsAtOnce(t *testing.T, o Opener) {
	stores := []Store{open(t, o), open(t, o)}
	const workers, each = 16, 12
	people := make([]*proof.Subject, workers)
	for i := range people {
		people[i] = subject("t1")
		put(t, stores[0], people[i])
	}
	var mu sync.Mutex
	stored := map[string]string{}
	ok(t, errors.Join(atOnce(workers, func(w int) error {
		s, mine := stores[w%2], []*decide.Decision(nil)
		for i := range each {
			p, fresh := people[(w+i)%workers], i%4 == 3
			if fresh {
				p = subject("t1")
			}
			d := decision(p, start.Add(time.Duration(i)*time.Second))
			err := s.UpdateRisk(t.Context(), func(tx decide.Tx) error {
				if fresh {
					if err := tx.InsertSubject(p); err != nil {
						return err
					}
				} else if _, err := tx.Subject("t1", p.ID); err != nil {
					return err
				}
				return errors.Join(tx.InsertDecision(d), tx.Hit("t1", "attempts", []byte(p.ID), start), tx.Hit("t1", "attempts", []byte("network"), start))
			})
			if err != nil {
				return err
			}
			if mine = append(mine, d); i%3 == 2 {
				last := *mine[i-1]
				last.Outcome = decide.OutcomeSuccess
				err := s.UpdateRisk(t.Context(), func(tx decide.Tx) error {
					if _, err := tx.Decision("t1", last.ID); err != nil {
						return err
					}
					return tx.EndDecision(&last, "")
				})
				if err != nil {
					return err
				}
				mine[i-1] = &last
			}
		}
		mu.Lock()
		defer mu.Unlock()
		for _, d := range mine {
			stored[d.ID] = d.Outcome
		}
		return nil
	})...))
	got := map[string]string{}
	for _, d := range listDecisions(t, stores[0], "t1", decide.Filter{}, 2*workers*each) {
		got[d.ID] = d.Outcome
	}
	equal(t, "stored", got, stored)
	equal(t, "counted", hits(t, stores[0], "t1", "attempts", []byte("network"), start), workers*each)
}

func testRiskText(t *testing.T, o Opener) {
	s := open(t, o)
	p := subject("t1")
	put(t, s, p)
	kept := decision(p, start)
	putDecisions(t, s, kept)
	for _, bad := range []string{"nul\x00", "\xff\xfe", "\x00", "\xed\xa0\x80"} {
		application, caller, outcome := decision(p, start), decision(p, start), *kept
		application.Application, caller.Caller, outcome.Outcome = bad, bad, bad
		comment, document := version("shop", 1, decide.Enforce), version("shop", 1, decide.Enforce)
		comment.Comment, document.Document = bad, json.RawMessage(bad)
		for what, fn := range map[string]func(decide.Tx) error{
			"application": func(tx decide.Tx) error { return tx.InsertDecision(application) },
			"caller":      func(tx decide.Tx) error { return tx.InsertDecision(caller) },
			"outcome":     func(tx decide.Tx) error { return tx.EndDecision(&outcome, "") },
			"id":          func(tx decide.Tx) error { _, err := tx.Decision("t1", bad); return err },
			"filter": func(tx decide.Tx) error {
				_, err := tx.Decisions("t1", decide.Filter{Application: &bad}, 1)
				return err
			},
			"page": func(tx decide.Tx) error {
				_, err := tx.Decisions("t1", decide.Filter{Before: start, BeforeID: bad}, 1)
				return err
			},
			"history":     func(tx decide.Tx) error { _, _, err := tx.History("t1", bad); return err },
			"put history": func(tx decide.Tx) error { return tx.PutHistory("t1", bad, []byte("x"), 0, start) },
			"comment":     func(tx decide.Tx) error { return tx.InsertPolicy(comment) },
			"document":    func(tx decide.Tx) error { return tx.InsertPolicy(document) },
			"policy":      func(tx decide.Tx) error { _, err := tx.PolicyVersion("t1", bad, 1); return err },
			"remembered":  func(tx decide.Tx) error { _, err := tx.Remembered("t1", bad); return err },
		} {
			equal(t, what, proof.CodeOf(s.UpdateRisk(t.Context(), fn)), proof.CodeInvalid)
		}
		none := func([]decide.Recorded) error { t.Error("read"); return nil }
		equal(t, "recorded", proof.CodeOf(s.RecordedLogins(t.Context(), "t1", bad, start, start, none)), proof.CodeInvalid)
	}
	equal(t, "afterwards", readDecision(t, s, kept.ID), kept)
}

// testRiskTransactions: what holds for Update and View holds here.
func testRiskTransactions(t *testing.T, o Opener) {
	s := open(t, o)
	p := subject("t1")
	put(t, s, p)
	d := decision(p, start)
	mine := errors.New("mine")
	is(t, "failing", s.UpdateRisk(t.Context(), func(tx decide.Tx) error {
		return errors.Join(tx.InsertDecision(d), tx.InsertPolicy(version("shop", 1, decide.Enforce)), mine)
	}), mine)
	for what, fn := range map[string]func(decide.Tx) error{
		"decision": func(tx decide.Tx) error { return tx.InsertDecision(d) },
		"history":  func(tx decide.Tx) error { return tx.PutHistory("t1", p.ID, []byte("x"), 0, start) },
		"policy":   func(tx decide.Tx) error { return tx.InsertPolicy(version("shop", 1, decide.Enforce)) },
		"purge":    func(tx decide.Tx) error { _, err := tx.PurgeDecisions("t1", start); return err },
		"drop":     func(tx decide.Tx) error { return tx.DropHistory("t1", p.ID) },
	} {
		if err := s.ViewRisk(t.Context(), fn); err == nil {
			t.Errorf("%s written in a view", what)
		}
	}
	viewRisk(t, s, func(tx decide.Tx) error {
		_, err := tx.Decision("t1", d.ID)
		is(t, "decision", err, proof.ErrNotFound)
		_, err = tx.PolicyVersion("t1", "shop", 1)
		is(t, "policy", err, proof.ErrNotFound)
		putDecisions(t, s, d) // by somebody else
		_, err = tx.Decision("t1", d.ID)
		is(t, "what came later", err, proof.ErrNotFound)
		return nil
	})
	over, cancel := context.WithCancel(t.Context())
	cancel()
	never := func(decide.Tx) error { t.Error("ran"); return nil }
	is(t, "update", s.UpdateRisk(over, never), context.Canceled)
	is(t, "view", s.ViewRisk(over, never), context.Canceled)
	is(t, "recorded", s.RecordedLogins(over, "t1", "", start, start, nil), context.Canceled)
	_, err := s.CountLogins(over, "t1", "", start, start)
	is(t, "count", err, context.Canceled)
}
