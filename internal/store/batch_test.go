package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/deliveries"
	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/jobs"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk"
	"github.com/kosmoscope/kosmoscope/internal/risk/decide"
)

// hold makes updates wait for each other, so that they share one commit: the
// first keeps the writer busy until all are in line.
func hold(t *testing.T, s *Store, fns ...func(*tx) error) []error {
	t.Helper()
	errs := make([]error, len(fns))
	running, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		errs[0] = s.db.write(t.Context(), serial, func(t *tx) error {
			close(running)
			<-release
			return fns[0](t)
		})
	})
	<-running
	for i, fn := range fns[1:] {
		wg.Go(func() { errs[i+1] = s.db.write(t.Context(), serial, fn) })
	}
	// The line has no length to ask for; whoever comes late is in a later commit,
	// which no assertion below minds.
	close(release)
	wg.Wait()
	return errs
}

func audit(id string) func(*tx) error {
	return func(t *tx) error { return t.InsertAudit(&proof.AuditRecord{ID: id, Tenant: "t", Object: "o"}) }
}

func ids(t *testing.T, s *Store) string {
	t.Helper()
	var got []string
	err := s.View(t.Context(), func(tx journey.Tx) error {
		rs, err := tx.AuditOf("t", "o")
		for _, r := range rs {
			got = append(got, r.ID)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(got, " ")
}

// When SQLite rolls back behind our back (disk full, I/O error), nobody in the
// batch is told that it worked, and the writer goes on.
func TestBatchBreaks(t *testing.T) {
	for name, fn := range map[string]func(*tx) error{
		"fn notices": func(t *tx) error {
			if err := audit("lost")(t); err != nil {
				return err
			}
			_, err := t.exec("ROLLBACK")
			return errors.Join(err, errors.New("mine"))
		},
		"fn does not notice": func(t *tx) error {
			err := audit("lost")(t)
			_, e := t.exec("ROLLBACK")
			return errors.Join(err, e)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "k.db"))
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			fns := []func(*tx) error{audit("a")}
			for range 8 {
				fns = append(fns, fn)
			}
			errs := hold(t, s, fns...)
			for i, err := range errs[1:] {
				if err == nil {
					t.Errorf("%d: told that it worked", i+1)
				}
			}
			want := "a" // alone in the first commit
			if errs[0] != nil {
				want = ""
			}
			if got := ids(t, s); got != want {
				t.Errorf("stored %q, want %q (%v)", got, want, errs[0])
			}
			if err := s.db.write(t.Context(), serial, audit("b")); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// A full disk is an error that may go away, and harms nothing.
func TestDiskFull(t *testing.T) {
	s, err := OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "k.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	limit := func(pages int) {
		t.Helper()
		err := s.db.write(t.Context(), serial, func(tx *tx) error {
			return tx.query(func(row) error { return nil }, fmt.Sprint("PRAGMA max_page_count = ", pages))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	limit(1) // means: as many as there are now
	big := func(t *tx) error {
		return t.InsertAudit(&proof.AuditRecord{ID: "big", Tenant: "t", Object: "o", Detail: map[string]string{"x": strings.Repeat("x", 1<<20)}})
	}
	errs := hold(t, s, big, big, big)
	for _, err := range errs {
		if proof.CodeOf(err) != proof.CodeUnavailable {
			t.Errorf("got %v", err)
		}
	}
	limit(1 << 30)
	if err := s.db.write(t.Context(), serial, big); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// notTables is what statements scan that is made of few rows.
var notTables = []string{
	"SCAN due", "SCAN runs", "SCAN names", "SCAN d", "SCAN CONSTANT ROW", "SCAN f",
	"SCAN tenants", "SCAN t", "SCAN p", "SCAN h LEFT-JOIN", "SCAN 3 CONSTANT ROWS", "SCAN (subquery-8)", "SCAN (subquery-13)",
}

// Every statement finds its rows through an index.
func TestNoScans(t *testing.T) {
	s, err := OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "k.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	recorded := map[string]int{}
	record := &tx{ctx: t.Context(), conn: recorder{recorded}, dialect: &sqliteDialect}
	every := []func(){
		func() { _, _ = record.Subject("", "") },
		func() { _, _ = record.SubjectByLookup("", []byte("x")) },
		func() { _ = record.InsertSubject(&proof.Subject{}) },
		func() { _ = record.EraseSubject("", "", start) },
		func() { _ = record.eraseSubject("", "", start) },
		func() { _, _ = record.Verification("", "") },
		func() { _, _ = record.TenantOfVerification("") },
		func() { _, _ = record.VerificationByIdempotencyKey("", "", "") },
		func() { _, _ = record.VerificationsOf("", "") },
		func() { _, _ = record.openUnder("verifications", "", "", nil, nil) },
		func() { _, _ = record.openUnder("challenges", "", "", nil, nil) },
		func() { _ = record.InsertVerification(&proof.Verification{}) },
		func() { _ = record.UpdateVerification(&proof.Verification{}) },
		func() { _, _ = record.Challenge("", "") },
		func() { _, _ = record.TenantOfChallenge("") },
		func() { _, _ = record.ChallengeByHandover([]byte("x")) },
		func() { _, _ = record.ChallengeByIdempotencyKey("", "", "") },
		func() { _, _ = record.ChallengesOf("", "") },
		func() { _ = record.InsertChallenge(&proof.Challenge{}) },
		func() { _ = record.UpdateChallenge(&proof.Challenge{}) },
		func() { _ = record.Hit("", "", []byte("x"), start) },
		func() { _, _ = record.Hits("", "", []byte("x"), start) },
		func() { _, _ = record.PurgeHits("", start) },
		func() { _ = record.InsertAssurance(&proof.Assurance{}) },
		func() { _, _ = record.AssurancesOf("", "") },
		func() { _, _ = record.RevokeAssurances("", "", start) },
		func() { _ = record.InsertAudit(&proof.AuditRecord{}) },
		func() { _, _ = record.AuditOf("", "") },
		func() { _ = record.Enqueue(&proof.Job{}) },
		func() { _ = record.CancelJobs("", "", "") },
		func() { _, _ = record.Secret("", "") },
		func() { _, _ = record.PutSecretIfAbsent("", "", []byte("x")) },
		func() { _, _ = record.Remembered("", "") },
		func() { _, _, _ = record.History("", "") },
		func() { _ = record.PutHistory("", "", []byte("x"), 0, start) },
		func() { _ = record.PutHistory("", "", []byte("x"), 1, start) },
		func() { _ = record.DropHistory("", "") },
		func() { _, _ = record.StaleHistories("", start, 1) },
		func() { _ = record.InsertDecision(&decide.Decision{}) },
		func() { _, _ = record.Decision("", "") },
		func() { _ = record.EndDecision(&decide.Decision{}, "") },
		func() { _, _ = record.Decisions("", decide.Filter{Before: start}, 1) },
		func() { _, _ = record.Decisions("", decide.Filter{Verdict: risk.Deny, Since: start, Before: start}, 1) },
		func() { _, _ = record.Decisions("", decide.Filter{Subject: "x", Before: start}, 1) },
		func() { _, _ = record.Decisions("", decide.Filter{Application: new(string), Before: start}, 1) },
		func() { _, _ = record.Applications("") },
		func() { _, _ = record.PurgeDecisions("", start) },
		func() { _, _ = record.PolicyVersions("", "") },
		func() { _, _ = record.PolicyVersion("", "", 1) },
		func() { _, _ = record.PolicyInForce("", "", decide.Enforce) },
		func() { _ = record.InsertPolicy(&decide.PolicyVersion{Document: []byte("{}")}) },
	}
	every = append(every,
		func() { _, _ = record.InsertEvents("", []*hooks.Event{{Sealed: []byte("x"), Lookups: [][]byte{{1}}}}) },
		func() { _, _ = record.stored("", 1, []*hooks.Event{{ID: "x"}}) },
		func() { _ = record.insertLookups("", 1, []*hooks.Event{{ID: "x", Lookups: [][]byte{{1}}}}) },
		func() { _, _ = record.WaitingEvents("", 1) },
		func() { _, _ = record.EventContents("", []string{"x"}) },
		func() { _ = record.EventsEvaluated("", []string{"x", "y"}, 1) },
		func() { _ = record.ParkEvent("", "", "") },
		func() { _, _ = record.Event("", "") },
		func() { _, _ = record.Events(hooks.EventQuery{Before: "x", Action: "a", Since: start, Until: start}) },
		func() { _, _ = record.ForgetEvents("", []byte("x")) },
		func() { _ = record.dropLookups("", []string{"x"}) },
		func() { _ = record.forgetContent("", []string{"x"}) },
		func() { _ = record.forgetWork("", "") },
		func() { _ = record.dropLookup("", 1, []byte{1}, "x") },
		func() { _, _ = record.PurgeEvents("", start, 1) },
		func() { _ = record.purgeContent("", []string{"x"}) },
		func() { _ = record.InsertWork(&hooks.Work{}) },
		func() { _ = record.UpdateWork(&hooks.Work{}) },
		func() { _, _ = record.Work("", "") },
		func() { _, _ = record.Works(hooks.WorkQuery{Event: "x"}) },
		func() { _, _ = record.Works(hooks.WorkQuery{State: "x", Before: "y"}) },
		func() { _, _ = record.Works(hooks.WorkQuery{}) },
		func() { _, _ = record.PurgeWork("", start, 1) },
		func() { _, _ = record.Rules("") },
		func() { _, _ = record.RuleVersions("") },
		func() { _, _ = record.Cursor("", "") },
		func() { _, _ = record.Message("", "") },
		func() { _, _ = record.PurgeMessages("", start, 1) },
		func() { _ = record.purgeMessage("", "x") },
		func() { _, _ = record.Endpoints("") },
		func() { _ = record.UpdateEndpoint(&deliveries.Endpoint{}) },
		func() { _ = record.InsertDelivery(&deliveries.Delivery{}) },
		func() { _ = record.UpdateDelivery(&deliveries.Delivery{}) },
		func() { _, _ = record.Deliveries(deliveries.DeliveryQuery{Endpoint: "x", Before: "x"}) },
		func() { _, _ = record.Deliveries(deliveries.DeliveryQuery{State: "x", Before: "x"}) },
		func() { _, _ = record.Deliveries(deliveries.DeliveryQuery{}) },
		func() { _, _ = record.Attempts("", "") },
	)
	recording := &Store{db: recordingDB{record}}
	c := jobs.Claimed{}
	every = append(every,
		func() { _, _ = recording.Claim(t.Context(), "o", start, 1, 1) },
		func() { _ = recording.Extend(t.Context(), c, start) },
		func() { _ = recording.Finish(t.Context(), c) },
		func() { _, _ = recording.FinishAll(t.Context(), []jobs.Claimed{c}) },
		func() { _, _ = recording.DeadLetters(t.Context(), "", "x", 1) },
		func() { _ = recording.Drop(t.Context(), "", "", "", start) },
		func() { _ = recording.Reschedule(t.Context(), c, start, "") },
		func() { _ = recording.Dead(t.Context(), c, start, "") },
		func() { _ = recording.RecordedLogins(t.Context(), "", "", start, start, nil) },
		func() { _ = recording.RecordedLogins(t.Context(), "", "x", start, start, nil) },
		func() { _, _ = recording.CountLogins(t.Context(), "", "", start, start) },
		func() { _, _ = recording.CountLogins(t.Context(), "", "x", start, start) },
	)
	for _, call := range every {
		record.err = nil
		call()
	}
	if len(recorded) < len(every) {
		t.Errorf("%d statements of %d calls", len(recorded), len(every))
	}
	// Of several ways to its rows a statement takes the one that was made for it.
	ways := map[string]string{
		"state = 'waiting' ORDER BY received_at":                         "hooks_events_waiting (tenant=?)",
		"state = 'done' AND received_at":                                 "hooks_events_done (tenant=? AND received_at<?)",
		"FROM hooks_work WHERE tenant = $1 AND event":                    "hooks_work_once (tenant=? AND event=?)",
		"FROM deliveries WHERE tenant = $1 AND endpoint":                 "deliveries_endpoint (tenant=? AND endpoint=? AND id<?)",
		"FROM jobs WHERE tenant = $1 AND dead_at <> 0":                   "jobs_dead (tenant=? AND id<?)",
		"FROM challenges WHERE handover_hash = ":                         "challenges_handover (handover_hash=?)",
		"FROM challenges WHERE id = ":                                    "challenges_id (id=?)",
		"FROM challenges WHERE tenant = $1 AND status":                   "INDEX challenges_", // by id, and by session
		"FROM verifications WHERE tenant = $1 AND status":                "INDEX verifications_",
		"FROM challenges\n\t\tWHERE tenant = $1 AND s":                   "challenges_subject (tenant=? AND subject=?)",
		"FROM challenges\n\t\tWHERE tenant = $1 AND c":                   "challenges_idempotency (tenant=? AND caller=? AND idempotency_key=?)",
		"UPDATE challenges SET sealed_request":                           "challenges_subject (tenant=? AND subject=?)",
		"FROM hits\n":                                                    "PRIMARY KEY (tenant=? AND limit_name=? AND key_hash=? AND minute>?)",
		"DELETE FROM hits":                                               "hits_minute (tenant=? AND minute<?)",
		"risk_decisions WHERE tenant = $1 AND (at, id) < ($2, $3) ORDER": "risk_decisions_at (tenant=? AND (at,id)<(?,?))",
		"risk_decisions WHERE tenant = $1 AND verdict = $2 AND at":       "risk_decisions_at (tenant=? AND at>? AND (at,id)<(?,?))",
		"risk_decisions WHERE tenant = $1 AND subject = $2 AND (at":      "risk_decisions_subject (tenant=? AND subject=? AND (at,id)<(?,?))",
		"risk_decisions WHERE tenant = $1 AND application = $2 AND (at":  "risk_decisions_application (tenant=? AND application=? AND (at,id)<(?,?))",
		"COUNT(*) FROM risk_decisions WHERE tenant = $1 AND at":          "COVERING INDEX risk_decisions_at (tenant=? AND at>? AND at<?)",
		"COUNT(*) FROM risk_decisions WHERE tenant = $1 AND application": "COVERING INDEX risk_decisions_application (tenant=? AND application=? AND at>? AND at<?)",
		"UPDATE risk_decisions SET sealed_record":                        "risk_decisions_subject (tenant=? AND subject=?)",
		"FROM risk_histories WHERE tenant = $1 AND changed_at":           "risk_histories_changed (tenant=? AND changed_at<?)",
	}
	for query, args := range recorded {
		want := ""
		for part, way := range ways {
			if strings.Contains(query, part) {
				want = way
				delete(ways, part)
			}
		}
		err := s.db.write(t.Context(), serial, func(tx *tx) error {
			return tx.query(func(r row) error {
				var id, parent, unused int
				var plan string
				if err := r.Scan(&id, &parent, &unused, &plan); err != nil {
					return err
				}
				if strings.HasPrefix(plan, "SCAN") && !slices.Contains(notTables, plan) {
					t.Errorf("%s\n%s", query, plan)
				}
				if strings.HasPrefix(plan, "SEARCH") && !strings.Contains(plan, want) {
					t.Errorf("%s\n%s\nnot through %s", query, plan, want)
				}
				return nil
			}, "EXPLAIN QUERY PLAN "+query, make([]any, args)...)
		})
		if err != nil {
			t.Errorf("%s: %v", query, err)
		}
	}
	if len(ways) > 0 {
		t.Errorf("no statement for %v", ways)
	}
}

// Updates that share a commit count on one row one after the other, and whoever
// fails takes only their own count along.
func TestBatchCounts(t *testing.T) {
	s, err := OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "k.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	key, mine := []byte("key"), errors.New("mine")
	var fns []func(*tx) error
	for i := range 60 {
		fns = append(fns, func(t *tx) error {
			if err := t.Hit("t", "caller", key, start); err != nil {
				return err
			}
			if i%3 == 1 {
				return mine
			}
			return nil
		})
	}
	for i, err := range hold(t, s, fns...) {
		if (err != nil) != (i%3 == 1) {
			t.Errorf("%d: %v", i, err)
		}
	}
	err = s.View(t.Context(), func(tx journey.Tx) error {
		n, err := tx.Hits("t", "caller", key, start)
		if n != 40 {
			t.Errorf("%d counted, not 40", n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

var start = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

// recorder notes statements and how many parameters they have, and pretends that
// each changed one row.
type recorder struct{ seen map[string]int }

func (r recorder) exec(_ context.Context, query string, args []any) (int64, error) {
	r.seen[query] = len(args)
	return 1, nil
}

func (r recorder) later(ctx context.Context, query string, args []any) error {
	_, err := r.exec(ctx, query, args)
	return err
}

func (r recorder) query(_ context.Context, query string, args []any, _ func(row) error) error {
	r.seen[query] = len(args)
	return errors.New("recorded")
}

type recordingDB struct{ t *tx }

func (d recordingDB) write(_ context.Context, _ isolation, fn func(*tx) error) error { return fn(d.t) }
func (d recordingDB) read(_ context.Context, fn func(*tx) error) error               { return fn(d.t) }
func (d recordingDB) ping(context.Context) error                                     { return nil }
func (d recordingDB) close() error                                                   { return nil }
