// Package saml is door B for SAML 2.0: an identity provider that only issues. It
// reads one kind of message, the AuthnRequest, and writes one, the Response.
//
//	service provider        browser                 Provider                Core
//	      │ AuthnRequest ────▶│─ GET or POST /sso ──▶ read, check, use up
//	      │                   │                        │ Ask ───────────────▶ Begin
//	      │                   │◀─ 303 to a page of ours, or at once ◀──────── Step
//	      │                   │      ... Resume ...    │ Finish ◀──────────── Answer or refusal
//	      │◀─ POST, signed ───│◀─ a form ───────────── Response
//
// A request that is wrong in a way that says nothing good about who sent it ends on a
// page of ours. Only when its service provider is registered, its address is one of
// those registered, its signature holds and it was never seen before does the browser
// go anywhere, and then with a signed Response, be it good or bad.
//
// What a request names (Subject, login_hint) only asks: the response may name somebody
// else, where SAML core 3.4.1.4 would have it fail. Service providers go by what the
// assertion says.
//
// Bindings: HTTP-Redirect and HTTP-POST in, HTTP-POST out (SAML bindings 3.4, 3.5).
// There is no artifact, no logout, nothing without a request, and nothing encrypted.
package saml
