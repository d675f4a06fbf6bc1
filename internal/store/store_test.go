package store_test

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/kosmoscope/kosmoscope/internal/store"
	"github.com/kosmoscope/kosmoscope/internal/store/pgtest"
	"github.com/kosmoscope/kosmoscope/internal/store/storetest"
)

// The tests of a suite run beside each other, each on its own copy of one empty
// database: all migrations for each would take longer than the tests.

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Opener {
		t.Parallel()
		// A path with all that means something in a URL.
		path := filepath.Join(t.TempDir(), "a b?c#d%41&e.db")
		if !aboutMigrating(t) {
			copyFile(t, path)
		}
		return opener(t, "sqlite:"+path)
	})
}

func TestPostgres(t *testing.T) {
	template := pgtest.URL(t)
	if err := opener(t, template)().Close(); err != nil {
		t.Fatal(err)
	}
	storetest.Run(t, func(t *testing.T) storetest.Opener {
		t.Parallel()
		if aboutMigrating(t) {
			return opener(t, pgtest.URL(t))
		}
		return opener(t, copyDatabase(t, template)+"&pool_min_conns=0") // most tests need few of its connections
	})
}

// aboutMigrating is whether the test begins without a schema.
func aboutMigrating(t *testing.T) bool { return strings.HasSuffix(t.Name(), "/Migrate") }

// migrated is the content of a database file in which nothing is.
var migrated = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "store")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "k.db")
	s, err := store.OpenSQLite(context.Background(), path)
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil { // which folds the log into the file
		return nil, err
	}
	return os.ReadFile(path)
})

func copyFile(t *testing.T, path string) {
	t.Helper()
	content, err := migrated()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// copyDatabase copies a database to which nobody is connected, and returns the URL of
// the copy, which goes when the test ends.
func copyDatabase(t *testing.T, template string) string {
	t.Helper()
	u, err := url.Parse(template)
	if err != nil {
		t.Fatal(err)
	}
	from := strings.TrimPrefix(u.Path, "/")
	name := from + "_" + strings.ReplaceAll(uuid.NewString(), "-", "")[:12]
	admin := *u
	admin.Path = "/postgres"
	do := func(statement string) {
		t.Helper()
		conn, err := pgx.Connect(context.Background(), admin.String())
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close(context.Background())
		if _, err := conn.Exec(context.Background(), statement); err != nil {
			t.Error(err)
		}
	}
	do("CREATE DATABASE " + name + " TEMPLATE " + from)
	t.Cleanup(func() { do("DROP DATABASE " + name + " WITH (FORCE)") })
	u.Path = "/" + name
	return u.String()
}

func opener(t *testing.T, dsn string) storetest.Opener {
	return func() storetest.Store {
		s, err := store.Open(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}
