// Package shop is a small application as a customer of Descope would have one: it
// knows nothing of 1Kosmos and nothing of us. People sign up and in through
// Descope's web component; its backend believes Descope's session tokens alone; and
// one thing in it, giving money back to another card, wants a session that was
// stepped up (RFC 9470).
//
// Beside it, under /sink, stand the other tools of the company: what they were told is
// shown there, and whether its signature was good.
package shop
