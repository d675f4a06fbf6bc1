// Package world is for tests from outside of what needs a person in front of a
// browser: it runs the built program as three processes (engine, local 1Kosmos,
// bridge) on real sockets, and plays people who follow redirects, agree, hand in
// photos and show their face.
//
//	client ──HTTP──▶ bridge ──TLS──▶ local 1Kosmos ──HTTP──▶ engine
//	person ──HTTP──▶ bridge's pages, capture page, authenticator
//
// Step-ups take still photos here, and proofings where they are asked to: that
// proves no living person, and no default is like that. Nothing of what is tested
// is imported, but the painter of documents.
package world
