// Package hooks tests door C as strangers do to it: what is lost, doubled or held up when
// something breaks.
//
// By kill -9 at random points (crash_test.go):
//
//	senders ──events, until answered 200──▶ child: Accept ─▶ SQLite ─▶ jobs ─▶ actions ──▶ receiver
//	                                          ▲
//	killer ──kill -9 at random, start again───┘
//
// The child is this test program itself, started again. The short form has 2,000 events
// and runs with the other tests; go test ./test/hooks -events 100000 -kills 300 is the
// long one.
//
// By faults of what is around the built program (bridge_test.go), over HTTP:
//
//	events ──▶ kosmoscope serve ──┬──▶ local Descope    away, 429, and our own kill -9    outage_test.go
//	 noise, 50 MB (noisy, body)   ├──▶ local 1Kosmos    away, answers that are lost       kosmos_test.go
//	                              ├──▶ endpoints        one of them hangs                 hanging_test.go
//	                              └──▶ SQLite on a full disk, PostgreSQL that is stopped  disk, postgres
//
// The noisy tenant has 20,000 events in the short form, and a million in the long one: go
// test ./test/hooks -run Noisy -noisy 1000000 -timeout 2h.
//
// And by faults that last for hours, or are of the clock: the same parts connected as the
// program connects them, with a network in memory, within a bubble of testing/synctest
// (graph_test.go; away, clock, kosmos, outage).
package hooks
