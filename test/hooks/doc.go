// Package hooks tests door C as strangers do to it: processes that die by kill -9 while
// events come in and actions go out.
//
//	senders ──events, until answered 200──▶ child: Accept ─▶ SQLite ─▶ jobs ─▶ actions ──▶ receiver
//	                                          ▲
//	killer ──kill -9 at random, start again───┘
//
// The child is this test program itself, started again. The short form has 2,000 events
// and runs with the other tests; go test ./test/hooks -events 100000 -kills 300 is the
// long one.
package hooks
