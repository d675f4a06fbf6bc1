package saml_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// value is an attribute or the text of the one element at path.
func value(t testing.TB, root *etree.Element, path, attr string) string {
	t.Helper()
	all := root.FindElements(path)
	if len(all) != 1 {
		t.Fatalf("%d of %s", len(all), path)
	}
	if attr == "" {
		return all[0].Text()
	}
	return all[0].SelectAttrValue(attr, "")
}

// attributes are what an assertion tells.
func attributes(root *etree.Element) map[string]string {
	out := map[string]string{}
	for _, a := range root.FindElements("//saml:Attribute") {
		var values []string
		for _, v := range a.ChildElements() {
			values = append(values, v.Text())
		}
		out[a.SelectAttrValue("Name", "")] = strings.Join(values, "|")
	}
	return out
}

func TestAssertion(t *testing.T) {
	t.Parallel()
	h := build()
	a := h.ask(t, asked{id: "_me"}, "a&b=<c>\"'é")
	w := h.finish(t, a, person(), nil)
	to, fields := sent(t, w)
	if to != acs || fields["RelayState"] != "a&b=<c>\"'é" {
		t.Errorf("to %s with %s", to, fields["RelayState"])
	}
	xml, root := response(t, w)
	for _, c := range []struct{ path, attr, want string }{
		{"/samlp:Response", "Destination", acs},
		{"/samlp:Response", "InResponseTo", "_me"},
		{"/samlp:Response", "IssueInstant", "2026-11-29T09:00:00Z"},
		{"/samlp:Response/saml:Issuer", "", idp},
		{"/samlp:Response/samlp:Status/samlp:StatusCode", "Value", "urn:oasis:names:tc:SAML:2.0:status:Success"},
		{"//saml:Assertion/saml:Issuer", "", idp},
		{"//saml:NameID", "", "pairwise-1"},
		{"//saml:NameID", "Format", "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"},
		{"//saml:NameID", "NameQualifier", idp},
		{"//saml:NameID", "SPNameQualifier", entity},
		{"//saml:SubjectConfirmation", "Method", "urn:oasis:names:tc:SAML:2.0:cm:bearer"},
		{"//saml:SubjectConfirmationData", "Recipient", acs},
		{"//saml:SubjectConfirmationData", "InResponseTo", "_me"},
		{"//saml:SubjectConfirmationData", "NotOnOrAfter", "2026-11-29T09:05:00Z"},
		{"//saml:Conditions", "NotBefore", "2026-11-29T08:59:00Z"},
		{"//saml:Conditions", "NotOnOrAfter", "2026-11-29T09:05:00Z"},
		{"//saml:Audience", "", entity},
		{"//saml:AuthnStatement", "AuthnInstant", "2026-11-29T08:59:00Z"},
		{"//saml:AuthnStatement", "SessionIndex", "0193-session"},
		{"//saml:AuthnStatement", "SessionNotOnOrAfter", "2026-11-29T10:00:00Z"}, // when the assurance ends
		{"//saml:AuthnContextClassRef", "", "urn:kosmoscope:acr:ial:2"},
	} {
		if got := value(t, root, c.path, c.attr); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.path, c.attr, got, c.want)
		}
	}
	got := attributes(root)
	for name, want := range map[string]string{
		"ial_level": "IAL2", "given_name": `Ana <&> "María"`, "family_name": "O'Neil\uFFFD", "face_matched": "true", "user_identifier": "alice@example.com", "idv_status": "verified",
	} {
		if got[name] != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	ids := map[string]bool{}
	for _, el := range []string{"/samlp:Response", "//saml:Assertion"} {
		ids[value(t, root, el, "ID")] = true
	}
	if _, second := response(t, h.finish(t, a, person(), nil)); ids[value(t, second, "/samlp:Response", "ID")] || len(ids) != 2 {
		t.Error("an ID is there twice")
	}
	if strings.Contains(h.log.String(), "alice") || strings.Contains(xml, "xsi:") {
		t.Error(h.log.String(), xml)
	}
}

func TestAttributesAsTheClientNamesThem(t *testing.T) {
	t.Parallel()
	h := build()
	h.client.SAML.Attributes = map[string]string{"urn:oid:2.5.4.42": "given_name", "level": "ial_level", "again": "ial_level", "nothing": "no_such_claim"}
	_, root := response(t, h.finish(t, h.ask(t, asked{}, "r"), person(), nil))
	got := attributes(root)
	if len(got) != 3 || got["level"] != "IAL2" || got["again"] != "IAL2" || !strings.HasPrefix(got["urn:oid:2.5.4.42"], "Ana") {
		t.Errorf("%v", got)
	}
	for _, a := range root.FindElements("//saml:Attribute") {
		uri := strings.HasSuffix(a.SelectAttrValue("NameFormat", ""), ":uri")
		if uri != strings.HasPrefix(a.SelectAttrValue("Name", ""), "urn:") {
			t.Error(a.Attr)
		}
	}
	h = build()
	h.client.SAML.Attributes = map[string]string{"nothing": "no_such_claim"}
	xml, root := response(t, h.finish(t, h.ask(t, asked{}, "r"), person(), nil))
	if root.FindElement("//saml:AttributeStatement") != nil {
		t.Error("an empty statement")
	}
	valid(t, xml, "saml-schema-protocol-2.0.xsd")
}

// TestWhoIsNamed is promise 3: no name is from a request, and none is of somebody whose
// face was not matched.
func TestWhoIsNamed(t *testing.T) {
	t.Parallel()
	const v1, v2 = "urn:oasis:names:tc:SAML:1.1:nameid-format:", "urn:oasis:names:tc:SAML:2.0:nameid-format:"
	policy := func(format string) string { return `<samlp:NameIDPolicy AllowCreate="true" Format="` + format + `"/>` }
	victim := `<saml:Subject><saml:NameID>victim@example.com</saml:NameID></saml:Subject>`
	stranger := func(x *federation.Answer) { x.Matched, x.Identifier, x.Sub = false, "", "fresh" }
	for name, c := range map[string]struct {
		client, inner string
		answer        func(*federation.Answer)
		name, format  string
		status        string
	}{
		"persistent":            {name: "pairwise-1", format: v2 + "persistent"},
		"policy persistent":     {client: "emailAddress", inner: policy(v2 + "persistent"), name: "pairwise-1", format: v2 + "persistent"},
		"policy unspecified":    {inner: policy(v1 + "unspecified"), name: "pairwise-1", format: v2 + "persistent"},
		"policy e-mail":         {inner: policy(v1 + "emailAddress"), name: "alice@example.com", format: v1 + "emailAddress"},
		"policy transient":      {inner: policy(v2 + "transient"), format: v2 + "transient"},
		"policy Kerberos":       {inner: policy(v2 + "kerberos"), status: "Requester/InvalidNameIDPolicy"},
		"policy by short name":  {inner: policy("persistent"), status: "Requester/InvalidNameIDPolicy"},
		"policy of others":      {inner: `<samlp:NameIDPolicy SPNameQualifier="urn:other"/>`, status: "Requester/InvalidNameIDPolicy"},
		"policy of ours":        {inner: `<samlp:NameIDPolicy SPNameQualifier="` + entity + `"/>`, name: "pairwise-1", format: v2 + "persistent"},
		"e-mail":                {client: "emailAddress", name: "alice@example.com", format: v1 + "emailAddress"},
		"unspecified":           {client: "unspecified", answer: func(x *federation.Answer) { x.Identifier = "alice" }, name: "alice", format: v1 + "unspecified"},
		"no e-mail":             {client: "emailAddress", answer: func(x *federation.Answer) { x.Identifier = "alice" }, status: "Responder/AuthnFailed"},
		"no e-mail, as asked":   {inner: policy(v1 + "emailAddress"), answer: func(x *federation.Answer) { x.Identifier = "Eve <victim@example.com>" }, status: "Requester/InvalidNameIDPolicy"},
		"no XML":                {client: "unspecified", answer: func(x *federation.Answer) { x.Identifier = "a\x01" }, status: "Responder/AuthnFailed"},
		"stranger":              {inner: victim, answer: stranger, name: "fresh", format: v2 + "persistent"},
		"stranger, transient":   {client: "transient", inner: victim, answer: stranger, format: v2 + "transient"},
		"stranger, e-mail":      {client: "emailAddress", inner: victim, answer: stranger, status: "Responder/AuthnFailed"},
		"stranger, unspecified": {client: "unspecified", inner: victim, answer: stranger, status: "Responder/AuthnFailed"},
		"stranger, policy":      {inner: victim + policy(v1+"emailAddress"), answer: stranger, status: "Requester/InvalidNameIDPolicy"},
		// An identifier without a match is a mistake elsewhere: it is not told here.
		"not matched": {client: "emailAddress", inner: victim, answer: func(x *federation.Answer) { x.Matched = false }, status: "Responder/AuthnFailed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := build()
			h.client.SAML.NameID = c.client
			x := person()
			if c.answer != nil {
				c.answer(x)
			}
			h.begin = func(federation.Ask) (federation.Step, error) { return federation.Step{Answer: x}, nil }
			xml, root := response(t, h.get(t, query(asked{inner: c.inner}.xml(), "r")))
			if strings.Contains(xml, "victim") {
				t.Error("the request names somebody: " + xml)
			}
			if c.status != "" {
				if got := statusCodes(root); got != c.status || root.FindElement("//saml:Assertion") != nil {
					t.Errorf("%s, want %s", got, c.status)
				}
				return
			}
			if got := value(t, root, "//saml:NameID", "Format"); got != c.format {
				t.Errorf("format %s, want %s", got, c.format)
			}
			got := value(t, root, "//saml:NameID", "")
			if c.name != "" && got != c.name || c.name == "" && len(got) < 20 {
				t.Errorf("name %q, want %q", got, c.name)
			}
		})
	}
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	secret := "a secret of the inside"
	for code, want := range map[proof.Code]string{
		proof.CodeLoginRequired: "Responder/NoPassive", proof.CodeInteraction: "Responder/NoPassive", proof.CodeUnmet: "Responder/NoAuthnContext",
		proof.CodeDenied: "Responder/AuthnFailed", proof.CodeForbidden: "Responder/RequestDenied", proof.CodeInvalid: "Requester/RequestDenied",
		proof.CodeNotFound: "Responder/UnknownPrincipal", proof.CodeConflict: "Responder/AuthnFailed", proof.CodeRateLimited: "Responder/RequestDenied",
		proof.CodeUpstream: "Responder", proof.CodeUnavailable: "Responder", proof.CodeInternal: "Responder", "another": "Responder",
	} {
		h := build()
		err := &proof.Error{Code: code, Reason: "why_not", Message: "so it is", Err: errors.New(secret)}
		h.begin = func(federation.Ask) (federation.Step, error) { return federation.Step{}, err }
		w := h.get(t, query(asked{}.xml(), "r"))
		xml, root := response(t, w)
		if got := statusCodes(root); got != want || root.FindElement("//saml:Assertion") != nil {
			t.Errorf("%s: %s, want %s", code, got, want)
		}
		if strings.Contains(xml, secret) || strings.Contains(want, "/") != strings.Contains(xml, "why_not: so it is") {
			t.Errorf("%s tells %s", code, xml)
		}
		if logged := strings.Contains(h.log.String(), secret); logged == strings.Contains(want, "/") {
			t.Errorf("%s: logged: %t", code, logged)
		}
	}
}

func TestContexts(t *testing.T) {
	t.Parallel()
	rc := func(comparison string, classes ...string) string {
		return "<samlp:RequestedAuthnContext" + comparison + "><saml:AuthnContextClassRef>" + strings.Join(classes, "</saml:AuthnContextClassRef><saml:AuthnContextClassRef>") + "</saml:AuthnContextClassRef></samlp:RequestedAuthnContext>"
	}
	for name, c := range map[string]struct {
		inner  string
		set    func(*federation.Client)
		acr    string
		met    bool
		want   string // class, else
		status string
		early  bool // before anybody is bothered
	}{
		"as asked":           {inner: rc("", federation.ACRIAL2+"/"), acr: federation.ACRIAL2 + "/", met: true, want: federation.ACRIAL2 + "/"},
		"as a URN":           {inner: rc("", "urn:kosmoscope:acr:ial:2"), acr: federation.ACRIAL2, met: true, want: "urn:kosmoscope:acr:ial:2"},
		"a level, not asked": {acr: federation.ACRIAL1, met: true, want: "urn:kosmoscope:acr:ial:1"},
		"no such level":      {inner: rc("", "urn:kosmoscope:acr:ial:4"), status: "Responder/NoAuthnContext", early: true},
		"none asked":         {acr: federation.ACRFace, met: true, want: federation.ACRFace},
		"none at all":        {acr: "", met: true, want: "urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified"},
		"not met":            {inner: rc("", federation.ACRIAL2), acr: federation.ACRIAL1, status: "Responder/NoAuthnContext"},
		"said to be met":     {inner: rc("", federation.ACRIAL2), acr: federation.ACRFace, met: true, status: "Responder/NoAuthnContext"},
		"not met, any":       {inner: rc("", federation.ACRIAL2, "urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified"), acr: federation.ACRFace, want: federation.ACRFace},
		"client's must":      {set: func(c *federation.Client) { c.Essential = true }, acr: federation.ACRFace, status: "Responder/NoAuthnContext"},
		"not ours":           {inner: rc("", "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"), status: "Responder/NoAuthnContext", early: true},
		"not allowed":        {inner: rc("", federation.ACRIAL2), set: func(c *federation.Client) { c.Allowed = []string{federation.ACRFace} }, status: "Responder/NoAuthnContext", early: true},
		"better than":        {inner: rc(` Comparison="better"`, federation.ACRIAL2), status: "Responder/NoAuthnContext", early: true},
		"declared elsewhere": {inner: `<samlp:RequestedAuthnContext><saml:AuthnContextDeclRef>urn:x</saml:AuthnContextDeclRef></samlp:RequestedAuthnContext>`, status: "Responder/NoAuthnContext", early: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := build()
			if c.set != nil {
				c.set(h.client)
			}
			h.begin = func(federation.Ask) (federation.Step, error) {
				x := person()
				x.ACR, x.Met = c.acr, c.met
				return federation.Step{Answer: x}, nil
			}
			_, root := response(t, h.get(t, query(asked{inner: c.inner}.xml(), "r")))
			if c.early != (len(h.asks) == 0) {
				t.Errorf("asked: %d", len(h.asks))
			}
			if c.status != "" {
				if got := statusCodes(root); got != c.status || root.FindElement("//saml:Assertion") != nil {
					t.Errorf("%s, want %s", got, c.status)
				}
				return
			}
			if got := value(t, root, "//saml:AuthnContextClassRef", ""); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// TestEndsOnAPage: what cannot be answered goes nowhere.
func TestEndsOnAPage(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*house, *federation.Ask, **federation.Answer){
		"no key":              func(h *house, _ *federation.Ask, _ **federation.Answer) { h.keyErr = errors.New("locked") },
		"no state":            func(_ *house, a *federation.Ask, _ **federation.Answer) { a.State = nil },
		"address taken away":  func(h *house, _ *federation.Ask, _ **federation.Answer) { h.client.SAML.ACS = []string{acs2} },
		"disabled":            func(h *house, _ *federation.Ask, _ **federation.Answer) { h.client.Disabled = true },
		"no client":           func(_ *house, a *federation.Ask, _ **federation.Answer) { a.Client = nil },
		"nobody":              func(_ *house, _ *federation.Ask, x **federation.Answer) { (*x).Sub = "" },
		"at no time":          func(_ *house, _ *federation.Ask, x **federation.Answer) { (*x).AuthTime = time.Time{} },
		"without any session": func(_ *house, _ *federation.Ask, x **federation.Answer) { (*x).Session = "" },
	} {
		h := build()
		a, x := h.ask(t, asked{}, "r"), person()
		change(h, &a, &x)
		w := h.finish(t, a, x, nil)
		if w.Code < 400 || !strings.HasPrefix(w.Body.String(), "SORRY") || strings.Contains(w.Body.String(), "SAMLResponse") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	h := build()
	if _, root := response(t, h.finish(t, h.ask(t, asked{}, "r"), nil, nil)); statusCodes(root) != "Responder" {
		t.Error("neither an answer nor an error is a success")
	}
}

func TestFormPage(t *testing.T) {
	t.Parallel()
	h := build()
	evil := `"><script>alert(1)</script>`
	w := h.finish(t, h.ask(t, asked{}, evil), person(), nil)
	body, header := w.Body.String(), w.Header()
	if strings.Contains(body, evil) || strings.Count(body, "<script") != 1 || !strings.Contains(body, `<button type="submit">`) {
		t.Error(body)
	}
	if _, fields := sent(t, w); fields["RelayState"] != evil {
		t.Error(fields["RelayState"])
	}
	csp := header.Get("Content-Security-Policy")
	_, script, _ := strings.Cut(body, "<script>")
	script, _, _ = strings.Cut(script, "</script>")
	if sum := sha256.Sum256([]byte(script)); !strings.Contains(csp, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
		t.Errorf("%s does not let %q run", csp, script)
	}
	if !strings.HasPrefix(csp, "default-src 'none'; script-src 'sha256-") || strings.Contains(csp, "unsafe") || !strings.Contains(csp, "form-action https:;") || !strings.Contains(csp, "frame-ancestors 'none'") {
		t.Error(csp)
	}
	if header.Get("Cache-Control") != "no-store" || header.Get("X-Content-Type-Options") != "nosniff" {
		t.Error(header)
	}
	if w := h.finish(t, h.ask(t, asked{id: "_2"}, "-"), person(), nil); strings.Contains(w.Body.String(), "RelayState") {
		t.Error("a RelayState from nowhere")
	}
}

// TestLongRelayState travels beside the Ask, and comes back whole or not at all.
func TestLongRelayState(t *testing.T) {
	t.Parallel()
	for _, n := range []int{256, 257, 2700, 2701, 4096} {
		h := build()
		relay := strings.Repeat("é", n/2) + strings.Repeat("x", n%2)
		w := h.post(t, posted(asked{}.xml(), relay))
		if w.Code != http.StatusSeeOther {
			t.Fatalf("%d: %d %s", n, w.Code, h.log.String())
		}
		a := h.asks[0]
		if len(a.State) > 700 {
			t.Errorf("%d: %d bytes of state", n, len(a.State))
		}
		back := func(drop int) *httptest.ResponseRecorder {
			r := httptest.NewRequestWithContext(t.Context(), "GET", "/federation/acme/continue", nil)
			cookies := slices.DeleteFunc(w.Result().Cookies(), func(c *http.Cookie) bool { return c.Name == "flow" })
			for i, c := range cookies {
				if len(c.Name)+len(c.Value) > 4000 || c.Path != "/federation/acme/" || c.MaxAge <= 0 {
					t.Errorf("%s: %d bytes, %+v", c.Name, len(c.Value), c)
				}
				if i != drop {
					r.AddCookie(c)
				}
			}
			w := httptest.NewRecorder()
			h.Finish(w, r, a, person(), nil)
			return w
		}
		if _, fields := sent(t, back(-1)); fields["RelayState"] != relay {
			t.Errorf("%d: it came back as %d bytes", n, len(fields["RelayState"]))
		}
		if n > 256 {
			if w := back(0); w.Code != http.StatusBadRequest {
				t.Errorf("%d, cookie lost: %d", n, w.Code)
			}
		}
		for _, c := range back(-1).Result().Cookies() {
			if c.MaxAge >= 0 {
				t.Errorf("kept: %+v", c)
			}
		}
	}
}

// TestFormOfAnotherSite is posted once more from our own origin, so that the browser
// brings its cookies, and is not used up by that.
func TestFormOfAnotherSite(t *testing.T) {
	t.Parallel()
	h := build()
	xml := enveloped(t, asked{}.xml(), theirs(), "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256")
	form := posted(xml, "r&'\"")
	form.Set("login_hint", "alice")
	w := h.post(t, form, "Sec-Fetch-Site", "cross-site")
	to, fields := sent(t, w)
	got, _ := base64.StdEncoding.DecodeString(fields["SAMLRequest"])
	if to != public+sso || string(got) != xml || len(h.asks) != 0 || len(h.used) != 0 {
		t.Fatalf("to %s, asked %d, used %d", to, len(h.asks), len(h.used))
	}
	for name, v := range fields {
		form.Set(name, v)
	}
	if w := h.post(t, form, "Sec-Fetch-Site", "same-origin"); w.Code != http.StatusSeeOther || h.asks[0].Hint != "alice" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	// What is wrong is not sent round.
	h = build()
	if w := h.post(t, posted(asked{version: "1"}.xml(), "r"), "Sec-Fetch-Site", "cross-site"); w.Code != http.StatusBadRequest {
		t.Errorf("%d", w.Code)
	}
}
