package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/store/pgtest"
)

// A database that an earlier version made, with somebody in it and something
// counted, is taken along.
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
				if err := errors.Join(err, s.Close()); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

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
	bytes := map[string]string{"sqlite": "CAST('%s' AS BLOB)", "postgres": "'%s'::bytea"}[dir]
	_, err = db.ExecContext(ctx, `INSERT INTO subjects (tenant, id, wrapped_key, created_at, erased_at) VALUES ('t', 's', `+fmt.Sprintf(bytes, "key")+`, 1, 0)`)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, fmt.Sprintf(`INSERT INTO hits (tenant, limit_name, key_hash, minute, count) VALUES ('t', 'l', `+bytes+`, %d, 40)`, "k", minute(start)))
	return err
}
