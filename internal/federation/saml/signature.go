package saml

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"strings"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/kosmoscope/kosmoscope/internal/federation"
)

const (
	maxCertificates = 8
	minRSA          = 2048 // bits
)

// Algorithms that a request may be signed with, and digested. SHA-1 is not among them.
var (
	algorithms = map[string]struct {
		hash crypto.Hash
		alg  x509.SignatureAlgorithm
		ec   bool
	}{
		dsig.RSASHA256SignatureMethod:   {crypto.SHA256, x509.SHA256WithRSA, false},
		dsig.RSASHA384SignatureMethod:   {crypto.SHA384, x509.SHA384WithRSA, false},
		dsig.RSASHA512SignatureMethod:   {crypto.SHA512, x509.SHA512WithRSA, false},
		dsig.ECDSASHA256SignatureMethod: {crypto.SHA256, x509.ECDSAWithSHA256, true},
		dsig.ECDSASHA384SignatureMethod: {crypto.SHA384, x509.ECDSAWithSHA384, true},
		dsig.ECDSASHA512SignatureMethod: {crypto.SHA512, x509.ECDSAWithSHA512, true},
	}
	digests = map[string]bool{
		"http://www.w3.org/2001/04/xmlenc#sha256":       true,
		"http://www.w3.org/2001/04/xmldsig-more#sha384": true,
		"http://www.w3.org/2001/04/xmlenc#sha512":       true,
	}
	// Canonicalization of SignedInfo. None keeps comments.
	canonical = map[string]bool{
		string(dsig.CanonicalXML10ExclusiveAlgorithmId): true,
		string(dsig.CanonicalXML10RecAlgorithmId):       true,
		string(dsig.CanonicalXML11AlgorithmId):          true,
	}
)

// authentic checks every signature that a request has, and that it has one if the
// client's must. It returns the root as it was signed: from then on nothing else is
// read.
func (p *Provider) authentic(c *federation.Client, m *message, root *etree.Element) (*etree.Element, error) {
	enveloped, err := signatureOf(root)
	if err != nil {
		return nil, err
	}
	if enveloped == nil && m.signed == "" {
		if c.SAML.SignedRequests {
			return nil, bad("the request must be signed")
		}
		return root, nil
	}
	certs := certificates(c.SAML.Certificates, p.Now())
	if len(certs) == 0 {
		return nil, bad("the request is signed, and no certificate that holds is known")
	}
	if m.signed != "" && !signedQuery(m, certs) {
		return nil, bad("the signature of the query is wrong")
	}
	if enveloped == nil {
		return root, nil
	}
	return signedRoot(root, enveloped, certs, p.Now())
}

// certificates are those that hold now.
func certificates(pems []string, now time.Time) []*x509.Certificate {
	var out []*x509.Certificate
	for _, s := range pems {
		for rest := []byte(s); len(out) < maxCertificates; {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			cert, err := x509.ParseCertificate(block.Bytes)
			if err == nil && block.Type == "CERTIFICATE" && !now.Before(cert.NotBefore) && !now.After(cert.NotAfter) && strong(cert) {
				out = append(out, cert)
			}
		}
	}
	return out
}

func strong(cert *x509.Certificate) bool {
	switch key := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		return key.N.BitLen() >= minRSA
	case *ecdsa.PublicKey:
		return key.Curve.Params().BitSize >= 256
	}
	return false
}

// signedQuery checks the signature of HTTP-Redirect.
func signedQuery(m *message, certs []*x509.Certificate) bool {
	a, ok := algorithms[m.alg]
	if !ok {
		return false
	}
	for _, cert := range certs {
		if cert.CheckSignature(a.alg, []byte(m.signed), asASN1(cert, m.signature)) == nil {
			return true
		}
	}
	return false
}

// asASN1 turns an ECDSA signature from XML Signature's form, r and s beside each other
// (RFC 4050 3.3, XML Signature 1.1 6.4.3), into crypto/x509's.
func asASN1(cert *x509.Certificate, signature []byte) []byte {
	key, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return signature
	}
	size := (key.Curve.Params().BitSize + 7) / 8
	if len(signature) != 2*size {
		return signature // it is ASN.1 already, as some send it, or wrong
	}
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])})
	if err != nil {
		return nil
	}
	return der
}

// signatureOf finds the one signature of a request, nil if it has none, and takes it
// only in the shape that SAML core 5.4 allows: a child of the root, over the root, by
// its ID.
func signatureOf(root *etree.Element) (*etree.Element, error) {
	all := descendants(root, nsSignature, "Signature", nil)
	if len(all) == 0 {
		return nil, nil
	}
	if len(all) != 1 || all[0].Parent() != root {
		return nil, bad("there is more than one signature, or one of a part")
	}
	sig := all[0]
	info, err := one(sig, "SignedInfo")
	if err != nil {
		return nil, err
	}
	ref, err := one(info, "Reference")
	if err != nil {
		return nil, err
	}
	id, _ := attr(root, "ID")
	if uri, _ := attr(ref, "URI"); id == "" || uri != "#"+id {
		return nil, bad("the signature is not of the request")
	}
	for _, check := range []struct {
		of      *etree.Element
		tag     string
		allowed func(string) bool
	}{
		{info, "CanonicalizationMethod", func(s string) bool { return canonical[s] }},
		{info, "SignatureMethod", func(s string) bool { _, ok := algorithms[s]; return ok }},
		{ref, "DigestMethod", func(s string) bool { return digests[s] }},
	} {
		el, err := one(check.of, check.tag)
		if err != nil {
			return nil, err
		}
		if a, _ := attr(el, "Algorithm"); !check.allowed(a) {
			return nil, bad("the signature uses an algorithm that is not accepted")
		}
	}
	transforms, err := one(ref, "Transforms")
	if err != nil {
		return nil, err
	}
	steps := transforms.ChildElements()
	if len(steps) != 2 || !transform(steps[0], string(dsig.EnvelopedSignatureAltorithmId)) || !transform(steps[1], string(dsig.CanonicalXML10ExclusiveAlgorithmId)) {
		return nil, bad("the signature transforms what it signs")
	}
	if len(children(sig, nsSignature, "Object")) > 0 {
		return nil, bad("the signature holds an object")
	}
	_, err = one(sig, "SignatureValue")
	return sig, err
}

func transform(el *etree.Element, algorithm string) bool {
	a, _ := attr(el, "Algorithm")
	return is(el, nsSignature, "Transform") && a == algorithm
}

// one is a child that must be there, once.
func one(el *etree.Element, tag string) (*etree.Element, error) {
	c, err := child(el, nsSignature, tag)
	if err == nil && c == nil {
		err = bad("the signature is incomplete")
	}
	return c, err
}

func descendants(el *etree.Element, ns, tag string, into []*etree.Element) []*etree.Element {
	for _, c := range el.ChildElements() {
		if is(c, ns, tag) {
			into = append(into, c)
		}
		into = descendants(c, ns, tag, into)
	}
	return into
}

// signedRoot checks an enveloped signature and returns what it is of, without the
// signature.
func signedRoot(root, sig *etree.Element, certs []*x509.Certificate, now time.Time) (*etree.Element, error) {
	value, err := one(sig, "SignatureValue")
	if err != nil {
		return nil, err
	}
	encoded, err := text(value)
	if err != nil {
		return nil, err
	}
	raw, err := decode64(strings.Join(strings.Fields(encoded), ""))
	if err != nil {
		return nil, err
	}
	// Who signed is for us to find out. What KeyInfo says of it is not signed.
	for _, info := range children(sig, nsSignature, "KeyInfo") {
		sig.RemoveChild(info)
	}
	for _, cert := range certs {
		value.SetText(base64.StdEncoding.EncodeToString(asASN1(cert, raw)))
		v := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{cert}})
		v.Clock = dsig.NewFakeClockAt(now)
		if signed, err := v.Validate(root); err == nil && signed != nil {
			return signed, nil
		}
	}
	return nil, bad("the signature of the request is wrong")
}
