package saml_test

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	dsig "github.com/russellhaering/goxmldsig"

	"github.com/kosmoscope/kosmoscope/internal/federation"
)

// FuzzAuthnRequest sends a document by both bindings, and itself as a query and a
// form. Whatever it is, the browser stays with us or is refused towards a registered
// address, and an Ask is of the client.
func FuzzAuthnRequest(f *testing.F) {
	signed := enveloped(f, asked{inner: `<samlp:NameIDPolicy Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"/>`}.xml(), theirs(), dsig.RSASHA256SignatureMethod)
	f.Add(asked{}.xml(), "r", false)
	f.Add(signed, "r", true)
	f.Add(strings.Replace(signed, "#_request1", "#_request2", 1), "r", true)
	f.Add(asked{attrs: ` ForceAuthn="1" AssertionConsumerServiceIndex="1"`, inner: `<saml:Subject><saml:NameID>a</saml:NameID></saml:Subject><samlp:RequestedAuthnContext><saml:AuthnContextClassRef>/assurance/ial/2</saml:AuthnContextClassRef></samlp:RequestedAuthnContext>`}.xml(), "", false)
	f.Add(signedQuery(query(asked{}.xml(), "r"), theirs(), dsig.RSASHA256SignatureMethod), "r", true)
	f.Add("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "\x00", false)
	f.Fuzz(func(t *testing.T, in, relay string, must bool) {
		h := build()
		h.client.SAML.SignedRequests = must
		h.begin = func(a federation.Ask) (federation.Step, error) {
			if a.Client != h.client || a.ClientID != "descope" || a.Tenant != "acme" || len(a.State) > 2048 || len(a.Hint) > 256 {
				t.Errorf("%+v", a)
			}
			return federation.Step{Go: "/v/1"}, nil // an answer would be signed, which is slow
		}
		raw := httptest.NewRequestWithContext(t.Context(), "GET", sso, nil)
		raw.URL.RawQuery = in
		direct := httptest.NewRecorder()
		h.Handler().ServeHTTP(direct, raw)
		for _, w := range []*httptest.ResponseRecorder{
			direct, h.get(t, query(in, relay)), h.post(t, posted(in, relay)),
			h.post(t, url.Values{"SAMLRequest": {in}}), h.post(t, url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString([]byte(in))}, "again": {""}}),
		} {
			switch {
			case w.Code == http.StatusSeeOther && w.Header().Get("Location") == "/v/1":
			case w.Code == http.StatusOK:
				if to, fields := sent(t, w); to != acs && to != acs2 || fields["SAMLResponse"] == "" {
					t.Errorf("to %s", to)
				}
			case w.Code < 400 || !strings.HasPrefix(w.Body.String(), "SORRY: ") || w.Header().Get("Location") != "":
				t.Errorf("%d %s", w.Code, w.Body)
			}
		}
	})
}

// BenchmarkResponse is one answer, signed twice, as the page that carries it.
func BenchmarkResponse(b *testing.B) {
	h := build()
	a, x := h.ask(b, asked{}, "r"), person()
	r := httptest.NewRequestWithContext(b.Context(), "GET", "/federation/acme/continue", nil)
	size := 0
	for b.Loop() {
		w := httptest.NewRecorder()
		h.Finish(w, r, a, x, nil)
		if w.Code != http.StatusOK {
			b.Fatal(w.Code)
		}
		size = w.Body.Len()
	}
	b.ReportMetric(float64(size), "page-bytes")
}

// BenchmarkSignedRequest reads a request with a signature by HTTP-POST.
func BenchmarkSignedRequest(b *testing.B) {
	h := build()
	form := posted(enveloped(b, asked{}.xml(), theirs(), dsig.RSASHA256SignatureMethod), "r")
	for b.Loop() {
		clear(h.used)
		h.asks = h.asks[:0]
		if w := h.post(b, form); w.Code != http.StatusSeeOther {
			b.Fatal(w.Code, h.log.String())
		}
	}
}
