package callers

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/callers/httpsig"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Rules of the reference, section 1.7.
const (
	clockSkew    = 60 * time.Second  // created may lie this far in the future
	maxUnexpired = 300 * time.Second // age without expires; Descope's default lifetime
	maxLifetime  = time.Hour         // expires may lie this far after created, since nonces are kept so long
	maxNonce     = 256               // bytes
)

// checkSignature needs one signature that satisfies every rule; others on the
// message may belong to somebody in between and do no harm.
func (r *Registry) checkSignature(req *http.Request, e *entry, body []byte) error {
	sigs, err := httpsig.Signatures(req.Header)
	if err != nil {
		return badSignature("%v", err)
	}
	if req.Header.Get("Content-Digest") != "" {
		if err := httpsig.CheckDigest(req.Header, body); err != nil {
			return badSignature("%v", err)
		}
	}
	m, err := r.message(req)
	if err != nil {
		return err
	}
	refusal := badSignature("the message is not signed with a key of this caller")
	for _, s := range sigs {
		keyid, _ := s.Input.Text("keyid")
		key := e.keys[keyid]
		if key == nil {
			continue
		}
		until, err := r.checkInput(s.Input, key, m, e, len(body) > 0)
		if err != nil {
			refusal = err
			continue
		}
		base, err := s.Input.Base(m)
		if err != nil {
			refusal = badSignature("%v", err)
			continue
		}
		if err := key.Verify(base, s.Value); err != nil {
			refusal = badSignature("%v", err)
			continue
		}
		// Only a signature that holds may use up a nonce.
		nonce, _ := s.Input.Text("nonce")
		d := r.nonceKey(e, keyid, nonce)
		fresh, err := e.nonces.Use(req.Context(), d, until)
		if err != nil {
			return &proof.Error{
				Code: proof.CodeUnavailable, Reason: proof.ReasonUnavailable, Temporary: true, RetryAfter: time.Minute,
				Message: "the nonce of the signature cannot be recorded right now; try again", Err: err,
			}
		}
		if !fresh {
			return &proof.Error{
				Code: proof.CodeUnauthenticated, Reason: proof.ReasonReplay, Message: "this signature was used before; sign each request anew",
			}
		}
		return nil
	}
	return refusal
}

// message is the request as its sender addressed it: our public URL, and the
// path and query exactly as they came.
func (r *Registry) message(req *http.Request) (httpsig.Message, error) {
	target := req.RequestURI
	if !strings.HasPrefix(target, "/") {
		target = req.URL.RequestURI() // absolute form, or a request that a test made
	}
	u, err := url.Parse(r.public.String() + target)
	if err != nil || u.Host != r.public.Host {
		return httpsig.Message{}, badSignature("the request target is malformed")
	}
	return httpsig.Message{Method: req.Method, URL: u, Header: req.Header}, nil
}

// checkInput holds what a signature covers and says about itself against the
// rules, and returns until when its nonce must be remembered.
func (r *Registry) checkInput(in httpsig.Input, key *httpsig.VerifyKey, m httpsig.Message, e *entry, hasBody bool) (time.Time, error) {
	var zero time.Time
	if alg, ok := in.Text("alg"); in.Has("alg") && (!ok || alg != string(key.Algorithm())) {
		return zero, badSignature("alg is not the algorithm configured for this keyid")
	}
	parts := in.Covers("@authority") && in.Covers("@path") && (in.Covers("@query") || m.URL.RawQuery == "")
	if !in.Covers("@method") || !in.Covers("@target-uri") && !parts {
		return zero, badSignature("the signature must cover @method and @target-uri (or @authority, @path and @query)")
	}
	need := e.config.RFC9421.RequireContentDigest
	if hasBody && (need == nil || *need) && !in.Covers("content-digest") {
		return zero, badSignature("the signature must cover content-digest when there is a body")
	}
	nonce, ok := in.Text("nonce")
	if !ok || nonce == "" || len(nonce) > maxNonce {
		return zero, badSignature("the signature needs a nonce of 1 to %d bytes", maxNonce)
	}
	created, ok := in.Int("created")
	if !ok {
		return zero, badSignature("the signature needs created")
	}
	now, from := r.now(), time.Unix(created, 0)
	if from.After(now.Add(clockSkew)) {
		return zero, badSignature("created lies in the future")
	}
	until := from.Add(maxUnexpired)
	if in.Has("expires") {
		expires, ok := in.Int("expires")
		if !ok || expires <= created || time.Unix(expires, 0).Sub(from) > maxLifetime {
			return zero, badSignature("expires must lie after created, by at most %s", maxLifetime)
		}
		until = time.Unix(expires, 0)
	}
	if !now.Before(until) {
		return zero, badSignature("the signature is too old")
	}
	return until, nil
}

// nonceKey binds a nonce to the caller and key it came with. It is not keyed
// with a secret of this process, so that a store shared by several works.
func (r *Registry) nonceKey(e *entry, keyid, nonce string) string {
	return strings.Join([]string{url.QueryEscape(e.config.Tenant), e.config.ID, url.QueryEscape(keyid), url.QueryEscape(nonce)}, " ")
}

var errNoncesFull = errors.New("too many unexpired nonces")
