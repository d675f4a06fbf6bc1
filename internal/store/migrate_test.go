package store

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/store/pgtest"
)

// A database that the first version made, with somebody in it, is taken along.
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
			if err := first(t.Context(), c.driver, c.dialect, name, raw); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second time there is nothing to do
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
					err = tx.InsertChallenge(&proof.Challenge{ID: "c", Tenant: "t", Subject: "s"})
					if errors.Is(err, proof.ErrStale) {
						err = nil // from the first time
					}
					return errors.Join(err, tx.Hit("t", "l", []byte("k"), start))
				})
				if err := errors.Join(err, s.Close()); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// first does what the first version did.
func first(ctx context.Context, driver string, d goose.Dialect, dir, raw string) (err error) {
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
	if _, err := p.UpTo(ctx, 1); err != nil {
		return err
	}
	key := map[string]string{"sqlite": "CAST('key' AS BLOB)", "postgres": "'key'::bytea"}[dir]
	_, err = db.ExecContext(ctx, `INSERT INTO subjects (tenant, id, wrapped_key, created_at, erased_at) VALUES ('t', 's', `+key+`, 1, 0)`)
	return err
}
