// Package store keeps the domain in one SQL database: SQLite in the one binary,
// PostgreSQL when scaled. It implements journey.Store, decide.Store, console.Store,
// federation.Store and jobs.Queue, once for both; what differs between the two (how a
// transaction is had, two words of SQL, which error means what) is in sqlite.go and
// postgres.go.
// internal/store/storetest is the suite that holds both to the contract.
//
// SQLite runs in WAL mode with synchronous=FULL. One goroutine owns the one
// connection that writes and folds the updates that wait into one commit:
//
//	Update ──▶ queue ──▶ BEGIN IMMEDIATE
//	                     SAVEPOINT, fn, RELEASE     (fn failed: ROLLBACK TO; its
//	                     SAVEPOINT, fn, RELEASE      neighbours do not notice)
//	                     …
//	                     COMMIT (one fsync) ──▶ every Update returns
//
// Other processes may have the same file open; they wait for each other up to
// the busy timeout.
//
// PostgreSQL runs updates as serializable transactions and repeats them when the
// server says that they collided, so that in both databases fn sees a world in
// which nobody else is at work. A transaction takes few messages: BEGIN goes with
// the first statement, and what nobody waits for with the next one or with COMMIT.
//
//	Update ──▶ writers (2/3) ─────────────────────┐
//	View ─────────────────────────────────────────┼──▶ connections, open beforehand
//	jobs ────▶ nobody waits (1/3) ─▶ as the above ┘
//
// Times are stored as microseconds, UTC; what is finer is cut off.
package store
