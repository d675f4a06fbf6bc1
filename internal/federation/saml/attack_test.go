package saml_test

import (
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	dsig "github.com/russellhaering/goxmldsig"

	"github.com/kosmoscope/kosmoscope/internal/federation"
)

// Whoever holds the browser can write a request that nobody signed: what a client must have
// is not theirs to say.
func TestWhatMustBeIsNotTheBrowsersToSay(t *testing.T) {
	t.Parallel()
	rc := func(classes ...string) string {
		return "<samlp:RequestedAuthnContext><saml:AuthnContextClassRef>" + strings.Join(classes, "</saml:AuthnContextClassRef><saml:AuthnContextClassRef>") + "</saml:AuthnContextClassRef></samlp:RequestedAuthnContext>"
	}
	const unspecified = "urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified"
	for name, c := range map[string]struct {
		inner  string
		signed bool
		acr    string // that holds
		met    bool
		status string
		asked  string
	}{
		"nothing":                   {acr: federation.ACRFace, met: true, status: "Success"},
		"another":                   {inner: rc(federation.ACRProofing), acr: federation.ACRProofing, met: true, status: "Responder/NoAuthnContext"},
		"another, or any":           {inner: rc(federation.ACRProofing, unspecified), acr: federation.ACRProofing, status: "Responder/NoAuthnContext"},
		"any":                       {inner: rc(unspecified), acr: federation.ACRProofing, status: "Responder/NoAuthnContext"},
		"one of them":               {inner: rc(federation.ACRProofing, federation.ACRFace), acr: federation.ACRFace, met: true, status: "Success", asked: federation.ACRFace},
		"one of them, or any":       {inner: rc(federation.ACRFace, unspecified), acr: federation.ACRProofing, status: "Responder/NoAuthnContext", asked: federation.ACRFace},
		"another, signed":           {inner: rc(federation.ACRProofing), signed: true, acr: federation.ACRProofing, met: true, status: "Success", asked: federation.ACRProofing},
		"another or any, signed":    {inner: rc(federation.ACRProofing, unspecified), signed: true, acr: "", status: "Success", asked: federation.ACRProofing},
		"one of them, as it is too": {inner: rc(federation.ACRIAL2 + "/"), acr: federation.ACRIAL2 + "/", met: true, status: "Success", asked: federation.ACRIAL2 + "/"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, form := range []bool{false, true} {
				h := build()
				h.client.DefaultACR, h.client.Essential = []string{federation.ACRFace, federation.ACRIAL2}, true
				h.begin = func(federation.Ask) (federation.Step, error) {
					x := person()
					x.ACR, x.Met = c.acr, c.met
					return federation.Step{Answer: x}, nil
				}
				xml := asked{inner: c.inner}.xml()
				var w *httptest.ResponseRecorder
				switch {
				case form && c.signed:
					w = h.post(t, posted(enveloped(t, xml, theirs(), dsig.RSASHA256SignatureMethod), "r"))
				case form:
					w = h.post(t, posted(xml, "r"))
				case c.signed:
					w = h.get(t, signedQuery(query(xml, "r"), theirs(), dsig.RSASHA256SignatureMethod))
				default:
					w = h.get(t, query(xml, "r"))
				}
				_, root := response(t, w)
				status := statusCodes(root)
				if status != c.status {
					t.Errorf("%s, want %s", status, c.status)
				}
				if len(h.asks) > 0 && strings.Join(h.asks[0].ACR, " ") != c.asked {
					t.Errorf("asked for %v, want %s", h.asks[0].ACR, c.asked)
				}
			}
		})
	}
}

// A name that we gave is of one person, and the answer is about nobody else who was
// recognised (SAML core 3.4.1.4).
func TestAnotherThanWasNamed(t *testing.T) {
	t.Parallel()
	named := `<saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">pairwise-subject-2</saml:NameID></saml:Subject>`
	for who, want := range map[string]string{"subject-1": "Responder/AuthnFailed", "subject-2": "Success"} {
		h := build()
		x := person()
		x.Subject = who
		a := h.ask(t, asked{inner: named}, "r")
		if a.HintSubject != "subject-2" {
			t.Fatal(a.HintSubject)
		}
		if _, root := response(t, h.finish(t, a, x, nil)); statusCodes(root) != want {
			t.Errorf("%s: %s, want %s", who, statusCodes(root), want)
		}
	}
}

// RelayStates that nobody comes back for do not pile up in the browser.
func TestRelayCookiesAreBounded(t *testing.T) {
	t.Parallel()
	h := build()
	have := map[string]string{}
	for i := range 20 {
		var header []string
		var all []string
		for name, value := range have {
			all = append(all, name+"="+value)
		}
		if len(all) > 0 {
			header = []string{"Cookie", strings.Join(all, "; ")}
		}
		w := h.do(t, "GET", sso+"?"+query(asked{id: "_r" + strconv.Itoa(i)}.xml(), strings.Repeat("r", 3000)), header...)
		if w.Code != 303 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		for _, c := range w.Result().Cookies() {
			if c.MaxAge < 0 {
				delete(have, c.Name)
			} else if strings.HasPrefix(c.Name, "kosmoscope_relay_") {
				have[c.Name] = c.Value
			}
		}
	}
	size := 0
	for name, value := range have {
		size += len(name) + len(value)
	}
	if len(have) < 2 || size > 16<<10 {
		t.Errorf("%d cookies of %d bytes", len(have), size)
	}
}
