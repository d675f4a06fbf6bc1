package storetest

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

func challenge(s *proof.Subject) *proof.Challenge {
	return &proof.Challenge{
		ID: id(), Tenant: s.Tenant, Caller: "c", Subject: s.ID, Status: proof.ChallengePending, Backend: "uwl",
		CreatedAt: start, ExpiresAt: start.Add(time.Hour), SealedRequest: []byte("sealed request"), SealedSession: []byte("sealed session"),
	}
}

// putChallenges stores challenges of subjects that are there.
func putChallenges(t *testing.T, s Store, cs ...*proof.Challenge) {
	t.Helper()
	update(t, s, func(tx journey.Tx) error {
		var err error
		for _, c := range cs {
			err = errors.Join(err, tx.InsertChallenge(c))
		}
		return err
	})
}

func insertChallenge(t *testing.T, s Store, c *proof.Challenge) error {
	return s.Update(t.Context(), func(tx journey.Tx) error { return tx.InsertChallenge(c) })
}

// updateChallenge stores a copy of c, since fn may run more than once.
func updateChallenge(t *testing.T, s Store, c *proof.Challenge) (stored *proof.Challenge, err error) {
	err = s.Update(t.Context(), func(tx journey.Tx) error {
		d := *c
		stored = &d
		return tx.UpdateChallenge(stored)
	})
	return stored, err
}

func readChallenge(t *testing.T, s Store, id string) *proof.Challenge {
	t.Helper()
	var c *proof.Challenge
	view(t, s, func(tx journey.Tx) (err error) { c, err = tx.Challenge("t1", id); return err })
	return c
}

func testChallenges(t *testing.T, o Opener) {
	s := open(t, o)
	p, elsewhere := subject("t1"), subject("t2")
	put(t, s, p)
	put(t, s, elsewhere)
	older, newer, other, foreign := challenge(p), challenge(p), challenge(p), challenge(elsewhere)
	older.CreatedAt, older.IdempotencyKey = start.Add(-time.Hour), "k"
	other.Caller, other.IdempotencyKey = "c2", "k"
	foreign.IdempotencyKey = "k"
	newer.Link.HandoverHash, newer.Link.HandoverExpires = []byte("newer's"), start.Add(time.Minute)
	foreign.Link.HandoverHash = []byte("foreign's")
	putChallenges(t, s, newer, older, other, foreign)
	same, twin := challenge(p), challenge(p)
	same.IdempotencyKey, twin.ID = "k", older.ID
	is(t, "same idempotency key", insertChallenge(t, s, same), proof.ErrStale)
	is(t, "same id", insertChallenge(t, s, twin), proof.ErrStale)
	view(t, s, func(tx journey.Tx) error {
		got, err := tx.ChallengeByIdempotencyKey("t1", "c", "k")
		equal(t, "by key", got, older)
		tenant, e := tx.TenantOfChallenge(foreign.ID)
		equal(t, "tenant", tenant, "t2")
		all, e2 := tx.ChallengesOf("t1", p.ID)
		equal(t, "of subject", all, []*proof.Challenge{other, newer, older})
		none, e3 := tx.ChallengesOf("t2", p.ID)
		equal(t, "of another tenant's subject", len(none), 0)
		mine, e4 := tx.ChallengeByHandover([]byte("newer's"))
		equal(t, "by hand-over", mine, newer)
		theirs, e5 := tx.ChallengeByHandover([]byte("foreign's"))
		equal(t, "by hand-over, whatever its tenant", theirs, foreign)
		return errors.Join(err, e, e2, e3, e4, e5)
	})
	for what, ask := range map[string]func(journey.Tx) (any, error){
		"unknown":                func(tx journey.Tx) (any, error) { return tx.Challenge("t1", "none") },
		"another tenant's":       func(tx journey.Tx) (any, error) { return tx.Challenge("t2", older.ID) },
		"by no key":              func(tx journey.Tx) (any, error) { return tx.ChallengeByIdempotencyKey("t1", "c", "") },
		"another tenant's key":   func(tx journey.Tx) (any, error) { return tx.ChallengeByIdempotencyKey("t3", "c", "k") },
		"another caller's key":   func(tx journey.Tx) (any, error) { return tx.ChallengeByIdempotencyKey("t1", "c3", "k") },
		"tenant of none":         func(tx journey.Tx) (any, error) { return tx.TenantOfChallenge("none") },
		"by no hand-over":        func(tx journey.Tx) (any, error) { return tx.ChallengeByHandover(nil) },
		"by an empty hand-over":  func(tx journey.Tx) (any, error) { return tx.ChallengeByHandover([]byte{}) },
		"by an unknown handover": func(tx journey.Tx) (any, error) { return tx.ChallengeByHandover([]byte("nobody's")) },
		"a verification's place": func(tx journey.Tx) (any, error) { return tx.Verification("t1", older.ID) },
	} {
		is(t, what, s.View(t.Context(), func(tx journey.Tx) error { _, err := ask(tx); return err }), proof.ErrNotFound)
	}

	changed := *newer
	confidence := 0.5
	changed.Status, changed.Confidence, changed.Basis = proof.ChallengeMatch, &confidence, proof.BasisProviderScore
	changed.Link.HandoverHash, changed.Link.HandoverExpires, changed.SealedSession = nil, time.Time{}, nil
	stored, err := updateChallenge(t, s, &changed)
	ok(t, err)
	equal(t, "version", stored.Version, int64(1))
	equal(t, "changed", readChallenge(t, s, newer.ID), stored)
	is(t, "a hand-over that was closed", s.View(t.Context(), func(tx journey.Tx) error {
		_, err := tx.ChallengeByHandover([]byte("newer's"))
		return err
	}), proof.ErrNotFound)
	theirs := *stored
	theirs.Tenant = "t2"
	missing := challenge(p)
	for what, c := range map[string]*proof.Challenge{"old version": newer, "another tenant's": &theirs, "not there": missing} {
		refused, err := updateChallenge(t, s, c)
		is(t, what, err, proof.ErrStale)
		equal(t, what+": version of the refused copy", refused.Version, c.Version)
	}
	// A refused change leaves the transaction usable.
	update(t, s, func(tx journey.Tx) error {
		is(t, "old version", tx.UpdateChallenge(newer), proof.ErrStale)
		_, err := tx.Challenge("t1", newer.ID)
		return err
	})

	// Nobody's phone may end up at somebody else's challenge.
	clash := *older
	clash.Link.HandoverHash = foreign.Link.HandoverHash
	_, err = updateChallenge(t, s, &clash)
	is(t, "a hand-over with another's hash", err, proof.ErrStale)
	clash.ID, clash.IdempotencyKey = id(), ""
	is(t, "a new one with another's hash", insertChallenge(t, s, &clash), proof.ErrStale)
	equal(t, "afterwards", readChallenge(t, s, older.ID), older)

	foreignSubject := challenge(p)
	foreignSubject.Tenant = "t2"
	for what, c := range map[string]*proof.Challenge{"no subject": challenge(subject("t1")), "another tenant's subject": foreignSubject, "no tenant": {ID: id(), Subject: p.ID}} {
		if err := insertChallenge(t, s, c); err == nil {
			t.Errorf("a challenge of %s was stored", what)
		}
	}
}

// testEveryChallengeField is testEveryField for challenges.
func testEveryChallengeField(t *testing.T, o Opener) {
	s := open(t, o)
	p := subject("t1")
	put(t, s, p)
	empty, full := challenge(p), new(proof.Challenge)
	fill(t, reflect.ValueOf(full).Elem(), 0)
	full.Tenant, full.Subject, full.Version = p.Tenant, p.ID, 0
	putChallenges(t, s, empty, full)
	equal(t, "empty", readChallenge(t, s, empty.ID), empty)
	equal(t, "inserted", readChallenge(t, s, full.ID), full)
	other := new(proof.Challenge)
	fill(t, reflect.ValueOf(other).Elem(), 1000)
	other.Tenant, other.ID, other.Subject, other.Version = full.Tenant, full.ID, full.Subject, 0
	stored, err := updateChallenge(t, s, other)
	ok(t, err)
	equal(t, "updated", readChallenge(t, s, full.ID), stored)
	// And back to nothing.
	bare := challenge(p)
	bare.ID, bare.Version = full.ID, stored.Version
	stored, err = updateChallenge(t, s, bare)
	ok(t, err)
	equal(t, "emptied", readChallenge(t, s, full.ID), stored)
}

func testConfidence(t *testing.T, o Opener) {
	s := open(t, o)
	p := subject("t1")
	put(t, s, p)
	for _, want := range []float64{0, 1, 0.1, 1.0 / 3, 0.93, math.Nextafter(1, 0), math.SmallestNonzeroFloat64, math.Pi / 4, 1e-300} {
		c := challenge(p)
		c.Confidence = &want
		putChallenges(t, s, c)
		got := readChallenge(t, s, c.ID).Confidence
		if got == nil || math.Float64bits(*got) != math.Float64bits(want) {
			t.Errorf("stored %v, read %v", want, got)
		}
	}
	kept := challenge(p)
	putChallenges(t, s, kept)
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -0.01, math.Nextafter(1, 2)} {
		c, d := challenge(p), *kept
		c.Confidence, d.Confidence = &bad, &bad
		if err := insertChallenge(t, s, c); err == nil {
			t.Errorf("a confidence of %v was stored", bad)
		}
		if _, err := updateChallenge(t, s, &d); err == nil {
			t.Errorf("a confidence of %v was stored by a change", bad)
		}
	}
	equal(t, "afterwards", readChallenge(t, s, kept.ID), kept)
}

func testEraseChallenges(t *testing.T, o Opener) {
	s := open(t, o)
	p, bystander := subject("t1"), subject("t1")
	put(t, s, p)
	put(t, s, bystander)
	c, others := challenge(p), challenge(bystander)
	c.RequestHash, c.Network, c.DecisionID, c.IdempotencyKey, c.SessionHash = []byte("hash"), []byte("network"), "decision", "k", "session"
	c.External = proof.External{Status: proof.ExternalAsked, Attempts: 1, AskedAt: start, Sealed: []byte("sealed request id")}
	others.RequestHash, others.Network, others.External = []byte("hash"), []byte("network"), c.External
	putChallenges(t, s, c, others)
	key := []byte("keyed hash")
	update(t, s, func(tx journey.Tx) error { return tx.Hit("t1", "subject", key, start) })
	is(t, "another tenant's", s.Update(t.Context(), func(tx journey.Tx) error { return tx.EraseSubject("t2", p.ID, start) }), proof.ErrNotFound)
	equal(t, "untouched", readChallenge(t, s, c.ID), c)
	update(t, s, func(tx journey.Tx) error { return tx.EraseSubject("t1", p.ID, start) })
	want := *c
	want.SealedRequest, want.SealedSession, want.RequestHash, want.Network, want.External.Sealed, want.SessionHash = nil, nil, nil, nil, nil, ""
	want.Version = 1
	equal(t, "erased", readChallenge(t, s, c.ID), &want)
	equal(t, "somebody else's", readChallenge(t, s, others.ID), others)
	_, err := updateChallenge(t, s, c)
	is(t, "old copy", err, proof.ErrStale) // would bring the sealed columns back
	equal(t, "hits stay", hits(t, s, "t1", "subject", key, start), 1)
}

func testOpenUnder(t *testing.T, o Opener) {
	s := open(t, o)
	p, elsewhere := subject("t1"), subject("t2")
	begun := func(p *proof.Subject, status proof.Status, session string) *proof.Verification {
		v := verification(p)
		v.Status, v.Upstream.SessionHash = status, session
		return v
	}
	asked := func(p *proof.Subject, status proof.ChallengeStatus, session string) *proof.Challenge {
		c := challenge(p)
		c.Status, c.SessionHash = status, session
		return c
	}
	v, bare := begun(p, proof.InProgress, "one"), begun(p, proof.InProgress, "")
	over, waits, foreign := begun(p, proof.Verified, "one"), begun(p, proof.Pending, "one"), begun(elsewhere, proof.InProgress, "one")
	put(t, s, p, v, bare, over, waits)
	put(t, s, elsewhere, foreign)
	c, same := asked(p, proof.ChallengePending, "two"), asked(p, proof.ChallengePending, "two")
	ended, unopened := asked(p, proof.ChallengeExpired, "two"), asked(p, proof.ChallengePending, "")
	putChallenges(t, s, c, same, ended, unopened)
	for name, tt := range map[string]struct {
		ids, hashes               []string
		verifications, challenges []string
	}{
		"nothing":      {nil, nil, nil, nil},
		"unknown":      {[]string{id(), "no id"}, []string{"three"}, nil, nil},
		"empty":        {[]string{""}, []string{""}, nil, nil},
		"by session":   {nil, []string{"three", "one"}, []string{v.ID}, nil},
		"by two":       {nil, []string{"two", "one", "one"}, []string{v.ID}, []string{c.ID, same.ID}},
		"by id":        {[]string{bare.ID, unopened.ID}, nil, []string{bare.ID}, []string{unopened.ID}},
		"by both":      {[]string{v.ID, c.ID}, []string{"one", "two"}, []string{v.ID}, []string{c.ID, same.ID}},
		"what is over": {[]string{over.ID, ended.ID, waits.ID}, nil, nil, nil},
		"another's":    {[]string{foreign.ID}, nil, nil, nil},
	} {
		view(t, s, func(tx journey.Tx) error {
			verifications, challenges, err := tx.OpenUnder("t1", tt.ids, tt.hashes)
			equal(t, name+": verifications", verifications, tt.verifications)
			equal(t, name+": challenges", challenges, tt.challenges)
			return err
		})
	}
	view(t, s, func(tx journey.Tx) error {
		verifications, _, err := tx.OpenUnder("t2", nil, []string{"one"})
		equal(t, "of the other tenant", verifications, []string{foreign.ID})
		return err
	})
}

// testTwoAnswers lets two handles finish one challenge with different answers.
func testTwoAnswers(t *testing.T, o Opener) {
	stores := []Store{open(t, o), open(t, o)}
	p := subject("t1")
	put(t, stores[0], p)
	verdicts := []proof.Verdict{
		{Status: proof.ChallengeMatch}, {Status: proof.ChallengeNoMatch, Reason: proof.ReasonFaceMismatch},
		{Status: proof.ChallengeExpired, Reason: proof.ReasonTimeLimit}, {Status: proof.ChallengeFailed, Reason: proof.ReasonDeclined},
	}
	ways := map[string]struct {
		fn     func(s Store, read *proof.Challenge, v proof.Verdict) error
		refuse func(error) bool
	}{
		// All have read the same: only the version decides.
		"by version": {
			func(s Store, read *proof.Challenge, v proof.Verdict) error {
				c := *read
				if err := c.Finish(start, v); err != nil {
					return err
				}
				_, err := updateChallenge(t, s, &c)
				return err
			},
			func(err error) bool { return errors.Is(err, proof.ErrStale) },
		},
		// Each reads and writes in one transaction: whoever comes second sees the first.
		"in one transaction": {
			func(s Store, read *proof.Challenge, v proof.Verdict) error {
				return s.Update(t.Context(), func(tx journey.Tx) error {
					c, err := tx.Challenge("t1", read.ID)
					if err != nil {
						return err
					}
					if err := c.Finish(start, v); err != nil {
						return err
					}
					return tx.UpdateChallenge(c)
				})
			},
			func(err error) bool { return proof.CodeOf(err) == proof.CodeConflict },
		},
	}
	for _, competitors := range []int{2, 8} {
		for name, way := range ways {
			for round := range 8 {
				c := challenge(p)
				putChallenges(t, stores[0], c)
				errs := make([]error, competitors)
				gate := make(chan struct{})
				var wg sync.WaitGroup
				for i := range competitors {
					wg.Go(func() {
						<-gate
						errs[i] = way.fn(stores[i%2], c, verdicts[(i+round)%len(verdicts)])
					})
				}
				close(gate)
				wg.Wait()
				winner := -1
				for i, err := range errs {
					switch {
					case err == nil && winner < 0:
						winner = i
					case err == nil:
						t.Errorf("%s: %d and %d both won", name, winner, i)
					case !way.refuse(err):
						t.Errorf("%s: %v", name, err)
					}
				}
				if winner < 0 {
					t.Fatalf("%s: nobody won: %v", name, errs)
				}
				got := readChallenge(t, stores[0], c.ID)
				equal(t, name, []any{got.Status, got.Version}, []any{verdicts[(winner+round)%len(verdicts)].Status, int64(1)})
			}
		}
	}
}

// testSameKeyAtOnce lets many start a challenge with one idempotency key.
func testSameKeyAtOnce(t *testing.T, o Opener) {
	stores := []Store{open(t, o), open(t, o)}
	p := subject("t1")
	put(t, stores[0], p)
	const starters = 8
	for round := range 8 {
		key := fmt.Sprint("k", round)
		var inserted atomic.Int64
		ids := make([]string, starters)
		var wg sync.WaitGroup
		for i := range starters {
			s := stores[i%2]
			wg.Go(func() {
				won := false
				err := s.Update(t.Context(), func(tx journey.Tx) error {
					won = false
					c := challenge(p)
					c.IdempotencyKey = key
					err := tx.InsertChallenge(c)
					switch {
					case err == nil:
						won = true
					case errors.Is(err, proof.ErrStale): // then whose it is can be read at once
						if c, err = tx.ChallengeByIdempotencyKey("t1", "c", key); err != nil {
							return err
						}
					default:
						return err
					}
					ids[i] = c.ID
					return nil
				})
				if err != nil {
					t.Error(err)
				} else if won {
					inserted.Add(1)
				}
			})
		}
		wg.Wait()
		equal(t, "inserted", inserted.Load(), int64(1))
		for _, other := range ids {
			equal(t, "the challenge of the key", other, ids[0])
		}
	}
	view(t, stores[1], func(tx journey.Tx) error {
		all, err := tx.ChallengesOf("t1", p.ID)
		equal(t, "stored", len(all), 8)
		return err
	})
}

func hits(t *testing.T, s Store, tenant, limit string, key []byte, since time.Time) (n int) {
	t.Helper()
	view(t, s, func(tx journey.Tx) (err error) { n, err = tx.Hits(tenant, limit, key, since); return err })
	return n
}

func testHits(t *testing.T, o Opener) {
	s := open(t, o)
	a, b := []byte{0, 0xff, 'a'}, []byte("b")
	minute := start.Truncate(time.Minute) // start is inside it
	if !minute.Before(start) {
		t.Fatal("start is at the beginning of a minute")
	}
	equal(t, "none", hits(t, s, "t1", "caller", a, time.Time{}), 0)
	last := minute.Add(time.Minute - time.Nanosecond)
	hit := func(tenant, limit string, key []byte, at time.Time) {
		t.Helper()
		update(t, s, func(tx journey.Tx) error { return tx.Hit(tenant, limit, key, at) })
	}
	hit("t1", "caller", a, start)
	hit("t1", "caller", a, minute)
	hit("t1", "caller", a, last)
	hit("t1", "caller", a, minute.Add(time.Minute))
	hit("t1", "caller", a, minute.Add(-time.Nanosecond))
	// What the clock on the wall of the caller says does not matter.
	hit("t1", "caller", a, start.Add(time.Hour).In(time.FixedZone("", 5*3600+1800)))
	hit("t1", "caller", b, start)
	hit("t1", "subject", a, start)
	hit("t2", "caller", a, start)
	counts := func(when string, want map[time.Time]int) {
		t.Helper()
		for since, n := range want {
			equal(t, fmt.Sprint(when, " since ", since.Sub(minute)), hits(t, s, "t1", "caller", a, since), n)
		}
	}
	counts("all", map[time.Time]int{
		{}:                           6,
		minute.Add(-time.Hour):       6,
		minute.Add(-time.Nanosecond): 6, // the minute before counts as a whole
		minute:                       5,
		start:                        5, // also what was earlier in the same minute
		last:                         5,
		minute.Add(time.Minute):      2,
		minute.Add(2 * time.Minute):  1,
		start.Add(time.Hour):         1,
		start.Add(time.Hour).In(time.FixedZone("", -3600)): 1,
		start.Add(2 * time.Hour):                           0,
	})
	others := func(want int) {
		t.Helper()
		equal(t, "another key", hits(t, s, "t1", "caller", b, time.Time{}), want)
		equal(t, "another limit", hits(t, s, "t1", "subject", a, time.Time{}), want)
		equal(t, "another tenant", hits(t, s, "t2", "caller", a, time.Time{}), 1)
		equal(t, "a tenant without any", hits(t, s, "t3", "caller", a, time.Time{}), 0)
		equal(t, "a longer key", hits(t, s, "t1", "caller", append(a[:3:3], 0), time.Time{}), 0)
	}
	others(1)

	purge := func(before time.Time, want int) {
		t.Helper()
		var n int
		update(t, s, func(tx journey.Tx) (err error) { n, err = tx.PurgeHits("t1", before); return err })
		equal(t, "purged", n, want)
	}
	purge(minute.Add(-time.Minute), 0)
	purge(last, 1) // the minute of last itself has not passed
	counts("purged once", map[time.Time]int{{}: 5, minute: 5})
	others(1)
	purge(minute.Add(time.Minute), 3) // ours, b's and that of the other limit
	counts("purged twice", map[time.Time]int{{}: 2, minute.Add(time.Minute): 2})
	others(0)
	purge(minute.Add(time.Minute), 0)
	hit("t1", "caller", a, start)
	counts("counted anew", map[time.Time]int{start: 3})

	// In a transaction, one sees one's own; one that fails leaves none.
	mine := errors.New("mine")
	err := s.Update(t.Context(), func(tx journey.Tx) error {
		for range 3 {
			if err := tx.Hit("t1", "caller", a, start); err != nil {
				return err
			}
		}
		n, err := tx.Hits("t1", "caller", a, start)
		equal(t, "one's own", n, 6)
		return errors.Join(err, mine)
	})
	is(t, "failing", err, mine)
	counts("after a failure", map[time.Time]int{start: 3})

	for what, err := range map[string]error{
		"hit":  s.Update(t.Context(), func(tx journey.Tx) error { return tx.Hit("t1", "caller", nil, start) }),
		"hits": s.View(t.Context(), func(tx journey.Tx) error { _, err := tx.Hits("t1", "caller", nil, start); return err }),
	} {
		if err == nil {
			t.Errorf("%s without a key", what)
		}
	}
	if err := s.Update(t.Context(), func(tx journey.Tx) error { return tx.Hit("", "caller", a, start) }); err == nil {
		t.Error("a hit of no tenant")
	}
}

// testHitsAtOnce counts on one and the same row from two handles. Every third
// update fails, and with it goes its hit and nobody else's.
func testHitsAtOnce(t *testing.T, o Opener) {
	stores := []Store{open(t, o), open(t, o)}
	key, mine := []byte("key"), errors.New("mine")
	const workers, each = 24, 10
	var counted atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		s := stores[w%2]
		wg.Go(func() {
			for i := 0; i < each; i++ {
				err := s.Update(t.Context(), func(tx journey.Tx) error {
					if err := tx.Hit("t1", "caller", key, start); err != nil {
						return err
					}
					if (w+i)%3 == 0 {
						return mine
					}
					return nil
				})
				switch {
				case err == nil:
					counted.Add(1)
				case err == mine && (w+i)%3 == 0:
				case proof.CodeOf(err) == proof.CodeUnavailable: // gave up after many collisions: counted nothing
					i--
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	equal(t, "acknowledged", counted.Load(), int64(workers*each*2/3))
	equal(t, "stored", hits(t, stores[0], "t1", "caller", key, start), int(counted.Load()))
}

// testLimitHolds lets many ask whether they are within a limit, and count
// themselves if they are, at once. No more pass than the limit allows.
func testLimitHolds(t *testing.T, o Opener) {
	stores := []Store{open(t, o), open(t, o)}
	const limit, callers = 5, 24
	for round := range 3 {
		key := fmt.Append(nil, "key", round)
		var passed atomic.Int64
		var wg sync.WaitGroup
		for w := range callers {
			s := stores[w%2]
			wg.Go(func() {
				allowed := false
				err := s.Update(t.Context(), func(tx journey.Tx) error {
					n, err := tx.Hits("t1", "subject", key, start.Add(-time.Hour))
					if allowed = err == nil && n < limit; !allowed {
						return err
					}
					return tx.Hit("t1", "subject", key, start)
				})
				switch {
				case err == nil && allowed:
					passed.Add(1)
				case err != nil && proof.CodeOf(err) != proof.CodeUnavailable:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		equal(t, "passed", passed.Load(), int64(limit))
		equal(t, "counted", hits(t, stores[0], "t1", "subject", key, start), limit)
	}
}

func testChallengeText(t *testing.T, o Opener) {
	s := open(t, o)
	p := subject("t1")
	put(t, s, p)
	kept := challenge(p)
	putChallenges(t, s, kept)
	for _, bad := range []string{"nul\x00", "\xff\xfe", "\x00", "\xed\xa0\x80"} {
		key, reason, status, decision := challenge(p), challenge(p), *kept, *kept
		key.IdempotencyKey, reason.Reason, status.Status, decision.DecisionID = bad, proof.Reason(bad), proof.ChallengeStatus(bad), bad
		for what, fn := range map[string]func(journey.Tx) error{
			"key":       func(tx journey.Tx) error { return tx.InsertChallenge(key) },
			"reason":    func(tx journey.Tx) error { return tx.InsertChallenge(reason) },
			"status":    func(tx journey.Tx) error { return tx.UpdateChallenge(&status) },
			"decision":  func(tx journey.Tx) error { return tx.UpdateChallenge(&decision) },
			"id":        func(tx journey.Tx) error { _, err := tx.Challenge("t1", bad); return err },
			"tenant of": func(tx journey.Tx) error { _, err := tx.TenantOfChallenge(bad); return err },
			"by key":    func(tx journey.Tx) error { _, err := tx.ChallengeByIdempotencyKey("t1", "c", bad); return err },
			"subject":   func(tx journey.Tx) error { _, err := tx.ChallengesOf("t1", bad); return err },
			"hit":       func(tx journey.Tx) error { return tx.Hit("t1", bad, []byte("k"), start) },
			"hits":      func(tx journey.Tx) error { _, err := tx.Hits("t1", bad, []byte("k"), start); return err },
			"purge":     func(tx journey.Tx) error { _, err := tx.PurgeHits(bad, start); return err },
		} {
			equal(t, what, proof.CodeOf(s.Update(t.Context(), fn)), proof.CodeInvalid)
		}
	}
	equal(t, "afterwards", readChallenge(t, s, kept.ID), kept)
	// Bytes are not text: whatever they are, they come back.
	odd := challenge(p)
	odd.RequestHash, odd.Link.HandoverHash = []byte{0, 0xff}, []byte{0}
	putChallenges(t, s, odd)
	view(t, s, func(tx journey.Tx) error {
		got, err := tx.ChallengeByHandover([]byte{0})
		equal(t, "odd bytes", got, odd)
		return err
	})
	update(t, s, func(tx journey.Tx) error { return tx.Hit("t1", "caller", []byte("k\x00\xff"), start) })
	equal(t, "odd key", hits(t, s, "t1", "caller", []byte("k\x00\xff"), start), 1)
}
