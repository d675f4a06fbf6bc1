package federation_test

import (
	"bytes"
	"compress/flate"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/federation"
)

// credentials sign assertions.
type credentials struct {
	key *rsa.PrivateKey
	der []byte
}

func newCredentials() (*credentials, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "idp"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	return &credentials{key, der}, err
}

// ours and theirs are made once: they take long.
var (
	ours   = sync.OnceValues(newCredentials)
	theirs = sync.OnceValues(newCredentials)
)

func (c *credentials) base64() string { return base64.StdEncoding.EncodeToString(c.der) }

// authnRequest is what a service provider asks, as far as we look at it.
type authnRequest struct {
	XMLName    xml.Name `xml:"urn:oasis:names:tc:SAML:2.0:protocol AuthnRequest"`
	ID         string   `xml:"ID,attr"`
	ACS        string   `xml:"AssertionConsumerServiceURL,attr"`
	ForceAuthn string   `xml:"ForceAuthn,attr"`
	Issuer     string   `xml:"urn:oasis:names:tc:SAML:2.0:assertion Issuer"`
	Policy     struct {
		Format string `xml:"Format,attr"`
	} `xml:"NameIDPolicy"`
	relay, hint string
}

// idp is a SAML identity provider that says what a test wants it to, true or not.
type idp struct {
	*httptest.Server
	cred       *credentials
	nameID     string
	attributes map[string][]string
	// change has a go at an answer before it is signed, after at what is signed.
	change func(resp, assertion *etree.Element)
	after  func(doc *etree.Document)
	plain  bool // without a signature
	whole  bool // the response is signed, too
}

func newIDP(t *testing.T) *idp {
	t.Helper()
	cred, err := ours()
	if err != nil {
		t.Fatal(err)
	}
	i := &idp{cred: cred, nameID: "pairwise-1", attributes: map[string][]string{}}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:ds="http://www.w3.org/2000/09/xmldsig#" entityID="%s">
<md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"><md:KeyDescriptor use="signing"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>%s</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>
<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="%s/sso"/></md:IDPSSODescriptor></md:EntityDescriptor>`, i.URL, i.cred.base64(), i.URL)
	}))
	t.Cleanup(i.Close)
	return i
}

// settings are those of a Descope tenant.
func (i *idp) settings(tenant string) federation.SSO {
	return federation.SSO{TenantID: tenant, Domains: []string{"tenant.example"}, Settings: federation.Settings{
		IDPURL: i.URL + "/sso", EntityID: i.URL, IDPCert: i.cred.base64(),
		AttributeMapping: federation.AttributeMapping{
			Email: "email", GivenName: "given_name", CustomAttributes: map[string]string{"kosmosIal": "ial_level", "kosmosFace": "face_matched"},
		},
	}}
}

// read takes a request out of the redirect binding.
func (i *idp) read(t *testing.T, address string) authnRequest {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil || u.Scheme+"://"+u.Host+u.Path != i.URL+"/sso" {
		t.Fatalf("sent to %s (%v)", address, err)
	}
	b, err := base64.StdEncoding.DecodeString(u.Query().Get("SAMLRequest"))
	if err != nil {
		t.Fatal(err)
	}
	b, err = io.ReadAll(flate.NewReader(bytes.NewReader(b)))
	if err != nil {
		t.Fatal(err)
	}
	q := authnRequest{relay: u.Query().Get("RelayState"), hint: u.Query().Get("login_hint")}
	if err := xml.Unmarshal(b, &q); err != nil {
		t.Fatal(err)
	}
	return q
}

// answer is the form that the browser posts.
func (i *idp) answer(t *testing.T, q authnRequest) url.Values {
	t.Helper()
	now := time.Now().UTC()
	at := func(d time.Duration) string { return now.Add(d).Format(time.RFC3339) }
	resp := etree.NewElement("samlp:Response")
	resp.CreateAttr("xmlns:samlp", "urn:oasis:names:tc:SAML:2.0:protocol")
	resp.CreateAttr("xmlns:saml", "urn:oasis:names:tc:SAML:2.0:assertion")
	set := func(e *etree.Element, attrs ...string) *etree.Element {
		for n := 0; n < len(attrs); n += 2 {
			e.CreateAttr(attrs[n], attrs[n+1])
		}
		return e
	}
	set(resp, "ID", "_r"+rand.Text(), "Version", "2.0", "IssueInstant", at(0), "Destination", q.ACS, "InResponseTo", q.ID)
	resp.CreateElement("saml:Issuer").SetText(i.URL)
	set(resp.CreateElement("samlp:Status").CreateElement("samlp:StatusCode"), "Value", "urn:oasis:names:tc:SAML:2.0:status:Success")
	a := set(resp.CreateElement("saml:Assertion"), "ID", "_a"+rand.Text(), "Version", "2.0", "IssueInstant", at(0))
	a.CreateElement("saml:Issuer").SetText(i.URL)
	s := a.CreateElement("saml:Subject")
	set(s.CreateElement("saml:NameID"), "Format", "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent").SetText(i.nameID)
	set(set(s.CreateElement("saml:SubjectConfirmation"), "Method", "urn:oasis:names:tc:SAML:2.0:cm:bearer").CreateElement("saml:SubjectConfirmationData"),
		"NotOnOrAfter", at(time.Minute), "Recipient", q.ACS, "InResponseTo", q.ID)
	c := set(a.CreateElement("saml:Conditions"), "NotBefore", at(-time.Minute), "NotOnOrAfter", at(time.Minute))
	c.CreateElement("saml:AudienceRestriction").CreateElement("saml:Audience").SetText(q.Issuer)
	set(a.CreateElement("saml:AuthnStatement"), "AuthnInstant", at(0)).CreateElement("saml:AuthnContext").CreateElement("saml:AuthnContextClassRef").SetText("/assurance/ial/2")
	attributes := a.CreateElement("saml:AttributeStatement")
	for _, name := range slices.Sorted(maps.Keys(i.attributes)) {
		e := set(attributes.CreateElement("saml:Attribute"), "Name", name)
		for _, v := range i.attributes[name] {
			e.CreateElement("saml:AttributeValue").SetText(v)
		}
	}
	if i.change != nil {
		i.change(resp, a)
	}
	doc := etree.NewDocument()
	doc.SetRoot(resp)
	if !i.plain {
		resp.RemoveChild(a)
		resp.AddChild(i.sign(t, a, resp))
		if i.whole {
			doc.SetRoot(i.sign(t, resp, nil))
		}
	}
	if i.after != nil {
		i.after(doc)
	}
	b, err := doc.WriteToBytes()
	if err != nil {
		t.Fatal(err)
	}
	return url.Values{"SAMLResponse": {base64.StdEncoding.EncodeToString(b)}, "RelayState": {q.relay}}
}

// sign signs an element as it stands in scope of what its parent declares.
func (i *idp) sign(t *testing.T, e, parent *etree.Element) *etree.Element {
	t.Helper()
	s := dsig.NewDefaultSigningContext(dsig.TLSCertKeyStore(tls.Certificate{Certificate: [][]byte{i.cred.der}, PrivateKey: i.cred.key}))
	s.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	if parent != nil {
		e.CreateAttr("xmlns:saml", "urn:oasis:names:tc:SAML:2.0:assertion")
	}
	signed, err := s.SignEnveloped(e)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}
