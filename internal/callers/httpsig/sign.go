package httpsig

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Signer signs outgoing requests. The zero values of Label, Components and TTL
// mean "sig1", a set that binds method, address and body, and five minutes.
type Signer struct {
	KeyID      string
	Algorithm  Algorithm
	Key        any // crypto.Signer, or []byte for hmac-sha256
	Label      string
	Components []string
	TTL        time.Duration
	Now        func() time.Time
}

// Sign adds Content-Digest (when there is a body), Signature-Input and Signature
// to r. The body is what r will send; it is not read from r.
func (s *Signer) Sign(r *http.Request, body []byte) error {
	now, ttl, components := time.Now, s.TTL, s.Components
	if s.Now != nil {
		now = s.Now
	}
	if ttl == 0 {
		ttl = 5 * time.Minute
	}
	if len(body) > 0 {
		r.Header.Set("Content-Digest", Digest(body))
	}
	if components == nil {
		components = []string{"@method", "@target-uri", "@authority"}
		if len(body) > 0 {
			components = append(components, "content-digest")
		}
	}
	in := Input{Params: []Param{
		{"created", now().Unix()},
		{"expires", now().Add(ttl).Unix()},
		{"nonce", rand.Text()},
		{"alg", string(s.Algorithm)},
		{"keyid", s.KeyID},
	}}
	for _, c := range components {
		in.Components = append(in.Components, Component{Name: c})
	}
	return s.SignInput(r, in)
}

// SignInput signs exactly what in says and sets Signature-Input and Signature.
func (s *Signer) SignInput(r *http.Request, in Input) error {
	base, err := in.Base(Message{Method: r.Method, URL: r.URL, Header: r.Header})
	if err != nil {
		return fmt.Errorf("building the signature base: %w", err)
	}
	sig, err := sign(s.Algorithm, s.Key, base)
	if err != nil {
		return fmt.Errorf("signing: %w", err)
	}
	label := s.Label
	if label == "" {
		label = "sig1"
	}
	var b strings.Builder
	writeItem(&b, sig)
	r.Header.Set("Signature-Input", label+"="+in.String())
	r.Header.Set("Signature", label+"="+b.String())
	return nil
}
