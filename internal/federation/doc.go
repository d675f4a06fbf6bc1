// Package federation is door B: a plain protocol redirect triggers a proofing or a
// face check, and its result comes back signed. This package knows no protocol; oidc
// and saml below it turn requests into an Ask and an Answer into a token or an
// assertion, and keys holds what they sign with.
//
//	browser          oidc, saml            Service                         journey
//	   │ authorize ──▶ Ask ───────────────▶ Begin: a session that will do? ── yes ─▶ Answer
//	   │                                      no: what is needed?
//	   │                                      nobody named: the page that asks who
//	   │◀─ /c/{id} or /v/{id}, the flow sealed in a cookie ── challenge or verification
//	   │ ... face, or document and face ...
//	   │ /continue ──────────────────────▶ Resume: how did it end? ── session, audit
//	   │◀─ code or assertion ◀── Answer or refusal
//
// Who is signed in (promise 3): a login_hint, an id_token_hint, a NameID in a request
// and what is typed on our page only ask. The subject of an Answer is the one whose
// face was matched in this browser's session (Matched), or, after a proofing alone,
// somebody new: a subject of its own, without an identifier and without an e-mail.
//
// The link of the challenge or verification never leaves the bridge, but for CIBA, where
// the client has to bring it to the person: Begin opens it
// for the browser that asked, so that nobody can have another person answer it and
// collect the result. Between Begin and Resume nothing of the request is stored: it is
// sealed into a cookie of that browser.
package federation
