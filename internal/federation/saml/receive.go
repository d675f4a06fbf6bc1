package saml

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what a browser brings.
const (
	maxQuery = 16 << 10  // bytes of the query, as it was sent
	maxForm  = 128 << 10 // bytes of the form, as it was sent
	maxXML   = 64 << 10  // bytes of a request once it is inflated
	maxRelay = 4 << 10   // SAML bindings 3.4.3 says 80; many send more
	maxHint  = 256
)

// message is a request as a binding carried it. Nothing of it is known to be true.
type message struct {
	xml   []byte
	relay string
	hint  string
	post  bool
	again bool // our own page posted it a second time, see again.html

	// Of HTTP-Redirect: the octets that are signed, and by what (bindings 3.4.4.1).
	signed    string
	alg       string
	signature []byte
}

// refused is a request that no response is made for. Say is for the person; nothing
// in it, nor in Why, which is for the log, is from the request.
type refused struct {
	status   int
	say, why string
}

func (e *refused) Error() string { return e.why }

func bad(why string) error {
	return &refused{http.StatusBadRequest, "The application that sent you here asked in a way that we cannot accept. Go back to it and try again; if that does not help, tell its operator.", why}
}

func tooLarge(why string) error {
	return &refused{http.StatusRequestEntityTooLarge, "The request that brought you here is too large. Go back to the application and try again.", why}
}

// receive takes the message out of its binding.
func receive(w http.ResponseWriter, r *http.Request) (*message, error) {
	if r.Method == http.MethodPost {
		return receivePost(w, r)
	}
	return receiveRedirect(r.URL.RawQuery)
}

// receiveRedirect reads HTTP-Redirect. What is signed are the parameters as the query
// spelled them, in the order that the specification sets, which need not be theirs.
func receiveRedirect(query string) (*message, error) {
	if len(query) > maxQuery {
		return nil, tooLarge("the query is too large")
	}
	raw := map[string]string{}
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		if err != nil {
			return nil, bad("the query is malformed")
		}
		switch plain {
		case "SAMLRequest", "RelayState", "SigAlg", "Signature", "SAMLEncoding", "login_hint":
			if _, twice := raw[plain]; twice || plain != name {
				return nil, bad("a parameter is there twice, or its name is escaped")
			}
			raw[plain] = value
		}
	}
	m := &message{}
	values := map[string]string{}
	for name, value := range raw {
		v, err := url.QueryUnescape(value)
		if err != nil {
			return nil, bad("the query is malformed")
		}
		values[name] = v
	}
	if e, ok := values["SAMLEncoding"]; ok && e != encodingDeflate {
		return nil, bad("unknown SAMLEncoding")
	}
	packed, err := decode64(values["SAMLRequest"])
	if err != nil {
		return nil, err
	}
	if m.xml, err = inflate(packed); err != nil {
		return nil, err
	}
	_, hasAlg := raw["SigAlg"]
	_, hasSignature := raw["Signature"]
	if hasAlg != hasSignature {
		return nil, bad("SigAlg and Signature do not come together")
	}
	if hasAlg {
		m.alg = values["SigAlg"]
		if m.signature, err = decode64(values["Signature"]); err != nil {
			return nil, err
		}
		m.signed = "SAMLRequest=" + raw["SAMLRequest"]
		if relay, ok := raw["RelayState"]; ok {
			m.signed += "&RelayState=" + relay
		}
		m.signed += "&SigAlg=" + raw["SigAlg"]
	}
	return m, m.rest(values["RelayState"], values["login_hint"])
}

func receivePost(w http.ResponseWriter, r *http.Request) (*message, error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if len(r.URL.RawQuery) > maxQuery {
		return nil, tooLarge("the query is too large")
	}
	if err := r.ParseForm(); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, tooLarge("the form is too large")
		}
		return nil, bad("the form is malformed")
	}
	form := r.PostForm
	for _, name := range []string{"SAMLRequest", "RelayState", "login_hint"} {
		if len(form[name]) > 1 {
			return nil, bad("a field is there twice")
		}
	}
	if form.Has("Signature") || form.Has("SigAlg") {
		return nil, bad("HTTP-POST-SimpleSign is not supported")
	}
	m := &message{post: true, again: form.Has("again")}
	var err error
	if m.xml, err = decode64(form.Get("SAMLRequest")); err != nil {
		return nil, err
	}
	if len(m.xml) > maxXML {
		return nil, tooLarge("the request is too large")
	}
	hint := form.Get("login_hint")
	if hint == "" {
		hint = r.URL.Query().Get("login_hint")
	}
	return m, m.rest(form.Get("RelayState"), hint)
}

// rest takes what does not matter to us, as far as it can be given back as it came: a
// form normalises line breaks, and knows no other control characters.
func (m *message) rest(relay, hint string) error {
	if len(relay) > maxRelay {
		return tooLarge("RelayState is too large")
	}
	if !utf8.ValidString(relay) || strings.ContainsFunc(relay, unicode.IsControl) {
		return bad("RelayState cannot be given back")
	}
	m.relay, m.hint = relay, asHint(hint)
	return nil
}

// asHint is a user identifier that may be asked for, or "".
func asHint(s string) string {
	if s = strings.TrimSpace(s); len(s) > maxHint || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return ""
	}
	return s
}

func decode64(s string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b) == 0 {
		return nil, bad("a value is missing or is no base64")
	}
	return b, nil
}

// inflate undoes RFC 1951, to at most maxXML bytes.
func inflate(packed []byte) ([]byte, error) {
	in := bytes.NewReader(packed)
	b, err := io.ReadAll(io.LimitReader(flate.NewReader(in), maxXML+1))
	switch {
	case len(b) > maxXML:
		return nil, tooLarge("the request is too large once inflated")
	case err != nil || in.Len() > 0:
		return nil, bad("the request cannot be inflated")
	}
	return b, nil
}
