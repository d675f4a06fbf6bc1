// Package storetest is the contract that every database behind internal/store
// keeps: what journey.Store, journey.Tx, decide.Store, decide.Tx, federation.Store,
// federation.Tx, hooks.Store, hooks.Tx, deliveries.Store, deliveries.Tx and jobs.Queue
// promise, as tests.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/internal/deliveries"
	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/jobs"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk/decide"
)

// Store is what the suite tests.
type Store interface {
	journey.Store
	decide.Store
	federation.Store
	hooks.Store
	deliveries.Store
	jobs.Queue
	Close() error
}

// Opener opens one and the same database, as often as it is called.
type Opener func() Store

// Run runs the suite; fresh makes an empty database for each test.
func Run(t *testing.T, fresh func(*testing.T) Opener) {
	tests := map[string]func(*testing.T, Opener){
		"Subjects":              testSubjects,
		"Verifications":         testVerifications,
		"EveryField":            testEveryField,
		"Erase":                 testErase,
		"Assurances":            testAssurances,
		"Audit":                 testAudit,
		"Secrets":               testSecrets,
		"Text":                  testText,
		"UpdateIsAllOrNothing":  testAllOrNothing,
		"ViewIsConsistent":      testView,
		"Cancelled":             testCancelled,
		"Migrate":               testMigrate,
		"CompareAndSwap":        testCompareAndSwap,
		"NoWriteSkew":           testNoWriteSkew,
		"FailingNeighbours":     testFailingNeighbours,
		"Close":                 testClose,
		"Enqueue":               testEnqueue,
		"Lease":                 testLease,
		"QueuedAgain":           testQueuedAgain,
		"Dead":                  testDead,
		"Competing":             testCompeting,
		"Turns":                 testTurns,
		"FinishAll":             testFinishAll,
		"DeadLetters":           testDeadLetters,
		"LeaseExclusive":        testLeaseExclusive,
		"EraseAgainstNewGrants": testEraseRace,
		"Runner":                testRunner,
		"Challenges":            testChallenges,
		"EveryChallengeField":   testEveryChallengeField,
		"Confidence":            testConfidence,
		"EraseChallenges":       testEraseChallenges,
		"OpenUnder":             testOpenUnder,
		"TwoAnswers":            testTwoAnswers,
		"SameKeyAtOnce":         testSameKeyAtOnce,
		"Hits":                  testHits,
		"HitsAtOnce":            testHitsAtOnce,
		"LimitHolds":            testLimitHolds,
		"ChallengeText":         testChallengeText,
		"Decisions":             testDecisions,
		"EveryDecisionField":    testEveryDecisionField,
		"Score":                 testScore,
		"DecisionList":          testDecisionList,
		"DecisionPages":         testDecisionPages,
		"DecisionEnds":          testDecisionEnds,
		"DecisionEndsOnce":      testDecisionEndsOnce,
		"PurgeDecisions":        testPurgeDecisions,
		"RecordedLogins":        testRecordedLogins,
		"RecordedWhileWriting":  testRecordedWhileWriting,
		"Applications":          testApplications,
		"Histories":             testHistories,
		"StaleHistories":        testStaleHistories,
		"HistoryAtOnce":         testHistoryAtOnce,
		"Policies":              testPolicies,
		"PublishersAtOnce":      testPublishersAtOnce,
		"EraseRisk":             testEraseRisk,
		"EraseAgainstLogins":    testEraseAgainstLogins,
		"LoginsAtOnce":          testLoginsAtOnce,
		"RiskText":              testRiskText,
		"RiskTransactions":      testRiskTransactions,

		"FederationSessions":       testFederationSessions,
		"Grants":                   testGrants,
		"GrantFamilies":            testGrantFamilies,
		"RedeemedOnce":             testRedeemedOnce,
		"RefreshAgainstRevocation": testRefreshAgainstRevocation,
		"Uses":                     testUses,
		"UsedOnce":                 testUsedOnce,
		"Pushed":                   testPushed,
		"PushedUsedOnce":           testPushedUsedOnce,
		"FederationClients":        testFederationClients,
		"ClientsAtOnce":            testClientsAtOnce,
		"FederationKeys":           testFederationKeys,
		"KeysAtOnce":               testKeysAtOnce,
		"PurgeFederation":          testPurgeFederation,
		"PurgeFederationInParts":   testPurgeFederationInParts,
		"EveryFederationField":     testEveryFederationField,
		"EraseFederation":          testEraseFederation,
		"EraseAgainstGrants":       testEraseAgainstGrants,
		"FederationTransactions":   testFederationTransactions,

		"Events":                 testEvents,
		"ManyEvents":             testManyEvents,
		"EventList":              testEventList,
		"EventsAtOnce":           testEventsAtOnce,
		"PumpMissesNothing":      testPumpMissesNothing,
		"PumpsAtOnce":            testPumpsAtOnce,
		"ForgetEvents":           testForgetEvents,
		"EraseHooks":             testEraseHooks,
		"PurgeEvents":            testPurgeEvents,
		"Work":                   testWork,
		"EveryHooksField":        testEveryHooksField,
		"Rules":                  testRules,
		"Cursors":                testCursors,
		"HooksTransactions":      testHooksTransactions,
		"Messages":               testMessages,
		"Endpoints":              testEndpoints,
		"Deliveries":             testDeliveries,
		"Attempts":               testAttempts,
		"PurgeMessages":          testPurgeMessages,
		"EraseDeliveries":        testEraseDeliveries,
		"EveryDeliveriesField":   testEveryDeliveriesField,
		"DeliveriesTransactions": testDeliveriesTransactions,
	}
	for _, name := range slices.Sorted(keysOf(tests)) {
		t.Run(name, func(t *testing.T) { tests[name](t, fresh(t)) })
	}
}

func keysOf[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// start is a time that both databases store exactly.
var start = time.Date(2026, 11, 23, 9, 30, 0, 123456000, time.UTC)

func open(t *testing.T, o Opener) Store {
	t.Helper()
	s := o()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func id() string { return uuid.Must(uuid.NewV7()).String() }

func subject(tenant string) *proof.Subject {
	i := id()
	return &proof.Subject{
		ID: i, Tenant: tenant, Lookup: []byte("lookup " + i), WrappedKey: []byte("key"),
		SealedIdentifier: []byte("sealed"), CreatedAt: start,
	}
}

func verification(s *proof.Subject) *proof.Verification {
	return &proof.Verification{
		ID: id(), Tenant: s.Tenant, Caller: "c", Subject: s.ID, Status: proof.Pending, Liveness: proof.LivenessPassive,
		CreatedAt: start, ExpiresAt: start.Add(time.Hour), SealedRequest: []byte("sealed request"),
	}
}

func update(t *testing.T, s Store, fn func(journey.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func view(t *testing.T, s Store, fn func(journey.Tx) error) {
	t.Helper()
	if err := s.View(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// put stores a subject and verifications of it.
func put(t *testing.T, s Store, p *proof.Subject, vs ...*proof.Verification) {
	t.Helper()
	update(t, s, func(tx journey.Tx) error {
		err := tx.InsertSubject(p)
		for _, v := range vs {
			err = errors.Join(err, tx.InsertVerification(v))
		}
		return err
	})
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

func is(t *testing.T, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%s: got %v, want %v", what, err, target)
	}
}

func testSubjects(t *testing.T, o Opener) {
	s := open(t, o)
	p := subject("t1")
	put(t, s, p)
	view(t, s, func(tx journey.Tx) error {
		got, err := tx.Subject("t1", p.ID)
		equal(t, "by id", got, p)
		if err == nil {
			got, err = tx.SubjectByLookup("t1", p.Lookup)
			equal(t, "by lookup", got, p)
		}
		_, missing := tx.Subject("t2", p.ID)
		is(t, "another tenant's", missing, proof.ErrNotFound)
		_, missing = tx.SubjectByLookup("t2", p.Lookup)
		is(t, "another tenant's by lookup", missing, proof.ErrNotFound)
		_, missing = tx.SubjectByLookup("t1", nil)
		is(t, "by no lookup", missing, proof.ErrNotFound)
		return err
	})
	twin := subject("t1")
	twin.Lookup = p.Lookup
	is(t, "same lookup", s.Update(t.Context(), func(tx journey.Tx) error { return tx.InsertSubject(twin) }), proof.ErrStale)
	elsewhere := subject("t2")
	elsewhere.Lookup, elsewhere.ID = p.Lookup, p.ID
	put(t, s, elsewhere)
	for range 2 { // pairwise subjects have none
		pairwise := subject("t1")
		pairwise.Lookup, pairwise.SealedIdentifier = nil, nil
		put(t, s, pairwise)
		view(t, s, func(tx journey.Tx) error {
			got, err := tx.Subject("t1", pairwise.ID)
			equal(t, "pairwise", got, pairwise)
			return err
		})
	}
	// A refused insert leaves the transaction usable.
	update(t, s, func(tx journey.Tx) error {
		is(t, "same lookup", tx.InsertSubject(twin), proof.ErrStale)
		_, err := tx.SubjectByLookup("t1", p.Lookup)
		return err
	})
}

func testVerifications(t *testing.T, o Opener) {
	s := open(t, o)
	p := subject("t1")
	older, newer, other := verification(p), verification(p), verification(p)
	older.CreatedAt, older.IdempotencyKey = start.Add(-time.Hour), "k"
	other.Caller, other.IdempotencyKey = "c2", "k"
	put(t, s, p, newer, older, other)
	same := verification(p)
	same.IdempotencyKey = "k"
	is(t, "same idempotency key", s.Update(t.Context(), func(tx journey.Tx) error { return tx.InsertVerification(same) }), proof.ErrStale)
	view(t, s, func(tx journey.Tx) error {
		got, err := tx.VerificationByIdempotencyKey("t1", "c", "k")
		equal(t, "by key", got, older)
		_, missing := tx.VerificationByIdempotencyKey("t1", "c", "")
		is(t, "by no key", missing, proof.ErrNotFound)
		_, missing = tx.VerificationByIdempotencyKey("t2", "c", "k")
		is(t, "another tenant's key", missing, proof.ErrNotFound)
		_, missing = tx.Verification("t2", older.ID)
		is(t, "another tenant's", missing, proof.ErrNotFound)
		tenant, e := tx.TenantOfVerification(older.ID)
		equal(t, "tenant", tenant, "t1")
		_, missing = tx.TenantOfVerification("none")
		is(t, "tenant of none", missing, proof.ErrNotFound)
		all, e2 := tx.VerificationsOf("t1", p.ID)
		equal(t, "of subject", all, []*proof.Verification{other, newer, older})
		none, e3 := tx.VerificationsOf("t2", p.ID)
		equal(t, "of another tenant's subject", len(none), 0)
		return errors.Join(err, e, e2, e3)
	})

	change := *newer
	update(t, s, func(tx journey.Tx) error {
		c := *newer
		c.Status, c.Reason = proof.Failed, proof.ReasonFaceMismatch
		err := tx.UpdateVerification(&c)
		change = c
		return err
	})
	equal(t, "version", change.Version, int64(1))
	view(t, s, func(tx journey.Tx) error {
		got, err := tx.Verification("t1", newer.ID)
		equal(t, "changed", got, &change)
		return err
	})
	stale, foreign := *newer, change
	foreign.Tenant = "t2"
	is(t, "old version", s.Update(t.Context(), func(tx journey.Tx) error { return tx.UpdateVerification(&stale) }), proof.ErrStale)
	is(t, "another tenant's", s.Update(t.Context(), func(tx journey.Tx) error { return tx.UpdateVerification(&foreign) }), proof.ErrStale)
	equal(t, "version of a refused copy", stale.Version, int64(0))

	orphan := verification(subject("t1"))
	if err := s.Update(t.Context(), func(tx journey.Tx) error { return tx.InsertVerification(orphan) }); err == nil {
		t.Error("a verification without a subject was stored")
	}
	foreignSubject := verification(p)
	foreignSubject.Tenant = "t2"
	if err := s.Update(t.Context(), func(tx journey.Tx) error { return tx.InsertVerification(foreignSubject) }); err == nil {
		t.Error("a verification of another tenant's subject was stored")
	}
}

// testEveryField stores a value in every field that there is, so that a field
// added to the domain and forgotten here does not go unnoticed.
func testEveryField(t *testing.T, o Opener) {
	s := open(t, o)
	p := subject("t1")
	empty, full := verification(p), new(proof.Verification)
	fill(t, reflect.ValueOf(full).Elem(), 0)
	full.Tenant, full.Subject, full.Version = p.Tenant, p.ID, 0
	put(t, s, p, empty, full)
	inserted := *full
	update(t, s, func(tx journey.Tx) error { // through UPDATE as well
		c := inserted
		created := c.CreatedAt
		fill(t, reflect.ValueOf(&c).Elem(), 1000)
		c.Tenant, c.ID, c.Version, c.Subject, c.CreatedAt = full.Tenant, full.ID, 0, p.ID, created
		err := tx.UpdateVerification(&c)
		*full = c
		return err
	})
	a := new(proof.Assurance)
	fill(t, reflect.ValueOf(a).Elem(), 0)
	a.Tenant, a.Subject, a.Verification = p.Tenant, p.ID, full.ID
	r := new(proof.AuditRecord)
	fill(t, reflect.ValueOf(r).Elem(), 0)
	bare := &proof.AuditRecord{ID: id(), Tenant: r.Tenant, Object: "bare"}
	update(t, s, func(tx journey.Tx) error {
		return errors.Join(tx.InsertAssurance(a), tx.InsertAudit(r), tx.InsertAudit(bare))
	})
	view(t, s, func(tx journey.Tx) error {
		for _, want := range []*proof.Verification{empty, full} {
			got, err := tx.Verification("t1", want.ID)
			if err != nil {
				return err
			}
			equal(t, "verification", got, want)
		}
		as, err := tx.AssurancesOf("t1", p.ID)
		if err != nil {
			return err
		}
		equal(t, "assurance", as, []*proof.Assurance{a})
		for _, want := range []*proof.AuditRecord{r, bare} {
			rs, err := tx.AuditOf(want.Tenant, want.Object)
			if err != nil {
				return err
			}
			equal(t, "audit", rs, []*proof.AuditRecord{want})
		}
		return nil
	})
}

// fill gives every field a value of its own.
func fill(t *testing.T, v reflect.Value, n int) int {
	t.Helper()
	n++
	switch x := v.Addr().Interface().(type) {
	case *time.Time:
		*x = start.Add(time.Duration(n) * time.Second)
		return n
	case *[]byte:
		*x = []byte{0, 0xff, byte(n), byte(n >> 8)}
		return n
	case *map[string]string:
		*x = map[string]string{"größe": fmt.Sprint(n), "b": `"quoted"`}
		return n
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("ünïcode %d", n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(n))
	case reflect.Float64:
		v.SetFloat(1 / float64(n+2)) // at most 1
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return fill(t, v.Elem(), n-1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			n = fill(t, v.Index(i), n)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			n = fill(t, v.Field(i), n)
		}
	default:
		t.Fatalf("teach storetest to fill a %s", v.Type())
	}
	return n
}

func testErase(t *testing.T, o Opener) {
	s := open(t, o)
	p, bystander := subject("t1"), subject("t1")
	v, others := verification(p), verification(bystander)
	v.SealedOutcome, v.Upstream.SealedURL, v.Upstream.SessionHash = []byte("sealed outcome"), []byte("sealed url"), "hash"
	v.External = proof.External{Status: proof.ExternalBound, Attempts: 1, Sealed: []byte("sealed request id")}
	put(t, s, p, v)
	put(t, s, bystander, others)
	is(t, "nobody", s.Update(t.Context(), func(tx journey.Tx) error { return tx.EraseSubject("t1", "none", start) }), proof.ErrNotFound)
	is(t, "another tenant's", s.Update(t.Context(), func(tx journey.Tx) error { return tx.EraseSubject("t2", p.ID, start) }), proof.ErrNotFound)
	for i := range 2 { // erasing twice is fine, and the first time stands
		update(t, s, func(tx journey.Tx) error { return tx.EraseSubject("t1", p.ID, start.Add(time.Duration(i)*time.Hour)) })
	}
	view(t, s, func(tx journey.Tx) error {
		got, err := tx.Subject("t1", p.ID)
		equal(t, "erased", got, &proof.Subject{ID: p.ID, Tenant: "t1", CreatedAt: start, ErasedAt: start})
		_, missing := tx.SubjectByLookup("t1", p.Lookup)
		is(t, "erased by lookup", missing, proof.ErrNotFound)
		gone, e := tx.Verification("t1", v.ID)
		if e != nil {
			return e
		}
		if gone.SealedRequest != nil || gone.SealedOutcome != nil || gone.Upstream.SealedURL != nil || gone.Upstream.SessionHash != "" || gone.External.Sealed != nil {
			t.Errorf("sealed columns left: %+v", gone)
		}
		kept, e := tx.Verification("t1", others.ID)
		equal(t, "somebody else's", kept, others)
		return errors.Join(err, e)
	})
	// A copy that was read before must not bring anything back.
	is(t, "old copy", s.Update(t.Context(), func(tx journey.Tx) error { return tx.UpdateVerification(v) }), proof.ErrStale)
	// The same person may come again, as somebody new.
	again := subject("t1")
	again.Lookup = p.Lookup
	put(t, s, again)
}

func testAssurances(t *testing.T, o Opener) {
	s := open(t, o)
	p := subject("t1")
	v := verification(p)
	put(t, s, p, v)
	grant := func(level string, at, expires time.Time) *proof.Assurance {
		return &proof.Assurance{ID: id(), Tenant: "t1", Subject: p.ID, Verification: v.ID, Level: level, Source: "1kosmos_ial", GrantedAt: at, ExpiresAt: expires}
	}
	over := grant("IAL1", start.Add(-time.Hour), start)
	running := grant("IAL2", start.Add(-time.Minute), start.Add(time.Hour))
	endless := grant("IAL2", start.Add(-time.Second), time.Time{})
	update(t, s, func(tx journey.Tx) error {
		return errors.Join(tx.InsertAssurance(running), tx.InsertAssurance(over), tx.InsertAssurance(endless))
	})
	view(t, s, func(tx journey.Tx) error {
		got, err := tx.AssurancesOf("t1", p.ID)
		equal(t, "newest first", got, []*proof.Assurance{endless, running, over})
		none, e := tx.AssurancesOf("t2", p.ID)
		equal(t, "another tenant's", len(none), 0)
		return errors.Join(err, e)
	})
	var n, foreign, again int
	update(t, s, func(tx journey.Tx) (err error) {
		if foreign, err = tx.RevokeAssurances("t2", p.ID, start); err != nil {
			return err
		}
		if n, err = tx.RevokeAssurances("t1", p.ID, start); err != nil {
			return err
		}
		again, err = tx.RevokeAssurances("t1", p.ID, start.Add(time.Minute))
		return err
	})
	equal(t, "revoked, again, elsewhere", []int{n, again, foreign}, []int{2, 0, 0})
	view(t, s, func(tx journey.Tx) error {
		got, err := tx.AssurancesOf("t1", p.ID)
		running.RevokedAt, endless.RevokedAt = start, start
		equal(t, "after revocation", got, []*proof.Assurance{endless, running, over})
		return err
	})
}

func testAudit(t *testing.T, o Opener) {
	s := open(t, o)
	var want []*proof.AuditRecord
	for i := range 5 {
		want = append(want, &proof.AuditRecord{ID: id(), Tenant: "t1", At: start.Add(time.Duration(i/2) * time.Second), Actor: "job", Action: "a", Object: "o"})
	}
	for _, i := range []int{3, 0, 4, 1, 2} {
		update(t, s, func(tx journey.Tx) error { return tx.InsertAudit(want[i]) })
	}
	view(t, s, func(tx journey.Tx) error {
		got, err := tx.AuditOf("t1", "o")
		equal(t, "oldest first", got, want)
		none, e := tx.AuditOf("t2", "o")
		equal(t, "another tenant's", len(none), 0)
		return errors.Join(err, e)
	})
	if err := s.Update(t.Context(), func(tx journey.Tx) error { return tx.InsertAudit(want[0]) }); err == nil {
		t.Error("the same record was stored twice")
	}
}

func testSecrets(t *testing.T, o Opener) {
	s := open(t, o)
	var got [2][]byte
	for i := range got {
		update(t, s, func(tx journey.Tx) (err error) {
			got[i], err = tx.PutSecretIfAbsent("t1", "key", []byte{byte(i), 0, 0xff})
			return err
		})
	}
	equal(t, "first stays", got, [2][]byte{{0, 0, 0xff}, {0, 0, 0xff}})
	view(t, s, func(tx journey.Tx) error {
		b, err := tx.Secret("t1", "key")
		equal(t, "read", b, []byte{0, 0, 0xff})
		_, missing := tx.Secret("t2", "key")
		is(t, "another tenant's", missing, proof.ErrNotFound)
		return err
	})
	if err := s.Update(t.Context(), func(tx journey.Tx) error { _, err := tx.PutSecretIfAbsent("t1", "none", nil); return err }); err == nil {
		t.Error("an empty secret was stored")
	}
}

func testText(t *testing.T, o Opener) {
	s := open(t, o)
	p := subject("t1")
	put(t, s, p)
	for _, bad := range []string{"nul\x00", "\xff\xfe"} {
		v := verification(p)
		v.IdempotencyKey = bad
		err := s.Update(t.Context(), func(tx journey.Tx) error { return tx.InsertVerification(v) })
		equal(t, "stored", proof.CodeOf(err), proof.CodeInvalid)
		err = s.View(t.Context(), func(tx journey.Tx) error { _, err := tx.Verification("t1", bad); return err })
		equal(t, "asked for", proof.CodeOf(err), proof.CodeInvalid)
	}
}

func testAllOrNothing(t *testing.T, o Opener) {
	s := open(t, o)
	mine := errors.New("mine")
	stored := func(p *proof.Subject) bool {
		var err error
		view(t, s, func(tx journey.Tx) error { _, err = tx.Subject(p.Tenant, p.ID); return nil })
		if err != nil && !errors.Is(err, proof.ErrNotFound) {
			t.Fatal(err)
		}
		return err == nil
	}
	p := subject("t1")
	err := s.Update(t.Context(), func(tx journey.Tx) error {
		if err := tx.InsertSubject(p); err != nil {
			return err
		}
		return mine
	})
	if err != mine || stored(p) {
		t.Errorf("failed: %v, stored %t", err, stored(p))
	}
	// An error of the database cannot be brushed aside.
	dup := &proof.AuditRecord{ID: id(), Tenant: "t1"}
	update(t, s, func(tx journey.Tx) error { return tx.InsertAudit(dup) })
	err = s.Update(t.Context(), func(tx journey.Tx) error {
		if err := tx.InsertSubject(p); err != nil {
			return err
		}
		_ = tx.InsertAudit(dup) // whether it failed may be told later
		if _, err := tx.Subject("t1", p.ID); err == nil {
			t.Error("went on after an error of the database")
		}
		return nil
	})
	if err == nil || stored(p) {
		t.Errorf("brushed aside: %v, stored %t", err, stored(p))
	}
	err = s.Update(t.Context(), func(tx journey.Tx) error {
		if err := tx.InsertSubject(p); err != nil {
			return err
		}
		_ = tx.InsertAudit(dup) // and if nothing comes later, at the end
		return nil
	})
	if !errors.Is(err, proof.ErrStale) || stored(p) {
		t.Errorf("brushed aside at the end: %v, stored %t", err, stored(p))
	}
	func() {
		defer func() { equal(t, "panic", recover(), "boom") }()
		_ = s.Update(t.Context(), func(tx journey.Tx) error {
			if err := tx.InsertSubject(p); err != nil {
				return err
			}
			panic("boom")
		})
	}()
	var wg sync.WaitGroup
	wg.Go(func() { // as t.FailNow does
		_ = s.Update(context.Background(), func(tx journey.Tx) error {
			_ = tx.InsertSubject(p)
			runtime.Goexit()
			return nil
		})
	})
	wg.Wait()
	if stored(p) {
		t.Error("stored by a transaction that did not end")
	}
	var leaked journey.Tx
	update(t, s, func(tx journey.Tx) error { leaked = tx; return tx.InsertSubject(p) })
	if !stored(p) {
		t.Error("not stored")
	}
	if _, err := leaked.Subject("t1", p.ID); err == nil {
		t.Error("a transaction went on after its end")
	}
}

func testView(t *testing.T, o Opener) {
	s := open(t, o)
	p, q := subject("t1"), subject("t1")
	put(t, s, p)
	view(t, s, func(tx journey.Tx) error {
		if _, err := tx.Subject("t1", p.ID); err != nil {
			return err
		}
		put(t, s, q) // by somebody else
		_, err := tx.Subject("t1", q.ID)
		is(t, "what came later", err, proof.ErrNotFound)
		return nil
	})
	view(t, s, func(tx journey.Tx) error { _, err := tx.Subject("t1", q.ID); return err })
	r := subject("t1")
	if err := s.View(t.Context(), func(tx journey.Tx) error { _ = tx.InsertSubject(r); return nil }); err == nil {
		t.Error("wrote in a view")
	}
	view(t, s, func(tx journey.Tx) error {
		_, err := tx.Subject("t1", r.ID)
		is(t, "written in a view", err, proof.ErrNotFound)
		return nil
	})
	func() {
		defer func() { equal(t, "panic", recover(), "boom") }()
		_ = s.View(t.Context(), func(journey.Tx) error { panic("boom") })
	}()
	var wg sync.WaitGroup
	for range 64 { // more than there are connections
		wg.Go(func() {
			for range 10 {
				if err := s.View(t.Context(), func(tx journey.Tx) error { _, err := tx.Subject("t1", p.ID); return err }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func testCancelled(t *testing.T, o Opener) {
	s := open(t, o)
	p := subject("t1")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	never := func(journey.Tx) error { t.Error("ran"); return nil }
	is(t, "update", s.Update(over, never), context.Canceled)
	is(t, "view", s.View(over, never), context.Canceled)
	// In the middle: nothing is kept, and nobody else is harmed.
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Update(ctx, func(tx journey.Tx) error {
		if err := tx.InsertSubject(p); err != nil {
			return err
		}
		cancel()
		_, err := tx.Subject("t1", p.ID)
		return err
	})
	is(t, "in the middle", err, context.Canceled)
	view(t, s, func(tx journey.Tx) error {
		_, err := tx.Subject("t1", p.ID)
		is(t, "stored", err, proof.ErrNotFound)
		return nil
	})
	put(t, s, p)
}

func testMigrate(t *testing.T, o Opener) {
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			s := o()
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	p := subject("t1")
	put(t, open(t, o), p)
	view(t, open(t, o), func(tx journey.Tx) error { _, err := tx.Subject("t1", p.ID); return err })
}

// testCompareAndSwap lets 64 goroutines over two handles count one row up.
func testCompareAndSwap(t *testing.T, o Opener) {
	stores := []Store{open(t, o), open(t, o)}
	p := subject("t1")
	v := verification(p)
	put(t, stores[0], p, v)
	const workers, each = 64, 2
	var stale atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		s := stores[w%2]
		wg.Go(func() {
			for done := 0; done < each; {
				// Read in one transaction and write in another: only the version guards it.
				var c *proof.Verification
				if err := s.View(t.Context(), func(tx journey.Tx) (err error) { c, err = tx.Verification("t1", v.ID); return err }); err != nil {
					t.Error(err)
					return
				}
				c.PollFailures++
				err := s.Update(t.Context(), func(tx journey.Tx) error { d := *c; return tx.UpdateVerification(&d) })
				switch {
				case err == nil:
					done++
				case errors.Is(err, proof.ErrStale):
					stale.Add(1)
				case proof.CodeOf(err) == proof.CodeUnavailable: // gave up after many collisions
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	view(t, stores[0], func(tx journey.Tx) error {
		got, err := tx.Verification("t1", v.ID)
		if err == nil {
			equal(t, "count and version", []int64{int64(got.PollFailures), got.Version}, []int64{workers * each, workers * each})
		}
		return err
	})
	t.Logf("%d updates, %d refused as stale", workers*each, stale.Load())
}

// testNoWriteSkew: two people look for the same thing, do not find it, and both
// put theirs. In a serial world only one can.
func testNoWriteSkew(t *testing.T, o Opener) {
	stores := []Store{open(t, o), open(t, o)}
	for round := range 10 {
		object := fmt.Sprintf("seat:%d", round)
		var taken atomic.Int64
		var wg sync.WaitGroup
		for w := range 8 {
			s := stores[w%2]
			wg.Go(func() {
				won := false
				err := s.Update(t.Context(), func(tx journey.Tx) error {
					won = false
					there, err := tx.AuditOf("t1", object)
					if err != nil || len(there) > 0 {
						return err
					}
					won = true
					return tx.InsertAudit(&proof.AuditRecord{ID: id(), Tenant: "t1", At: start, Object: object})
				})
				if err != nil {
					t.Error(err)
				} else if won {
					taken.Add(1)
				}
			})
		}
		wg.Wait()
		equal(t, object, taken.Load(), int64(1))
	}
}

// testFailingNeighbours mixes updates that fail in every way with ones that work.
func testFailingNeighbours(t *testing.T, o Opener) {
	s := open(t, o)
	mine := errors.New("mine")
	dup := &proof.AuditRecord{ID: id(), Tenant: "t1"}
	update(t, s, func(tx journey.Tx) error { return tx.InsertAudit(dup) })
	var mu sync.Mutex
	var good, bad []string
	var wg sync.WaitGroup
	for w := range 64 {
		wg.Go(func() {
			for i := range 8 {
				p := subject("t1")
				ctx, cancel := context.WithCancel(t.Context())
				err := func() (err error) {
					defer func() {
						if recover() != nil {
							err = mine
						}
					}()
					return s.Update(ctx, func(tx journey.Tx) error {
						if err := tx.InsertSubject(p); err != nil {
							return err
						}
						switch (w + i) % 5 {
						case 1:
							return mine
						case 2:
							return tx.InsertAudit(dup)
						case 3:
							panic(mine)
						case 4:
							cancel()
							_, err := tx.Subject("t1", p.ID)
							return err
						}
						return nil
					})
				}()
				cancel()
				mu.Lock()
				if err == nil {
					good = append(good, p.ID)
				} else {
					bad = append(bad, p.ID)
				}
				mu.Unlock()
				if (err == nil) != ((w+i)%5 == 0) {
					t.Errorf("case %d: %v", (w+i)%5, err)
				}
			}
		})
	}
	wg.Wait()
	view(t, s, func(tx journey.Tx) error {
		for _, i := range good {
			if _, err := tx.Subject("t1", i); err != nil {
				return fmt.Errorf("acknowledged, but: %w", err)
			}
		}
		for _, i := range bad {
			if _, err := tx.Subject("t1", i); !errors.Is(err, proof.ErrNotFound) {
				return fmt.Errorf("failed, but there: %w", err)
			}
		}
		return nil
	})
}

func testClose(t *testing.T, o Opener) {
	s := o()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	nothing := func(journey.Tx) error { return nil }
	if err := s.Update(t.Context(), nothing); err == nil {
		t.Error("updated after Close")
	}
	if err := s.View(t.Context(), nothing); err == nil {
		t.Error("viewed after Close")
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

// testEraseRace: whoever grants at the same time as somebody erases is either
// first, and swept away, or second, and sees it.
func testEraseRace(t *testing.T, o Opener) {
	stores := []Store{open(t, o), open(t, o)}
	for range 10 {
		p := subject("t1")
		v := verification(p)
		put(t, stores[0], p, v)
		var wg sync.WaitGroup
		wg.Go(func() {
			err := stores[0].Update(t.Context(), func(tx journey.Tx) error {
				if _, err := tx.RevokeAssurances("t1", p.ID, start); err != nil {
					return err
				}
				return tx.EraseSubject("t1", p.ID, start)
			})
			if err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			err := stores[1].Update(t.Context(), func(tx journey.Tx) error {
				who, err := tx.Subject("t1", p.ID)
				if err != nil || !who.ErasedAt.IsZero() {
					return err
				}
				late := verification(p)
				if err := tx.InsertVerification(late); err != nil {
					return err
				}
				return tx.InsertAssurance(&proof.Assurance{ID: id(), Tenant: "t1", Subject: p.ID, Verification: late.ID, Level: "IAL2", GrantedAt: start})
			})
			if err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		view(t, stores[0], func(tx journey.Tx) error {
			vs, err := tx.VerificationsOf("t1", p.ID)
			for _, v := range vs {
				if v.SealedRequest != nil {
					t.Error("a sealed column outlived the erasure")
				}
			}
			as, e := tx.AssurancesOf("t1", p.ID)
			for _, a := range as {
				if a.RevokedAt.IsZero() {
					t.Error("an assurance outlived the erasure")
				}
			}
			return errors.Join(err, e)
		})
	}
}
