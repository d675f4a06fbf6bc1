package store_test

import (
	"path/filepath"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/store"
	"github.com/kosmoscope/kosmoscope/internal/store/pgtest"
	"github.com/kosmoscope/kosmoscope/internal/store/storetest"
)

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Opener {
		// A path with all that means something in a URL.
		path := filepath.Join(t.TempDir(), "a b?c#d%41&e.db")
		return opener(t, "sqlite:"+path)
	})
}

func TestPostgres(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Opener { return opener(t, pgtest.URL(t)) })
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
