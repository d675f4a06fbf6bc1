package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/store/pgtest"
)

// A database that an earlier version made, with somebody and what was begun for them
// in it, something counted, and events, is taken along.
func TestUpgrade(t *testing.T) {
	for name, c := range map[string]struct {
		driver  string
		dialect goose.Dialect
		prepare func(*testing.T) (dsn, raw string)
	}{
		"sqlite": {"sqlite", goose.DialectSQLite3, func(t *testing.T) (string, string) {
			path := filepath.Join(t.TempDir(), "k.db")
			return "sqlite:" + path, path
		}},
		"postgres": {"pgx", goose.DialectPostgres, func(t *testing.T) (string, string) { u := pgtest.URL(t); return u, u }},
	} {
		t.Run(name, func(t *testing.T) {
			dsn, raw := c.prepare(t)
			if err := earlier(t.Context(), c.driver, c.dialect, name, raw); err != nil {
				t.Fatal(err)
			}
			for i := range 2 { // the second time there is nothing to do
				s, err := Open(t.Context(), dsn)
				if err != nil {
					t.Fatal(err)
				}
				err = s.Update(t.Context(), func(tx journey.Tx) error {
					p, err := tx.Subject("t", "s")
					if err != nil {
						return err
					}
					if string(p.WrappedKey) != "key" {
						t.Errorf("the key of the subject: %q", p.WrappedKey)
					}
					old, err := tx.Challenge("t", "old")
					if err != nil {
						return err
					}
					if old.Status != proof.ChallengePending || old.Version != 7 || old.External.Status != "" || old.External.Sealed != nil || old.SessionHash != "" {
						t.Errorf("the challenge that was there: %+v", old)
					}
					before, err := tx.Verification("t", "old")
					if err != nil {
						return err
					}
					if before.Status != proof.Verified || before.Version != 5 || before.External.Status != "" || before.External.Attempts != 0 ||
						!before.External.AskedAt.IsZero() || before.External.Sealed != nil || before.Upstream.SessionHash != "" {
						t.Errorf("the verification that was there: %+v", before)
					}
					err = tx.InsertChallenge(&proof.Challenge{ID: "c", Tenant: "t", Subject: "s"})
					if errors.Is(err, proof.ErrStale) {
						err = nil // from the first time
					}
					err = errors.Join(err, tx.Hit("t", "l", []byte("k"), start))
					n, e := tx.Hits("t", "l", []byte("k"), start)
					if n != 41+i {
						t.Errorf("%d counted, not 40 and those since", n)
					}
					return errors.Join(err, e)
				})
				err = errors.Join(err, s.UpdateHooks(t.Context(), func(tx hooks.Tx) error { return forgetsEarlier(t, tx, i) }))
				if err := errors.Join(err, s.Close()); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// forgetsEarlier forgets one of the people in events that were there, each time another.
func forgetsEarlier(t *testing.T, tx hooks.Tx, i int) error {
	n, err := tx.ForgetEvents("t", earlierLookup(i))
	if n != 1 {
		t.Errorf("%d of the events that were there were forgotten, not one", n)
	}
	if err != nil {
		return err
	}
	for k := range 2 {
		e, err := tx.Event("t", fmt.Sprint("event", k))
		if err != nil {
			return err
		}
		if k <= i && (e.Sealed != nil || e.Lookups != nil) || k > i && string(e.Sealed) != "sealed" || e.Action != "UserCreated" || e.Rules != 4 {
			t.Errorf("event %d after %d were forgotten: %+v", k, i+1, e)
		}
	}
	n, err = tx.InsertEvents("t", []*hooks.Event{{ID: "again", Tenant: "t", Hash: earlierHash(i), Sealed: []byte("x")}})
	if n != 0 {
		t.Error("what was told before is new")
	}
	return err
}

func earlierLookup(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, 'A') }

func earlierHash(i int) []byte { return bytes.Repeat([]byte{byte('h' + i)}, 32) }

// earlier does what the versions before 3 did.
func earlier(ctx context.Context, driver string, d goose.Dialect, dir, raw string) (err error) {
	db, err := sql.Open(driver, raw)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	files, err := fs.Sub(migrations, "migrations/"+dir)
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(d, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	if _, err := p.UpTo(ctx, 2); err != nil {
		return err
	}
	blob := map[string]string{"sqlite": "CAST('%s' AS BLOB)", "postgres": "'%s'::bytea"}[dir]
	_, err = db.ExecContext(ctx, `INSERT INTO subjects (tenant, id, wrapped_key, created_at, erased_at) VALUES ('t', 's', `+fmt.Sprintf(blob, "key")+`, 1, 0)`)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, `INSERT INTO challenges (tenant, id, version, caller, subject, status, reason, callback_url, decision_id, idempotency_key,
		link_expires_at, handover_expires_at, backend, session_ends, sessions, basis, liveness, poll_failures, created_at, expires_at, finished_at, purged_at)
		VALUES ('t', 'old', 7, 'c', 's', 'pending', '', '', '', '', 0, 0, 'uwl', 0, 1, '', '', 0, 1, 2, 0, 0)`)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, `INSERT INTO verifications (tenant, id, version, caller, subject, named, status, reason, document_types, document_type, liveness,
		callback_url, idempotency_key, link_expires_at, handover_expires_at, upstream_profile, upstream_session, upstream_dvc, ial_level, ial_source, ial_expires_at,
		poll_failures, level_tries, created_at, consent_at, expires_at, finished_at, purged_at)
		VALUES ('t', 'old', 5, 'c', 's', `+map[string]string{"sqlite": "1", "postgres": "TRUE"}[dir]+`, 'verified', '', '["passport"]', 'passport', 'active',
		'', '', 0, 0, 'blockid', 'up', 'dvc', '', '', 0, 0, 0, 1, 2, 3, 4, 0)`)
	if err != nil {
		return err
	}
	if _, err = db.ExecContext(ctx, fmt.Sprintf(`INSERT INTO hits (tenant, limit_name, key_hash, minute, count) VALUES ('t', 'l', `+blob+`, %d, 40)`, "k", minute(start))); err != nil {
		return err
	}
	// And those before 11.
	if _, err := p.UpTo(ctx, 10); err != nil {
		return err
	}
	for i := range 2 {
		// 'A' is the length of what follows.
		_, err := db.ExecContext(ctx, fmt.Sprintf(`INSERT INTO hooks_events (tenant, id, hash, source, action, occurred_at, received_at, state, reason, rules, lookups, sealed)
			VALUES ('t', 'event%d', `+blob+`, 'webhook', 'UserCreated', 1, 2, 'done', '', 4, `+blob+`, `+blob+`)`, i, earlierHash(i), "A"+string(earlierLookup(i)), "sealed"))
		if err != nil {
			return err
		}
		_, err = db.ExecContext(ctx, fmt.Sprintf(`INSERT INTO hooks_lookups (tenant, lookup, event) VALUES ('t', `+blob+`, 'event%d')`, earlierLookup(i), i))
		if err != nil {
			return err
		}
	}
	return nil
}
