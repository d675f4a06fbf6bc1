package callers

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
)

// hmacCandidates lists what Descope may have signed, in the order of the
// reference, section 1.6. Its help texts contradict each other (INF), so each is
// tried and the one that fits is logged and counted; once a live tenant has
// shown which it is, the others can go. The constants for an empty body
// authenticate nothing by themselves; our doors refuse empty bodies anyway.
func hmacCandidates(body []byte) []hmacCandidate {
	if len(body) == 0 {
		return []hmacCandidate{{"empty", nil}, {"empty_object", []byte("{}")}, {"empty_null", []byte("null")}}
	}
	out := []hmacCandidate{{"raw", body}}
	var compact bytes.Buffer
	if json.Compact(&compact, body) == nil {
		out = append(out, hmacCandidate{"compact", compact.Bytes()})
	}
	return append(out, hmacCandidate{"base64", base64.StdEncoding.AppendEncode(nil, body)})
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
	for _, c := range hmacCandidates(body) {
		mac := hmac.New(sha256.New, []byte(e.config.HMACSecret))
		mac.Write(c.input)
		if !hmac.Equal(mac.Sum(nil), got) {
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
