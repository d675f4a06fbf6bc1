package storetest

import (
	"bytes"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/console"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// ConsoleStore is a Store that the console works with, too.
type ConsoleStore interface {
	Store
	console.Store
}

// RunConsole is the part of the suite that is about the console; fresh is as in Run.
func RunConsole(t *testing.T, fresh func(*testing.T) func() ConsoleStore) {
	tests := map[string]func(*testing.T, func() ConsoleStore){
		"Links":         testLinks,
		"LinkTakenOnce": testLinkTakenOnce,
		"LinkTakenBack": testLinkTakenBack,
		"Sessions":      testSessions,
		"Purge":         testPurgeConsole,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(t, fresh(t)) })
	}
}

func openConsole(t *testing.T, o func() ConsoleStore) ConsoleStore {
	t.Helper()
	s := o()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func hashed(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func consoleLink(b byte) *console.Link {
	return &console.Link{ID: id(), Hash: hashed(b), Role: console.Operator, Name: "Ada Ł.", CreatedAt: start, ExpiresAt: start.Add(time.Minute)}
}

func consoleSession(b byte) *console.Session {
	return &console.Session{
		ID: id(), Hash: hashed(b), Role: console.Viewer, Name: "Ada Ł.",
		CreatedAt: start, ExpiresAt: start.Add(time.Hour), SeenAt: start.Add(time.Second),
	}
}

func updateConsole(t *testing.T, s ConsoleStore, fn func(console.Tx) error) {
	t.Helper()
	ok(t, s.UpdateConsole(t.Context(), fn))
}

// take takes a link in a transaction of its own.
func take(t *testing.T, s ConsoleStore, hash []byte, at time.Time) (l *console.Link, err error) {
	err = s.UpdateConsole(t.Context(), func(tx console.Tx) (err error) { l, err = tx.TakeLink(hash, at); return err })
	return l, err
}

func session(t *testing.T, s ConsoleStore, hash []byte) (got *console.Session, err error) {
	err = s.ViewConsole(t.Context(), func(tx console.Tx) (err error) { got, err = tx.Session(hash); return err })
	return got, err
}

func testLinks(t *testing.T, o func() ConsoleStore) {
	s := openConsole(t, o)
	a, b := consoleLink('a'), consoleLink('b')
	b.Role = console.Viewer
	updateConsole(t, s, func(tx console.Tx) error { return errors.Join(tx.InsertLink(a), tx.InsertLink(b)) })
	is(t, "same hash", s.UpdateConsole(t.Context(), func(tx console.Tx) error { return tx.InsertLink(consoleLink('a')) }), proof.ErrStale)

	for what, hash := range map[string][]byte{"unknown": hashed('c'), "empty": {}, "none": nil} {
		_, err := take(t, s, hash, start)
		is(t, what, err, proof.ErrNotFound)
	}
	_, err := take(t, s, a.Hash, a.ExpiresAt)
	is(t, "at its end", err, proof.ErrNotFound)
	if err := s.ViewConsole(t.Context(), func(tx console.Tx) error { _, err := tx.TakeLink(a.Hash, start); return err }); err == nil {
		t.Error("a link was taken in a view")
	}
	got, err := take(t, s, a.Hash, a.ExpiresAt.Add(-time.Microsecond))
	ok(t, err)
	equal(t, "taken", got, a)
	_, err = take(t, s, a.Hash, start)
	is(t, "again", err, proof.ErrNotFound)
	got, err = take(t, s, b.Hash, start)
	ok(t, err)
	equal(t, "the other", got, b)

	short := consoleLink('d')
	short.Hash = short.Hash[:31]
	if err := s.UpdateConsole(t.Context(), func(tx console.Tx) error { return tx.InsertLink(short) }); err == nil {
		t.Error("a hash that is too short was stored")
	}
}

// Two handles, as two processes have them.
func testLinkTakenOnce(t *testing.T, o func() ConsoleStore) {
	stores := []ConsoleStore{openConsole(t, o), openConsole(t, o)}
	for range 5 {
		updateConsole(t, stores[0], func(tx console.Tx) error { return tx.InsertLink(consoleLink('a')) })
		var taken atomic.Int32
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				switch _, err := take(t, stores[i%2], hashed('a'), start); {
				case err == nil:
					taken.Add(1)
				case !errors.Is(err, proof.ErrNotFound):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		equal(t, "how often it was taken", taken.Load(), int32(1))
	}
}

// What was taken in a transaction that came to nothing is still there.
func testLinkTakenBack(t *testing.T, o func() ConsoleStore) {
	s := openConsole(t, o)
	updateConsole(t, s, func(tx console.Tx) error { return tx.InsertLink(consoleLink('a')) })
	mine := errors.New("mine")
	is(t, "failed", s.UpdateConsole(t.Context(), func(tx console.Tx) error {
		if _, err := tx.TakeLink(hashed('a'), start); err != nil {
			return err
		}
		return mine
	}), mine)
	_, err := take(t, s, hashed('a'), start)
	ok(t, err)
}

func testSessions(t *testing.T, o func() ConsoleStore) {
	s := openConsole(t, o)
	a, b := consoleSession('a'), consoleSession('b')
	updateConsole(t, s, func(tx console.Tx) error { return errors.Join(tx.InsertSession(a), tx.InsertSession(b)) })
	is(t, "same hash", s.UpdateConsole(t.Context(), func(tx console.Tx) error { return tx.InsertSession(consoleSession('a')) }), proof.ErrStale)
	got, err := session(t, s, a.Hash)
	ok(t, err)
	equal(t, "session", got, a)
	for what, hash := range map[string][]byte{"unknown": hashed('c'), "empty": {}, "none": nil} {
		_, err := session(t, s, hash)
		is(t, what, err, proof.ErrNotFound)
	}

	later := start.Add(time.Minute)
	touch := func(hash []byte, at time.Time) {
		t.Helper()
		updateConsole(t, s, func(tx console.Tx) error { return tx.TouchSession(hash, at) })
	}
	touch(a.Hash, later)
	touch(a.Hash, start) // a clock that is behind
	touch(hashed('c'), later)
	got, err = session(t, s, a.Hash)
	ok(t, err)
	equal(t, "seen", got.SeenAt, later)
	got, err = session(t, s, b.Hash)
	ok(t, err)
	equal(t, "the other was not touched", got, b)

	updateConsole(t, s, func(tx console.Tx) error { return errors.Join(tx.DropSession(a.Hash), tx.DropSession(hashed('c'))) })
	_, err = session(t, s, a.Hash)
	is(t, "dropped", err, proof.ErrNotFound)
	_, err = session(t, s, b.Hash)
	ok(t, err)

	updateConsole(t, s, func(tx console.Tx) error {
		return tx.InsertAudit(&proof.AuditRecord{ID: id(), Tenant: "t1", At: start, Actor: "operator", Action: "console.signed_out", Object: "console:" + b.ID})
	})
	view(t, s, func(tx journey.Tx) error {
		trail, err := tx.AuditOf("t1", "console:"+b.ID)
		equal(t, "audit records", len(trail), 1)
		return err
	})
}

func testPurgeConsole(t *testing.T, o func() ConsoleStore) {
	s := openConsole(t, o)
	updateConsole(t, s, func(tx console.Tx) error {
		old, young := consoleLink('a'), consoleLink('b')
		past, present := consoleSession('a'), consoleSession('b')
		old.ExpiresAt, past.ExpiresAt = start, start
		young.ExpiresAt, present.ExpiresAt = start.Add(time.Microsecond), start.Add(time.Microsecond)
		return errors.Join(tx.InsertLink(old), tx.InsertLink(young), tx.InsertSession(past), tx.InsertSession(present), tx.PurgeConsole(start.Add(time.Microsecond)))
	})
	_, err := session(t, s, hashed('a'))
	is(t, "a session that ended", err, proof.ErrNotFound)
	_, err = session(t, s, hashed('b'))
	ok(t, err)
	_, err = take(t, s, hashed('a'), start.Add(-time.Hour))
	is(t, "a link that ended", err, proof.ErrNotFound)
	_, err = take(t, s, hashed('b'), start)
	ok(t, err)
}
