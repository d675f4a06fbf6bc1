package connectors

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/kosmoscope/kosmoscope/internal/callers/httpsig"
)

// privateKey reads what rfc9421PrivateKey holds: a private key in PEM (PKCS #8,
// PKCS #1 or SEC 1), whose line breaks may have been lost in pasting, or else an
// HMAC secret as it stands. The algorithm follows from the key.
func privateKey(text string) (any, httpsig.Algorithm, error) {
	_, rest, pem := strings.Cut(text, "-----BEGIN ")
	if !pem {
		if len(text) < 16 {
			return nil, "", errors.New("an HMAC secret needs at least 16 bytes, anything else is a private key in PEM form")
		}
		return []byte(text), httpsig.HMACSHA256, nil
	}
	kind, rest, ok := strings.Cut(rest, "-----")
	body, _, ok2 := strings.Cut(rest, "-----END")
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(body), ""))
	if !ok || !ok2 || err != nil {
		return nil, "", errors.New("the PEM form is broken")
	}
	var key any
	switch kind {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(der)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(der)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(der)
	default:
		return nil, "", errors.New("the PEM block is not a private key")
	}
	if err != nil {
		return nil, "", errors.New("the private key cannot be read")
	}
	alg := httpsig.Algorithm("")
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		switch key.Curve {
		case elliptic.P256():
			alg = httpsig.ECDSAP256
		case elliptic.P384():
			alg = httpsig.ECDSAP384
		}
	case ed25519.PrivateKey:
		alg = httpsig.Ed25519
	case *rsa.PrivateKey:
		if key.N.BitLen() >= 2048 {
			alg = rsaAlgorithm
		}
	}
	if alg == "" {
		return nil, "", errors.New("only ECDSA P-256 and P-384, Ed25519, and RSA from 2048 bits sign")
	}
	return key.(crypto.Signer), alg, nil
}
