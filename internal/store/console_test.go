package store_test

import (
	"path/filepath"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/store"
	"github.com/kosmoscope/kosmoscope/internal/store/pgtest"
	"github.com/kosmoscope/kosmoscope/internal/store/storetest"
)

func TestConsoleSQLite(t *testing.T) {
	storetest.RunConsole(t, func(t *testing.T) func() storetest.ConsoleStore {
		return consoleOpener(t, "sqlite:"+filepath.Join(t.TempDir(), "c.db"))
	})
}

func TestConsolePostgres(t *testing.T) {
	storetest.RunConsole(t, func(t *testing.T) func() storetest.ConsoleStore { return consoleOpener(t, pgtest.URL(t)) })
}

func consoleOpener(t *testing.T, dsn string) func() storetest.ConsoleStore {
	return func() storetest.ConsoleStore {
		s, err := store.Open(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}
