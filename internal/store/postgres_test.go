package store

import (
	"context"
	"errors"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/store/pgtest"
)

// However many write, and however much is done for which nobody waits, whoever
// reads finds a connection.
func TestTurns(t *testing.T) {
	s, err := Open(t.Context(), pgtest.URL(t)+"&pool_max_conns=3")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	db := s.db.(*postgresDB)
	for name, c := range map[string]struct {
		ctx  context.Context
		most int
		turn []chan struct{}
	}{
		"writers":  {t.Context(), 2, []chan struct{}{db.writers}},
		"jobs":     {journey.WithoutHurry(t.Context()), 1, nil},
		"both":     {journey.WithoutHurry(t.Context()), 1, []chan struct{}{db.writers}},
		"whatever": {t.Context(), 3, nil},
	} {
		for range 2 { // the second time, the turns of the first were given back
			var held []*postgresTx
			for range c.most {
				p, err := db.begin(c.ctx, "", c.turn...)
				if err != nil {
					t.Fatal(name, err)
				}
				held = append(held, p)
			}
			waiting, cancel := context.WithCancel(c.ctx)
			next := make(chan error)
			go func() {
				p, err := db.begin(waiting, "", c.turn...)
				if err == nil {
					p.end()
				}
				next <- err
			}()
			if c.most < 3 {
				err = s.View(t.Context(), func(tx journey.Tx) error { _, err := tx.Hits("t", "l", []byte("k"), start); return err })
				if err != nil {
					t.Error(name, err)
				}
			}
			cancel()
			if err := <-next; !errors.Is(err, context.Canceled) {
				t.Errorf("%s: one more than %d: %v", name, c.most, err)
			}
			for _, p := range held {
				p.end()
			}
		}
	}
}

// What is sent later is there for the next statement, and gone if the transaction
// fails.
func TestLater(t *testing.T) {
	s, err := Open(t.Context(), pgtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	key := []byte("k")
	err = s.Update(t.Context(), func(tx journey.Tx) error {
		if err := errors.Join(tx.Hit("t", "l", key, start), tx.Hit("t", "l", key, start)); err != nil {
			return err
		}
		n, err := tx.Hits("t", "l", key, start)
		if n != 2 {
			t.Errorf("%d counted, not 2", n)
		}
		return errors.Join(err, tx.Hit("t", "l", key, start))
	})
	if err != nil {
		t.Fatal(err)
	}
	mine := errors.New("mine")
	for name, update := range map[string]func(tx journey.Tx) error{
		"nothing": func(journey.Tx) error { return nil },
		"failed":  func(tx journey.Tx) error { return errors.Join(tx.Hit("t", "l", key, start), mine) },
	} {
		if err := s.Update(t.Context(), update); err != nil && !errors.Is(err, mine) {
			t.Errorf("%s: %v", name, err)
		}
	}
	err = s.View(t.Context(), func(tx journey.Tx) error {
		n, err := tx.Hits("t", "l", key, start)
		if n != 3 {
			t.Errorf("%d counted, not 3", n)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
