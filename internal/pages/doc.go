// Package pages is what an end user sees of ours: the hand-off page, which
// session_url opens, the challenge page, which challenge_url opens, and the
// pages that say what went wrong. It shows what journey says, passes on what the
// person decides, and decides nothing itself; least of all does it answer a
// challenge.
//
// Both pages are a [room] behind a [door]: handoff.go and challenge.go say what
// each shows and passes on, door.go has what they share: letting a browser in,
// the page and its status, forms, the link for a phone. A page is in one of a few
// steps, and a browser moves between them by itself, because the page follows
// GET {page}/status and fetches itself again when the step changes.
//
// The hand-off page, below /v/:
//
//	GET /v/{id}/{secret} ──binds this browser, 303──▶ GET /v/{id}
//
//	consent ──agree──▶ continue ──open here, in a new tab──┐
//	   │                │     ▲                            │
//	   │        use my phone  │ code ran out               │
//	   │                ▼     │                            │
//	   │               qr ────┘                            │
//	   │                │ GET /v/{id}/phone/{secret} binds the phone,
//	   │                ▼      which is at consent or continue itself
//	   │            elsewhere                              │
//	   │                │                                  ▼
//	   └──decline───────┴──────────────────────────────▶ done ──▶ ReturnURL
//
// The challenge page, below /c/ and /p/. While it waits, one upstream session may
// follow another; then only the way to answer is replaced, and what the person
// reads or has at hand stays:
//
//	GET /c/{id}/{secret} ──binds this browser, 303──▶ GET /c/{id}
//
//	      ┌─another session─┐
//	      ▼                 │
//	    answer ─────────────┴── app scans, or open here in a new tab ──┐
//	     │  │  ▲                       GET /c/return ─▶ /c/{id}/returned
//	     │  │  │ link ran out          brings the browser back, if      │
//	     │  │  │                       1Kosmos sends it back            │
//	     │  └─▶qr                                                       │
//	     │     │ GET /p/{short secret} binds the phone,                 │
//	     │     ▼      which is at answer itself                         │
//	     │  elsewhere                                                   │
//	     │     │                                                        ▼
//	     └─────┴──this was not me────────────────────────────────────▶ done ──▶ ReturnURL
//
// Where the browser came from a Descope flow, there is no ReturnURL, but a form:
//
//	done ──POST {page}/return──▶ leave, a page that goes on by itself ──▶ the flow
//
// Everything works without JavaScript too: forms are plain, codes are drawn by
// the server, and a waiting page refreshes itself.
//
// The secret of a link leaves the address bar with the first answer. What lets
// a browser in from then on is a cookie that only this one page gets; forms carry
// a token derived from it. A link's secret is never written to a page, except the
// phone's link to the page that shows it, and never to the log.
//
// Who opens the phone's link in a browser that is in already comes to the page as
// it is there, and the link stays good. For the short link, which has no room for
// an id, a second cookie below /p/ says which page to ask: GET /p/{secret} goes
// on to GET /c/{id}/phone/{secret}, which gets the page's own cookie.
package pages
