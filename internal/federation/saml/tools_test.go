package saml_test

import (
	"bytes"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Programs and schemas that we did not write: Debian's xmlsec1, libxml2-utils,
// opensaml-schemas and xmltooling-schemas.
const (
	samlSchemas = "/usr/share/xml/opensaml/"
	w3cSchemas  = "/usr/share/xml/xmltooling/"
)

// needs skips a test, except in CI, where nothing may be left out.
func needs(t testing.TB, what ...string) {
	t.Helper()
	for _, w := range what {
		_, err := exec.LookPath(w)
		if strings.HasPrefix(w, "/") {
			_, err = os.Stat(w)
		}
		if err == nil {
			continue
		}
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is needed", w)
		}
		t.Skipf("%s is not installed", w)
	}
}

func file(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// xmlsec has xmlsec1 verify the signature of one element of a document.
func xmlsec(t testing.TB, xml, element string, key pair) error {
	t.Helper()
	needs(t, "xmlsec1")
	at := "/*[local-name()='Response']"
	if element == "Assertion" {
		at += "/*[local-name()='Assertion']"
	}
	if element == "EntityDescriptor" {
		at = "/*[local-name()='EntityDescriptor']"
	}
	cmd := exec.CommandContext(t.Context(), "xmlsec1", "--verify", "--enabled-key-data", "rsa,x509",
		"--pubkey-cert-pem", file(t, "key.pem", []byte(key.pem())),
		"--id-attr:ID", "urn:oasis:names:tc:SAML:2.0:protocol:Response",
		"--id-attr:ID", "urn:oasis:names:tc:SAML:2.0:assertion:Assertion",
		"--id-attr:ID", "urn:oasis:names:tc:SAML:2.0:metadata:EntityDescriptor",
		"--node-xpath", at+"/*[local-name()='Signature']", file(t, "it.xml", []byte(xml)))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Logf("xmlsec1: %s", out)
	}
	return err
}

// valid has xmllint hold a document against a schema of SAML.
func valid(t testing.TB, xml, schema string) {
	t.Helper()
	needs(t, "xmllint", samlSchemas+schema, w3cSchemas+"xmldsig-core-schema.xsd")
	var catalog strings.Builder
	catalog.WriteString(`<catalog xmlns="urn:oasis:names:tc:entity:xmlns:xml:catalog">`)
	for from, to := range map[string]string{
		"http://www.w3.org/TR/2002/REC-xmldsig-core-20020212/xmldsig-core-schema.xsd": "xmldsig-core-schema.xsd",
		"http://www.w3.org/TR/2002/REC-xmlenc-core-20021210/xenc-schema.xsd":          "xenc-schema.xsd",
		"http://www.w3.org/2001/xml.xsd":                                              "xml.xsd",
	} {
		catalog.WriteString(`<system systemId="` + from + `" uri="file://` + w3cSchemas + to + `"/><uri name="` + from + `" uri="file://` + w3cSchemas + to + `"/>`)
	}
	catalog.WriteString("</catalog>")
	cmd := exec.CommandContext(t.Context(), "xmllint", "--nonet", "--noout", "--schema", samlSchemas+schema, file(t, "it.xml", []byte(xml)))
	cmd.Env = append(os.Environ(), "XML_CATALOG_FILES="+file(t, "catalog.xml", []byte(catalog.String())))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s\n%s", schema, err, out, xml)
	}
}

// canonical checks that a document is its own exclusive canonical form.
func canonical(t testing.TB, xml string) {
	t.Helper()
	needs(t, "xmllint")
	out, err := exec.CommandContext(t.Context(), "xmllint", "--exc-c14n", file(t, "it.xml", []byte(xml))).Output()
	if err != nil || string(bytes.TrimSuffix(out, []byte("\n"))) != xml {
		t.Errorf("%v\ncanonical %s\nis        %s", err, out, xml)
	}
}

func TestResponseBesidesOtherPrograms(t *testing.T) {
	t.Parallel()
	h := build()
	a := h.ask(t, asked{id: "_a.b-c"}, "r")
	for name, xml := range map[string]string{
		"answer":  first(response(t, h.finish(t, a, person(), nil))),
		"refusal": first(response(t, h.finish(t, a, nil, &proof.Error{Code: proof.CodeDenied, Reason: "x", Message: `<&"'>` + "\x00"}))),
		"unmet":   first(response(t, h.finish(t, a, nil, &proof.Error{Code: proof.CodeUnmet}))),
		"failure": first(response(t, h.finish(t, a, nil, os.ErrClosed))),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			canonical(t, xml)
			valid(t, xml, "saml-schema-protocol-2.0.xsd")
			if err := xmlsec(t, xml, "Response", ours()); err != nil {
				t.Error(err)
			}
			if xmlsec(t, xml, "Response", theirs()) == nil {
				t.Error("it is signed by anybody")
			}
			if name != "answer" {
				return
			}
			if err := xmlsec(t, xml, "Assertion", ours()); err != nil {
				t.Error(err)
			}
			tampered := strings.Replace(xml, "<saml:AttributeValue>IAL2", "<saml:AttributeValue>IAL3", 1)
			if tampered == xml {
				t.Fatal("nothing to tamper with")
			}
			for _, element := range []string{"Response", "Assertion"} {
				if xmlsec(t, tampered, element, ours()) == nil {
					t.Errorf("%s: tampered with, and accepted", element)
				}
			}
			renamed := strings.Replace(xml, ">pairwise-1<", ">pairwise-2<", 1)
			if renamed == xml || xmlsec(t, renamed, "Assertion", ours()) == nil {
				t.Error("somebody else, and accepted")
			}
			// The one outside fails if what is beside the assertion changes.
			if elsewhere := strings.Replace(xml, "status:Success", "status:Requester", 1); xmlsec(t, elsewhere, "Response", ours()) == nil {
				t.Error("another status, and accepted")
			}
		})
	}
}

func first(s string, _ *etree.Element) string { return s }

func TestMetadata(t *testing.T) {
	t.Parallel()
	h := build()
	w := h.do(t, "GET", "/federation/acme/saml/metadata")
	if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "application/samlmetadata+xml") {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	xml := w.Body.String()
	doc := etree.NewDocument()
	if err := doc.ReadFromString(xml); err != nil {
		t.Fatal(err)
	}
	root := doc.Root()
	if root.SelectAttrValue("entityID", "") != idp || root.SelectAttrValue("validUntil", "") != "2026-12-06T09:00:00Z" {
		t.Error(xml)
	}
	if n := len(root.FindElements("//md:KeyDescriptor")); n != 2 {
		t.Errorf("%d keys, want the one that signs and the next", n)
	}
	for _, s := range root.FindElements("//md:SingleSignOnService") {
		if s.SelectAttrValue("Location", "") != public+sso {
			t.Error(s.Attr)
		}
	}
	if root.FindElement("//md:SingleLogoutService") != nil || len(root.FindElements("//md:SingleSignOnService")) != 2 {
		t.Error("other services than ours")
	}
	if again := h.do(t, "GET", "/federation/acme/saml/metadata").Body.String(); again != xml {
		t.Error("it is signed each time")
	}
	h.now = h.now.Add(2 * metadataFresh)
	if later := h.do(t, "GET", "/federation/acme/saml/metadata").Body.String(); later == xml {
		t.Error("it is never made anew")
	}
	h.now = h.now.Add(2 * metadataFresh)
	h.keyErr = os.ErrClosed
	if w := h.do(t, "GET", "/federation/acme/saml/metadata"); w.Code != 503 || strings.Contains(w.Body.String(), "closed") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	canonical(t, xml)
	valid(t, xml, "saml-schema-metadata-2.0.xsd")
	if err := xmlsec(t, xml, "EntityDescriptor", ours()); err != nil {
		t.Error(err)
	}
}

const metadataFresh = 60e9 // time.Minute

// TestRequestSignedByXMLSec has another program sign a form's request, with an ECDSA
// key too, whose signatures XML spells in another way than Go.
func TestRequestSignedByXMLSec(t *testing.T) {
	t.Parallel()
	needs(t, "xmlsec1")
	for method, p := range map[string]pair{dsig.RSASHA256SignatureMethod: theirs(), dsig.ECDSASHA256SignatureMethod: curve()} {
		template := `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="http://www.w3.org/TR/2001/REC-xml-c14n-20010315"/>` +
			`<ds:SignatureMethod Algorithm="` + method + `"/><ds:Reference URI="#_request1"><ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/>` +
			`<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/></ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue/></ds:Reference></ds:SignedInfo>` +
			`<ds:SignatureValue/><ds:KeyInfo><ds:KeyName>mine</ds:KeyName></ds:KeyInfo></ds:Signature>`
		xml := asked{inner: template + "\n" + `<samlp:NameIDPolicy Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent" AllowCreate="true"/>`}.xml()
		key := file(t, "key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8(t, p.key)}))
		cmd := exec.CommandContext(t.Context(), "xmlsec1", "--sign", "--privkey-pem", key, "--id-attr:ID", "urn:oasis:names:tc:SAML:2.0:protocol:AuthnRequest", file(t, "it.xml", []byte(xml)))
		var trouble bytes.Buffer
		cmd.Stderr = &trouble
		signed, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v %s", err, &trouble)
		}
		h := build()
		h.client.SAML.SignedRequests = true
		if w := h.post(t, posted(string(signed), "r")); w.Code != 303 {
			t.Errorf("%s: %d %s\n%s", method, w.Code, h.log.String(), signed)
		}
		h = build()
		h.client.SAML.Certificates = []string{ours().pem()}
		if w := h.post(t, posted(string(signed), "r")); w.Code != 400 || len(h.asks) != 0 {
			t.Errorf("%s, of an unknown key: %d", method, w.Code)
		}
	}
}
