package saml

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"time"
	"unicode/utf8"
)

// document is XML written straight in its exclusive canonical form (W3C xml-exc-c14n),
// so that what is digested is what is sent: each element declares the one prefix that
// it uses where no ancestor has, attributes have no prefix and come in alphabetical
// order, and no element is empty by "/>". The tests hold this against xmllint.
type document struct{ strings.Builder }

// open begins an element; name has its prefix. pairs are attribute names and values in
// canonical order, namespace declarations first. An empty value leaves an attribute
// out.
func (d *document) open(name string, pairs ...string) {
	d.WriteString("<" + name)
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			d.WriteString(" " + pairs[i] + `="`)
			canonicalAttr.WriteString(d, legal(pairs[i+1]))
			d.WriteString(`"`)
		}
	}
	d.WriteString(">")
}

func (d *document) close(name string) { d.WriteString("</" + name + ">") }

// leaf is an element that holds text, or nothing.
func (d *document) leaf(name, text string, pairs ...string) {
	d.open(name, pairs...)
	canonicalText.WriteString(d, legal(text))
	d.close(name)
}

// Canonical XML 1.0, 2.3.
var (
	canonicalText = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\r", "&#xD;")
	canonicalAttr = strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;", "\t", "&#x9;", "\n", "&#xA;", "\r", "&#xD;")
)

// legal puts U+FFFD where XML 1.0 has no character.
func legal(s string) string {
	return strings.Map(func(r rune) rune {
		if xmlChar(r) {
			return r
		}
		return utf8.RuneError
	}, s)
}

// xmlChar is XML 1.0's Char.
func xmlChar(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r <= 0xD7FF || r >= 0xE000 && r <= 0xFFFD || r >= 0x10000 && r <= 0x10FFFF
}

// seal is who signs.
type seal struct {
	signer crypto.Signer
	cert   []byte
}

// sign puts a signature between head and tail, which together are one canonical
// element whose ID is id (XML Signature, enveloped, as SAML core 5.4 has it).
func (s seal) sign(id, head, tail string) (string, error) {
	if _, ok := s.signer.Public().(*rsa.PublicKey); !ok {
		return "", errors.New("saml: the key is no RSA key")
	}
	h := sha256.New()
	h.Write([]byte(head))
	h.Write([]byte(tail))
	var info document
	info.leaf("ds:CanonicalizationMethod", "", "Algorithm", "http://www.w3.org/2001/10/xml-exc-c14n#")
	info.leaf("ds:SignatureMethod", "", "Algorithm", "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256")
	info.open("ds:Reference", "URI", "#"+id)
	info.open("ds:Transforms")
	info.leaf("ds:Transform", "", "Algorithm", "http://www.w3.org/2000/09/xmldsig#enveloped-signature")
	info.leaf("ds:Transform", "", "Algorithm", "http://www.w3.org/2001/10/xml-exc-c14n#")
	info.close("ds:Transforms")
	info.leaf("ds:DigestMethod", "", "Algorithm", "http://www.w3.org/2001/04/xmlenc#sha256")
	info.leaf("ds:DigestValue", base64.StdEncoding.EncodeToString(h.Sum(nil)))
	info.close("ds:Reference")
	info.close("ds:SignedInfo")

	// By itself, SignedInfo declares the prefix; below Signature it need not.
	digest := sha256.Sum256([]byte(`<ds:SignedInfo xmlns:ds="` + nsSignature + `">` + info.String()))
	value, err := s.signer.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return "", err
	}
	var d document
	d.WriteString(head)
	d.open("ds:Signature", "xmlns:ds", nsSignature)
	d.WriteString("<ds:SignedInfo>" + info.String())
	d.leaf("ds:SignatureValue", base64.StdEncoding.EncodeToString(value))
	d.open("ds:KeyInfo")
	d.certificate(s.cert)
	d.close("ds:KeyInfo")
	d.close("ds:Signature")
	d.WriteString(tail)
	return d.String(), nil
}

func (d *document) certificate(der []byte) {
	d.open("ds:X509Data")
	d.leaf("ds:X509Certificate", base64.StdEncoding.EncodeToString(der))
	d.close("ds:X509Data")
}

// newID is an xs:ID of 160 random bits (SAML core 1.3.4).
func newID() string {
	b := make([]byte, 20)
	rand.Read(b)
	return "_" + base64ID.EncodeToString(b)
}

// base64ID spells in letters, digits, - and _, all of which an NCName may hold.
var base64ID = base64.RawURLEncoding

func stamp(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }
