// Package console is the operator's window: sign-in by a one-time link, the pages that
// web/console builds, and the API under /console/api/ that they call. What it shows and
// changes is behind the ports Risk, Hooks and Deliveries; it decides nothing about logins
// itself. Clients of door B it changes in the store, as a document: what is wrong with
// one is federation's to say, and so is who may sign in.
//
// A viewer reads, tries and replays; what changes something, and what is personal in
// events and deliveries, is for operators. Secrets that are made here are in the answer
// that makes them, and in none after it.
//
// A browser is let in by a link that the command line makes. The secret of the link is
// in its fragment, which browsers keep to themselves: it is in no log of a proxy, and a
// scanner of mail or a preview that opens the address takes nothing.
//
//	kosmoscope console link ──▶ link ──15 min──▶ gone
//	                             │
//	              GET /console/in, a page with a button; nothing happens yet
//	                             │ POST /console/in: taken, in one transaction
//	                             ▼
//	                          session ──1 h unused, 12 h in all──▶ over
//	                             │
//	                             └──POST /console/api/signout──▶ over
//
// Links and sessions are known to the store by the hashes of their secrets alone. Who
// has a session and wants to change something also shows a token that is derived from
// the cookie (X-Kosmoscope-Csrf), and comes from our own origin.
//
// A replay, or a dry run of rules, runs in this process, and its result stays here for a while:
//
//	POST …/replay, …/rules/dryrun ──▶ running ──▶ finished ──10 min──▶ forgotten
//	                                     │            │
//	                                     └──DELETE, sign-out, Close──▶ forgotten
//
// So where several processes serve one console, a browser has to stay with one of them.
package console
