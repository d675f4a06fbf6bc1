// Package pages is what an end user sees of ours: the hand-off page, which
// session_url opens, and the pages that say what went wrong. It shows what
// journey says, passes on what the person decides, and decides nothing itself.
//
// One handler serves everything below /v/. The page is in one of five steps,
// and a browser moves between them by itself, because the page follows
// GET /v/{id}/status and fetches itself again when the step changes:
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
// Everything works without JavaScript too: forms are plain, the code for the
// phone is drawn by the server, and a waiting page refreshes itself.
//
// The secret of a link leaves the address bar with the first answer. What lets
// a browser in from then on is a cookie that only /v/{id} gets; forms carry a
// token derived from it. A link's secret is never written to a page, except the
// phone's link to the page that shows it, and never to the log.
package pages
