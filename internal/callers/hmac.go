package callers

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"iter"
	"net/http"
	"slices"
)

// hmacCandidates lists what Descope may have signed, in the order of the
// reference, section 1.6. Its help texts contradict each other (INF), so each is
// tried and the one that fits is logged and counted; once a live tenant has
// shown which it is, the others can go. The constants for an empty body
// authenticate nothing by themselves; our doors refuse empty bodies anyway.
// They are made one after the other, as the first fits in most cases.
func hmacCandidates(body []byte) iter.Seq[hmacCandidate] {
	return func(yield func(hmacCandidate) bool) {
		if len(body) == 0 {
			_ = yield(hmacCandidate{"empty", nil}) && yield(hmacCandidate{"empty_object", []byte("{}")}) && yield(hmacCandidate{"empty_null", []byte("null")})
			return
		}
		if !yield(hmacCandidate{"raw", body}) {
			return
		}
		var compact bytes.Buffer
		if json.Compact(&compact, body) == nil && !yield(hmacCandidate{"compact", compact.Bytes()}) {
			return
		}
		yield(hmacCandidate{"base64", base64.StdEncoding.AppendEncode(nil, body)})
	}
}

type hmacCandidate struct {
	name  string
	input []byte
}

func (r *Registry) checkHMAC(req *http.Request, e *entry, body []byte) error {
	values := req.Header.Values(hmacHeader)
	if len(values) != 1 {
		return badSignature("the header x-descope-webhook-s256 is required once for this caller")
	}
	got, err := base64.StdEncoding.DecodeString(values[0])
	if err != nil || len(got) != sha256.Size {
		return badSignature("x-descope-webhook-s256 is not an HMAC-SHA256 in base64")
	}
	secrets := e.config.hmacSecrets()
	fits := func(input []byte) bool {
		return slices.ContainsFunc(secrets, func(secret Secret) bool {
			mac := hmac.New(sha256.New, []byte(secret))
			mac.Write(input)
			return hmac.Equal(mac.Sum(nil), got)
		})
	}
	for c := range hmacCandidates(body) {
		if !fits(c.input) {
			continue
		}
		// Which input Descope signs is not settled, so each kind is recorded once.
		if _, before := r.hmacSeen.LoadOrStore([3]string{e.config.Tenant, e.config.ID, c.name}, true); !before {
			r.log.InfoContext(req.Context(), "first HMAC of this kind from this caller", "caller", e.config.ID, "hmac_input", c.name)
		}
		return nil
	}
	return badSignature("x-descope-webhook-s256 does not fit the body")
}
