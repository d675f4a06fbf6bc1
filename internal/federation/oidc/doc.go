// Package oidc is the OpenID provider of door B: one issuer for each tenant, narrow
// and strict. It turns authorization requests into a federation.Ask and an Answer into
// a code, and a code into tokens; who the person is, and how that is found out, is not
// its business.
//
//	browser            front                                    back
//	   │               par ◀── the client pushes (RFC 9126) ──────┤ authenticate
//	   │ authorize ──▶ client and redirect_uri known? ─ no ─▶ a page, never a redirect
//	   │                 │ yes: from here on errors go to the client
//	   │               check: Ask ─▶ Core.Begin ─ a session will do ─┐
//	   │◀── Step.Go ─────┘                                           │
//	   │ ... face, document ... Service.Resume ─────────────▶ Finish ◀┘
//	   │◀── error, state, iss                    accept? ─ no ─┤
//	   │◀── code, state, iss ─────────────────────────── yes ──┘
//	   │                                                 token ◀── the client: code, verifier
//	   │                                                 userinfo, bc-authorize (CIBA, poll)
//
// Nothing is written before a code is redeemed, but for what was pushed: the request
// travels in the cookie of a run, the code is sealed and holds all that the token
// endpoint needs. Of what came through a browser nothing is believed: a hint asks for
// somebody, and an ID token names whom Core.Answer names.
//
// Errors: errorOf is the one table from codes of package proof to those of OAuth.
package oidc
