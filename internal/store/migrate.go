package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"time"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/sqlite/*.sql migrations/postgres/*.sql
var migrations embed.FS

// migrate brings the schema up to date. Several processes may do so at once: a
// unique index on the recorded versions lets only one of them win each step, as
// a whole; the others try again and find it done.
func migrate(ctx context.Context, db *sql.DB, d goose.Dialect, dir string) error {
	files, err := fs.Sub(migrations, "migrations/"+dir)
	if err != nil {
		return err
	}
	const tries = 6
	for i := range tries {
		if i > 0 {
			select {
			case <-time.After(50 * time.Millisecond << i):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		var p *goose.Provider
		if p, err = goose.NewProvider(d, db, files, goose.WithDisableGlobalRegistry(true)); err != nil {
			return fmt.Errorf("migrations: %w", err)
		}
		if _, err = p.Up(ctx); err == nil {
			return nil
		}
	}
	return fmt.Errorf("migrating the schema: %w", err)
}
