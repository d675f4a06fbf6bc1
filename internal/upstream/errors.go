package upstream

import (
	"errors"

	"github.com/kosmoscope/kosmoscope/blockid"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// kinds maps what the client can report to our reasons. Temporary is the
// client's own judgement, except where it would be wrong to end a verification
// over something that another attempt in a minute may mend.
var kinds = map[blockid.Kind]struct {
	code    proof.Code
	reason  proof.Reason
	message string
}{
	blockid.KindConfig:          {proof.CodeUpstream, proof.ReasonUpstreamRejected, "the 1Kosmos configuration of this tenant cannot work"},
	blockid.KindInvalid:         {proof.CodeUpstream, proof.ReasonUpstreamRejected, "1Kosmos refused the request"},
	blockid.KindNotFound:        {proof.CodeUpstream, proof.ReasonUpstreamRejected, "1Kosmos does not know the workflow, session or community"},
	blockid.KindUnauthorized:    {proof.CodeUpstream, proof.ReasonUpstreamAuth, "1Kosmos refused our licence"},
	blockid.KindRateLimited:     {proof.CodeUnavailable, proof.ReasonUpstreamRateLimited, "1Kosmos asks us to slow down"},
	blockid.KindUpstream:        {proof.CodeUnavailable, proof.ReasonUpstreamUnavailable, "1Kosmos cannot be reached right now"},
	blockid.KindTimeout:         {proof.CodeUnavailable, proof.ReasonUpstreamTimeout, "1Kosmos did not answer in time"},
	blockid.KindCanceled:        {proof.CodeUnavailable, proof.ReasonUpstreamTimeout, "the call to 1Kosmos was given up"},
	blockid.KindDecrypt:         {proof.CodeUpstream, proof.ReasonUpstreamCiphertext, "an answer of 1Kosmos could not be decrypted"},
	blockid.KindMalformed:       {proof.CodeUpstream, proof.ReasonUpstreamMalformed, "1Kosmos answered something that is not of its protocol"},
	blockid.KindAnswerKey:       {proof.CodeUpstream, proof.ReasonAnswerKey, "the key of an answer is no key on the curve of this tenant"},
	blockid.KindUntrustedAnswer: {proof.CodeUpstream, proof.ReasonAnswerUntrusted, "an answer was not given with the key that it must be given with"},
	blockid.KindUntrustedHost:   {proof.CodeUpstream, proof.ReasonUpstreamMalformed, "1Kosmos named a host that is not allowed for this tenant"},
}

// translate makes our error out of the client's.
func translate(err error) error {
	if err == nil {
		return nil
	}
	var e *blockid.Error
	if !errors.As(err, &e) {
		return &proof.Error{Code: proof.CodeInternal, Reason: proof.ReasonInternal, Message: "the 1Kosmos client failed", Err: err}
	}
	k, ok := kinds[e.Kind]
	if !ok {
		k = kinds[blockid.KindMalformed]
	}
	return &proof.Error{
		Code: k.code, Reason: k.reason, Message: k.message, Err: err,
		Temporary: e.Temporary() || e.Kind == blockid.KindCanceled, RetryAfter: e.RetryAfter,
	}
}
