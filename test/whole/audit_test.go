package whole_test

import (
	"database/sql"
	"slices"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // driver pgx
	_ "modernc.org/sqlite"             // driver sqlite
)

// sql asks the store of a world for the first column of some rows.
func (w *world) sql(query string, args ...any) []string {
	w.t.Helper()
	return w.sqlOf(w.store, query, args...)
}

func (w *world) sqlOf(store, query string, args ...any) (all []string) {
	w.t.Helper()
	driver, source := "pgx", store
	if path, ok := strings.CutPrefix(store, "sqlite:"); ok {
		driver, source = "sqlite", "file:"+path+"?mode=ro&_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(w.t.Context(), query, args...)
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			w.t.Fatal(err)
		}
		all = append(all, s)
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	return all
}

// audited sees that exactly these things happened to a verification, each once.
func (w *world) audited(id string, want ...string) {
	w.t.Helper()
	w.trail("verification:"+id, want...)
}

func (w *world) trail(object string, want ...string) {
	w.t.Helper()
	got := w.sql("SELECT action FROM audit WHERE object = $1 ORDER BY at, id", object)
	if !slices.Equal(got, want) {
		w.t.Errorf("audit trail of %s: %v; want %v", object, got, want)
	}
}

// endings counts the records that say that a verification ended.
func (w *world) endings(t *testing.T, id string) int {
	t.Helper()
	n := 0
	for _, action := range w.sql("SELECT action FROM audit WHERE object = $1", "verification:"+id) {
		if terminal(strings.TrimPrefix(action, "verification.")) {
			n++
		}
	}
	return n
}
