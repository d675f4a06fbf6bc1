package httpsig

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Message is what a signature is about: a request as its sender meant it. URL is
// absolute; a server builds it from its own public address, not from what the
// request claims.
type Message struct {
	Method string
	URL    *url.URL
	Header http.Header
}

// Signature is one signature found on a message.
type Signature struct {
	Label string
	Input Input
	Value []byte
}

// Signatures reads the Signature-Input and Signature fields (RFC 9421 section
// 4). Every input needs its signature and the other way round.
func Signatures(h http.Header) ([]Signature, error) {
	inputs, err := parseDictionary(h.Values("Signature-Input"))
	if err != nil {
		return nil, fmt.Errorf("Signature-Input is %w", err)
	}
	values, err := parseDictionary(h.Values("Signature"))
	if err != nil {
		return nil, fmt.Errorf("Signature is %w", err)
	}
	if len(inputs) != len(values) {
		return nil, errors.New("Signature-Input and Signature name different labels")
	}
	var out []Signature
	for _, in := range inputs {
		if !in.inner {
			return nil, errors.New("Signature-Input holds something that is not a list of components")
		}
		s := Signature{Label: in.name, Input: Input{in.list, in.param}}
		for _, v := range values {
			if raw, ok := v.value.([]byte); ok && v.name == in.name {
				s.Value = raw
			}
		}
		if s.Value == nil {
			return nil, errors.New("Signature-Input and Signature name different labels")
		}
		out = append(out, s)
	}
	return out, nil
}

// Base builds the signature base (RFC 9421 section 2.5). A component that the
// message does not have, that is listed twice or that this package does not
// support is an error.
func (in Input) Base(m Message) ([]byte, error) {
	var b strings.Builder
	seen := map[string]bool{}
	for _, c := range in.Components {
		id := c.String()
		if seen[id] {
			return nil, fmt.Errorf("component %s is listed twice", id)
		}
		seen[id] = true
		v, err := m.component(c)
		if err != nil {
			return nil, err
		}
		b.WriteString(id)
		b.WriteString(": ")
		b.WriteString(v)
		b.WriteByte('\n')
	}
	b.WriteString(`"@signature-params": `)
	b.WriteString(in.String())
	return []byte(b.String()), nil
}

func (m Message) component(c Component) (string, error) {
	if c.Name == "@query-param" && len(c.Params) == 1 && c.Params[0].Name == "name" {
		return m.queryParam(c.Params[0].Value)
	}
	if len(c.Params) > 0 {
		return "", fmt.Errorf("component %s has parameters that are not supported", c)
	}
	u := m.URL
	switch c.Name {
	case "@method":
		return m.Method, nil
	case "@target-uri":
		return u.String(), nil
	case "@authority":
		return authority(u), nil
	case "@scheme":
		return strings.ToLower(u.Scheme), nil
	case "@request-target":
		return u.RequestURI(), nil
	case "@path":
		if p := u.EscapedPath(); p != "" {
			return p, nil
		}
		return "/", nil
	case "@query":
		return "?" + u.RawQuery, nil
	}
	if strings.HasPrefix(c.Name, "@") || c.Name == "" || c.Name != strings.ToLower(c.Name) {
		return "", fmt.Errorf("component %s is not supported", c)
	}
	lines := m.Header.Values(c.Name)
	if len(lines) == 0 {
		return "", fmt.Errorf("component %s is covered but not in the message", c)
	}
	trimmed := make([]string, len(lines))
	for i, l := range lines {
		trimmed[i] = strings.Trim(l, " \t")
		if strings.ContainsAny(l, "\r\n") {
			return "", fmt.Errorf("component %s has a line break in its value", c)
		}
	}
	return strings.Join(trimmed, ", "), nil
}

// queryParam is RFC 9421 section 2.2.8: exactly one parameter of that name,
// decoded and encoded again.
func (m Message) queryParam(name any) (string, error) {
	want, _ := name.(string)
	q, err := url.ParseQuery(m.URL.RawQuery)
	if err != nil {
		return "", errors.New("the query is malformed")
	}
	decoded, err := url.QueryUnescape(want)
	if err != nil || len(q[decoded]) != 1 {
		return "", errors.New("@query-param needs exactly one parameter of that name")
	}
	return strings.ReplaceAll(url.QueryEscape(q.Get(decoded)), "+", "%20"), nil
}

// authority is the host in lower case, without the scheme's default port (RFC
// 9421 section 2.2.3).
func authority(u *url.URL) string {
	host := strings.ToLower(u.Host)
	switch {
	case u.Scheme == "https":
		return strings.TrimSuffix(host, ":443")
	case u.Scheme == "http":
		return strings.TrimSuffix(host, ":80")
	}
	return host
}

// Digest is the Content-Digest field for a body, with SHA-256 (RFC 9530).
func Digest(body []byte) string {
	sum := sha256.Sum256(body)
	var b strings.Builder
	b.WriteString("sha-256=")
	writeItem(&b, sum[:])
	return b.String()
}

// CheckDigest compares Content-Digest with the body. Every sha-256 and sha-512
// digest given must hold, and there must be at least one; others are ignored, as
// RFC 9530 says.
func CheckDigest(h http.Header, body []byte) error {
	members, err := parseDictionary(h.Values("Content-Digest"))
	if err != nil {
		return fmt.Errorf("Content-Digest is %w", err)
	}
	known := false
	for _, m := range members {
		var want []byte
		switch m.name {
		case "sha-256":
			sum := sha256.Sum256(body)
			want = sum[:]
		case "sha-512":
			sum := sha512.Sum512(body)
			want = sum[:]
		default:
			continue
		}
		got, _ := m.value.([]byte)
		if subtle.ConstantTimeCompare(got, want) != 1 {
			return errors.New("Content-Digest does not fit the body")
		}
		known = true
	}
	if !known {
		return errors.New("Content-Digest has neither sha-256 nor sha-512")
	}
	return nil
}
