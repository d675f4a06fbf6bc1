package saml_test

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	dsig "github.com/russellhaering/goxmldsig"

	"github.com/kosmoscope/kosmoscope/internal/federation"
)

// refuses checks that nothing happened but a page.
func (h *house) refuses(t *testing.T, code, want int, body, location, why string) {
	t.Helper()
	if code != want || !strings.HasPrefix(body, "SORRY: ") || location != "" {
		t.Errorf("%d (want %d) %q to %q", code, want, body, location)
	}
	if len(h.asks) != 0 {
		t.Error("it was asked all the same")
	}
	if !strings.Contains(h.log.String(), why) {
		t.Errorf("log %q, want %q", h.log.String(), why)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	good := asked{}
	wrap := func() string {
		signed := enveloped(t, good.xml(), theirs(), dsig.RSASHA256SignatureMethod)
		return strings.Replace(asked{id: "_evil", inner: "<samlp:Extensions>" + signed + "</samlp:Extensions>"}.xml(), "?>", "", 1)
	}
	// The signature of another request, put into one that was not signed.
	moved := func() string {
		signed := enveloped(t, good.xml(), theirs(), dsig.RSASHA256SignatureMethod)
		i, j := strings.Index(signed, "<ds:Signature"), strings.Index(signed, "</ds:Signature>")
		evil := asked{id: "_evil", inner: signed[i : j+len("</ds:Signature>")]}
		return evil.xml()
	}
	tampered := func() string {
		signed := enveloped(t, asked{attrs: ` ForceAuthn="true"`}.xml(), theirs(), dsig.RSASHA256SignatureMethod)
		return strings.Replace(signed, `ForceAuthn="true"`, `ForceAuthn="false"`, 1)
	}
	must := func(h *house) { h.client.SAML.SignedRequests = true }
	var bomb bytes.Buffer
	w, _ := flate.NewWriter(&bomb, flate.BestCompression)
	for range 8 << 10 {
		w.Write(make([]byte, 1<<10))
	}
	w.Close()
	entities := `<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>`
	for name, c := range map[string]struct {
		set    func(*house)
		query  string     // redirect
		form   url.Values // else POST
		status int        // 400 if zero
		why    string
	}{
		"unsigned though required":   {set: must, query: query(good.xml(), "r"), why: "must be signed"},
		"unsigned form":              {set: must, form: posted(good.xml(), "r"), why: "must be signed"},
		"signed by somebody else":    {query: signedQuery(query(good.xml(), "r"), ours(), dsig.RSASHA256SignatureMethod), why: "signature of the query is wrong"},
		"SHA-1 in the query":         {query: signedQuery(query(good.xml(), "r"), theirs(), dsig.RSASHA1SignatureMethod), why: "signature of the query is wrong"},
		"signature of another state": {query: strings.Replace(signedQuery(query(good.xml(), "r"), theirs(), dsig.RSASHA256SignatureMethod), "RelayState=r", "RelayState=s", 1), why: "signature of the query is wrong"},
		"state added to signed":      {query: signedQuery(query(good.xml(), "-"), theirs(), dsig.RSASHA256SignatureMethod) + "&RelayState=r", why: "signature of the query is wrong"},
		"algorithm without value":    {query: query(good.xml(), "r") + "&SigAlg=" + url.QueryEscape(dsig.RSASHA256SignatureMethod), why: "do not come together"},
		"value without algorithm":    {query: query(good.xml(), "r") + "&Signature=AAAA", why: "do not come together"},
		"parameter twice":            {query: query(good.xml(), "r") + "&" + query(good.xml(), "-"), why: "there twice"},
		"parameter spelled oddly":    {query: query(good.xml(), "r") + "&%52elayState=x", why: "escaped"},
		"signed, no certificate": {set: func(h *house) { h.client.SAML.Certificates = nil }, why: "no certificate that holds",
			query: signedQuery(query(good.xml(), "r"), theirs(), dsig.RSASHA256SignatureMethod)},
		"certificate expired": {why: "no certificate that holds", query: signedQuery(query(good.xml(), "r"), theirs(), dsig.RSASHA256SignatureMethod), set: func(h *house) {
			h.client.SAML.Certificates = []string{certify(theirs().key, start.Add(-2*time.Hour), start.Add(-time.Hour)).pem()}
		}},
		"certificate weak": {why: "no certificate that holds", query: signedQuery(query(good.xml(), "r"), theirs(), dsig.RSASHA256SignatureMethod), set: func(h *house) {
			h.client.SAML.Certificates = []string{rsaPair(1024).pem()}
		}},

		"form signed by somebody else":       {form: posted(enveloped(t, good.xml(), ours(), dsig.RSASHA256SignatureMethod), "r"), why: "signature of the request is wrong"},
		"form signed with SHA-1":             {form: posted(enveloped(t, good.xml(), theirs(), dsig.RSASHA1SignatureMethod), "r"), why: "algorithm that is not accepted"},
		"form tampered with":                 {form: posted(tampered(), "r"), why: "signature of the request is wrong"},
		"form, what is signed wrapped":       {form: posted(wrap(), "r"), why: "one of a part"},
		"form, signature moved":              {form: posted(moved(), "r"), why: "not of the request"},
		"form, signed with no certificate":   {set: func(h *house) { h.client.SAML.Certificates = nil }, form: posted(enveloped(t, good.xml(), theirs(), dsig.RSASHA256SignatureMethod), "r"), why: "no certificate that holds"},
		"form with SimpleSign":               {form: url.Values{"SAMLRequest": posted(good.xml(), "r")["SAMLRequest"], "SigAlg": {"x"}, "Signature": {"x"}}, why: "SimpleSign"},
		"redirect with a bad one within":     {query: query(enveloped(t, good.xml(), ours(), dsig.RSASHA256SignatureMethod), "r"), why: "signature of the request is wrong"},
		"form twice signed":                  {form: posted(enveloped(t, enveloped(t, good.xml(), theirs(), dsig.RSASHA256SignatureMethod), theirs(), dsig.RSASHA256SignatureMethod), "r"), why: "more than one signature"},
		"form signed over the whole by \"\"": {form: posted(strings.Replace(enveloped(t, good.xml(), theirs(), dsig.RSASHA256SignatureMethod), `URI="#_request1"`, `URI=""`, 1), "r"), why: "not of the request"},

		"no request":               {query: "RelayState=r", why: "no base64"},
		"no base64":                {query: "SAMLRequest=%21", why: "no base64"},
		"not deflated":             {query: "SAMLRequest=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(good.xml()))), why: "inflated"},
		"unknown encoding":         {query: query(good.xml(), "r") + "&SAMLEncoding=x", why: "SAMLEncoding"},
		"query too large":          {query: query(good.xml(), strings.Repeat("r", 17<<10)), status: 413, why: "query is too large"},
		"form too large":           {form: url.Values{"SAMLRequest": {strings.Repeat("A", 129<<10)}}, status: 413, why: "form is too large"},
		"request too large":        {form: posted(good.xml()+strings.Repeat(" ", 70<<10), "r"), status: 413, why: "too large"},
		"inflate bomb":             {query: "SAMLRequest=" + url.QueryEscape(base64.StdEncoding.EncodeToString(bomb.Bytes())), status: 413, why: "once inflated"},
		"state too large":          {form: posted(good.xml(), strings.Repeat("r", 4<<10+1)), status: 413, why: "RelayState is too large"},
		"state that no form keeps": {query: query(good.xml(), "a\nb"), why: "given back"},
		"field twice":              {form: url.Values{"SAMLRequest": {"AAAA", "AAAA"}}, why: "there twice"},

		"document type":        {form: posted(`<!DOCTYPE a SYSTEM "http://evil.example/a.dtd">`+good.xml(), "r"), why: "a document type"},
		"entity expansion":     {form: posted(entities+asked{issuer: "<saml:Issuer>&b;</saml:Issuer>"}.xml(), "r"), why: "a document type"},
		"unknown entity":       {form: posted(asked{issuer: "<saml:Issuer>&b;</saml:Issuer>"}.xml(), "r"), why: "not well-formed"},
		"comment in issuer":    {form: posted(asked{issuer: "<saml:Issuer>" + entity + "<!---->.evil.example</saml:Issuer>"}.xml(), "r"), why: "a comment"},
		"comment in NameID":    {form: posted(asked{inner: "<saml:Subject><saml:NameID>admin@example.com<!-- -->.evil.example</saml:NameID></saml:Subject>"}.xml(), "r"), why: "a comment"},
		"element in issuer":    {form: posted(asked{issuer: "<saml:Issuer>" + entity + "<b/></saml:Issuer>"}.xml(), "r"), why: "Issuer is malformed"},
		"instruction":          {form: posted(asked{inner: "<?php x?>"}.xml(), "r"), why: "processing instruction"},
		"two roots":            {form: posted(good.xml()+good.xml(), "r"), why: "not one root"},
		"text beside":          {form: posted(good.xml()+"x", "r"), why: "text beside"},
		"nothing":              {form: posted(" ", "r"), why: "not one root"},
		"attribute twice":      {form: posted(strings.Replace(good.xml(), " Version", ` ID="_2" Version`, 1), "r"), why: "there twice"},
		"ID of another name":   {form: posted(strings.Replace(good.xml(), " Version", ` xmlns:x="urn:x" x:ID="_2" Version`, 1), "r"), why: "another namespace"},
		"too deep":             {form: posted(asked{inner: strings.Repeat("<a>", 40) + strings.Repeat("</a>", 40)}.xml(), "r"), why: "too deep"},
		"too many":             {form: posted(asked{inner: strings.Repeat("<a/>", 600)}.xml(), "r"), why: "too many"},
		"unbalanced":           {form: posted(good.xml()[:len(good.xml())-3], "r"), why: "not well-formed"},
		"Latin 1":              {form: posted(`<?xml version="1.0" encoding="ISO-8859-1"?>`+good.xml(), "r"), why: "not well-formed"},
		"does not round trip":  {form: posted(asked{inner: `<a ::b="c"/>`}.xml(), "r"), why: "the XML is"},
		"another message":      {form: posted(strings.ReplaceAll(good.xml(), "AuthnRequest", "LogoutRequest"), "r"), why: "not an AuthnRequest"},
		"of another namespace": {form: posted(strings.Replace(good.xml(), "SAML:2.0:protocol", "SAML:1.0:protocol", 1), "r"), why: "not an AuthnRequest"},

		"version":              {query: query(asked{version: "1.1"}.xml(), "r"), why: "version 2.0"},
		"destination":          {query: query(asked{destination: "https://other.example" + sso}.xml(), "r"), why: "Destination"},
		"stale":                {query: query(asked{issued: start.Add(-6 * time.Minute).Format(time.RFC3339)}.xml(), "r"), why: "IssueInstant is not near"},
		"of the future":        {query: query(asked{issued: start.Add(6 * time.Minute).Format(time.RFC3339)}.xml(), "r"), why: "IssueInstant is not near"},
		"of no time":           {query: query(asked{issued: "yesterday"}.xml(), "r"), why: "IssueInstant is malformed"},
		"ID malformed":         {query: query(asked{id: "1&lt;b"}.xml(), "r"), why: "ID is malformed"},
		"ID endless":           {query: query(asked{id: "_" + strings.Repeat("a", 300)}.xml(), "r"), why: "ID is malformed"},
		"nobody's":             {query: query(asked{issuer: " "}.xml(), "r"), why: "not one Issuer"},
		"two issuers":          {query: query(asked{inner: "<saml:Issuer>" + entity + "</saml:Issuer>"}.xml(), "r"), why: "not one Issuer"},
		"unregistered":         {query: query(asked{issuer: "<saml:Issuer>urn:other</saml:Issuer>"}.xml(), "r"), status: 403, why: "not registered"},
		"disabled":             {set: func(h *house) { h.client.Disabled = true }, query: query(good.xml(), "r"), status: 403, why: "not registered"},
		"wrong ACS":            {query: query(asked{attrs: ` AssertionConsumerServiceURL="https://evil.example/acs"`}.xml(), "r"), why: "address is not registered"},
		"nearly the ACS":       {query: query(asked{attrs: ` AssertionConsumerServiceURL="https://api.example/second/"`}.xml(), "r"), why: "address is not registered"},
		"ACS index":            {query: query(asked{attrs: ` AssertionConsumerServiceIndex="2"`}.xml(), "r"), why: "address is not registered"},
		"ACS index malformed":  {query: query(asked{attrs: ` AssertionConsumerServiceIndex="-1"`}.xml(), "r"), why: "index is malformed"},
		"ACS twice":            {query: query(asked{attrs: ` AssertionConsumerServiceIndex="1" AssertionConsumerServiceURL="` + acs2 + `"`}.xml(), "r"), why: "twice"},
		"no ACS at all":        {set: func(h *house) { h.client.SAML.ACS = nil }, query: query(good.xml(), "r"), why: "address is not registered"},
		"binding":              {query: query(asked{attrs: ` ProtocolBinding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Artifact"`}.xml(), "r"), why: "another binding"},
		"flag":                 {query: query(asked{attrs: ` IsPassive="yes"`}.xml(), "r"), why: "no boolean"},
		"policy twice":         {query: query(asked{inner: "<samlp:NameIDPolicy/><samlp:NameIDPolicy/>"}.xml(), "r"), why: "there twice"},
		"too many contexts":    {query: query(asked{inner: "<samlp:RequestedAuthnContext>" + strings.Repeat("<saml:AuthnContextClassRef>a</saml:AuthnContextClassRef>", 11) + "</samlp:RequestedAuthnContext>"}.xml(), "r"), why: "too many contexts"},
		"ACS not https":        {set: func(h *house) { h.client.SAML.ACS = []string{"http://api.example/acs"} }, query: query(good.xml(), "r"), status: 500, why: "no https"},
		"ACS that is code":     {set: func(h *house) { h.client.SAML.ACS = []string{"javascript:alert(1)//"} }, query: query(good.xml(), "r"), status: 500, why: "no https"},
		"the client's own set": {set: func(h *house) { h.client.SAML.NameID = "windows" }, query: query(good.xml(), "r"), status: 500, why: "NameID is unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := build()
			if c.set != nil {
				c.set(h)
			}
			w := h.get(t, c.query)
			if c.form != nil {
				h = build()
				if c.set != nil {
					c.set(h)
				}
				w = h.post(t, c.form)
			}
			if c.status == 0 {
				c.status = http.StatusBadRequest
			}
			h.refuses(t, w.Code, c.status, w.Body.String(), w.Header().Get("Location"), c.why)
			if len(h.used) != 0 {
				t.Error("it was used up")
			}
		})
	}
}

func TestReplayed(t *testing.T) {
	t.Parallel()
	h := build()
	h.ask(t, asked{}, "r")
	w := h.post(t, posted(asked{}.xml(), "r"))
	if w.Code != http.StatusConflict || !strings.Contains(h.said, "used before") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	// Whatever time its IssueInstant allows, it is still remembered.
	h = build()
	h.now = start.Add(-5 * time.Minute)
	h.ask(t, asked{}, "r")
	h.now = start.Add(5 * time.Minute)
	if w := h.get(t, query(asked{}.xml(), "r")); w.Code != http.StatusConflict {
		t.Errorf("at the end of its time: %d", w.Code)
	}
	if w := h.get(t, query(asked{id: "_another"}.xml(), "r")); w.Code != http.StatusSeeOther {
		t.Errorf("another: %d %s", w.Code, w.Body)
	}
}

func TestOtherTenantsAndLookers(t *testing.T) {
	t.Parallel()
	h := build()
	for path, want := range map[string]int{"/federation/other/saml/sso?": 404, "/federation/other/saml/metadata?": 404} {
		w := h.do(t, "GET", path+query(asked{}.xml(), "r"))
		if w.Code != want {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if w := h.do(t, "HEAD", sso+"?"+query(asked{}.xml(), "r")); w.Code != http.StatusNoContent {
		t.Errorf("HEAD: %d", w.Code)
	}
	if w := h.do(t, "GET", sso+"?"+query(asked{}.xml(), "r"), "Sec-Purpose", "prefetch;prerender"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("prefetch: %d", w.Code)
	}
	if len(h.used) != 0 {
		t.Error("a look used it up")
	}
}

func TestAccepted(t *testing.T) {
	t.Parallel()
	rc := func(comparison string, classes ...string) string {
		s := "<samlp:RequestedAuthnContext" + comparison + ">"
		for _, c := range classes {
			s += "<saml:AuthnContextClassRef>" + c + "</saml:AuthnContextClassRef>"
		}
		return s + "</samlp:RequestedAuthnContext>"
	}
	name := func(format, v string) string {
		return `<saml:Subject><saml:NameID Format="` + format + `">` + v + `</saml:NameID></saml:Subject>`
	}
	const nameid = "urn:oasis:names:tc:SAML:2.0:nameid-format:"
	for what, c := range map[string]struct {
		a     asked
		extra string // of the query
		check func(a federation.Ask) bool
	}{
		"plain": {check: func(a federation.Ask) bool {
			return !a.Fresh && !a.Silent && a.Hint == "" && len(a.ACR) == 0 && !a.Essential
		}},
		"flags":        {a: asked{attrs: ` ForceAuthn="true" IsPassive="1"`}, check: func(a federation.Ask) bool { return a.Fresh && a.Silent }},
		"local time":   {a: asked{issued: start.Format("2006-01-02T15:04:05.000")}},
		"other zone":   {a: asked{issued: start.In(time.FixedZone("", 3600)).Format(time.RFC3339Nano)}},
		"first ACS":    {check: func(a federation.Ask) bool { return strings.Contains(string(a.State), `projectId=P2abc`) }},
		"by index":     {a: asked{attrs: ` AssertionConsumerServiceIndex="1"`}, check: func(a federation.Ask) bool { return strings.Contains(string(a.State), acs2) }},
		"by URL":       {a: asked{attrs: ` ProtocolBinding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" AssertionConsumerServiceURL="` + acs2 + `"`}, check: func(a federation.Ask) bool { return strings.Contains(string(a.State), acs2) }},
		"login_hint":   {extra: "&login_hint=alice%40example.com", check: func(a federation.Ask) bool { return a.Hint == "alice@example.com" }},
		"bad hint":     {extra: "&login_hint=a%00b", check: func(a federation.Ask) bool { return a.Hint == "" }},
		"subject":      {a: asked{inner: name("urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress", " bob ")}, extra: "&login_hint=alice", check: func(a federation.Ask) bool { return a.Hint == "bob" }},
		"our own name": {a: asked{inner: name(nameid+"persistent", "pairwise-7")}, check: func(a federation.Ask) bool { return a.Hint == "" && a.HintSubject == "7" }},
		"no name":      {a: asked{inner: name(nameid+"persistent", "forged")}, check: func(a federation.Ask) bool { return a.Hint == "" && a.HintSubject == "" }},
		"transient":    {a: asked{inner: name(nameid+"transient", "x")}, check: func(a federation.Ask) bool { return a.Hint == "" }},
		"context": {a: asked{inner: rc("", "urn:x", federation.ACRIAL2+"/")}, check: func(a federation.Ask) bool {
			return a.Essential && len(a.ACR) == 1 && a.ACR[0] == federation.ACRIAL2+"/"
		}},
		"minimum": {a: asked{inner: rc(` Comparison="minimum"`, federation.ACRIAL1, federation.ACRFace)}, check: func(a federation.Ask) bool { return a.Essential && len(a.ACR) == 2 }},
		"by URN":  {a: asked{inner: rc("", "urn:kosmoscope:acr:ial:2")}, check: func(a federation.Ask) bool { return a.Essential && len(a.ACR) == 1 && a.ACR[0] == federation.ACRIAL2 }},
		"any context": {a: asked{inner: rc("", federation.ACRFace, "urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified")}, check: func(a federation.Ask) bool {
			return !a.Essential && len(a.ACR) == 1
		}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			h := build()
			w := h.get(t, query(c.a.xml(), "r")+c.extra)
			if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/v/1" || w.Header().Get("Set-Cookie") == "" {
				t.Fatalf("%d %s %s", w.Code, w.Body, h.log.String())
			}
			a := h.asks[0]
			if a.Client != h.client || a.ClientID != "descope" || a.Tenant != "acme" || a.Protocol != federation.SAML || len(a.State) > 700 {
				t.Errorf("%+v", a)
			}
			if c.check != nil && !c.check(a) {
				t.Errorf("%+v %s", a, a.State)
			}
		})
	}
}

func TestSignedRequests(t *testing.T) {
	t.Parallel()
	build := func() *house {
		h := build()
		h.client.SAML.SignedRequests = true
		return h
	}
	for name, q := range map[string]string{
		"RSA":               signedQuery(query(asked{}.xml(), "a b+c/%"), theirs(), dsig.RSASHA256SignatureMethod),
		"ECDSA":             signedQuery(query(asked{}.xml(), "r"), curve(), dsig.ECDSASHA256SignatureMethod),
		"without state":     signedQuery(query(asked{}.xml(), "-"), theirs(), dsig.RSASHA256SignatureMethod),
		"with empty state":  signedQuery(query(asked{}.xml(), ""), theirs(), dsig.RSASHA256SignatureMethod),
		"lower-case escape": signedQuery(strings.NewReplacer("%2B", "%2b", "%2F", "%2f", "%3D", "%3d").Replace(query(asked{}.xml(), "r")), theirs(), dsig.RSASHA256SignatureMethod),
		"besides":           "x=1&" + signedQuery(query(asked{}.xml(), "r"), theirs(), dsig.RSASHA256SignatureMethod) + "&login_hint=a",
		"within":            query(enveloped(t, asked{}.xml(), theirs(), dsig.RSASHA256SignatureMethod), "r"),
	} {
		h := build()
		if w := h.get(t, q); w.Code != http.StatusSeeOther {
			t.Errorf("%s: %d %s", name, w.Code, h.log.String())
		}
	}
	// The order in which they come is not the order in which they are signed.
	parts := strings.Split(signedQuery(query(asked{}.xml(), "r"), theirs(), dsig.RSASHA256SignatureMethod), "&")
	h := build()
	if w := h.get(t, strings.Join([]string{parts[3], parts[2], parts[1], parts[0]}, "&")); w.Code != http.StatusSeeOther {
		t.Errorf("in another order: %d %s", w.Code, h.log.String())
	}
	// Go, and others, spell an ECDSA signature as ASN.1.
	h = build()
	q := query(asked{}.xml(), "r") + "&SigAlg=" + url.QueryEscape(dsig.ECDSASHA256SignatureMethod)
	sum := sha256.Sum256([]byte(q))
	sig, err := curve().key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if w := h.get(t, q+"&Signature="+url.QueryEscape(base64.StdEncoding.EncodeToString(sig))); w.Code != http.StatusSeeOther {
		t.Errorf("ECDSA as ASN.1: %d %s", w.Code, h.log.String())
	}
	for name, xml := range map[string]string{
		"RSA-SHA256": enveloped(t, asked{}.xml(), theirs(), dsig.RSASHA256SignatureMethod),
		"RSA-SHA512": enveloped(t, asked{}.xml(), theirs(), dsig.RSASHA512SignatureMethod),
		"ECDSA":      enveloped(t, asked{}.xml(), curve(), dsig.ECDSASHA256SignatureMethod),
	} {
		h := build()
		if w := h.post(t, posted(xml, "r")); w.Code != http.StatusSeeOther {
			t.Errorf("form, %s: %d %s", name, w.Code, h.log.String())
		}
	}
}
