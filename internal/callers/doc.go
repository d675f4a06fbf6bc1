// Package callers answers one question: who is calling, and what may they ask
// for. A caller is a configured client of ours. It presents one credential
// (bearer token, user and password, API key, or an access token got with OAuth
// client credentials), plus an HMAC of the body when it has an HMAC secret, plus
// an HTTP message signature (RFC 9421) when it has verification keys. Each that
// is configured is required. A caller that may only tell events, as Descope's Audit
// Webhook, may have the HMAC secret and nothing else.
//
// The order of the checks, each ending in refusal:
//
//	credential ──▶ HMAC ──▶ RFC 9421: key, coverage, time, digest, signature ──▶ nonce ──▶ caller
//
// Credentials are looked up by a hash keyed with a secret of this process, so
// neither content nor length of a guess shows in the time an answer takes, and
// the table holds no plain secret to compare with.
//
// Refusals are rate limited per remote network. The limit applies to refused
// requests only: Descope's calls leave from addresses that its customers share,
// and a stranger's failures must not lock a good caller out. Guessing is bounded
// by the length of secrets, which New enforces.
package callers
