package httpsig

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// Algorithm is a name of the IANA registry "HTTP Signature Algorithms" (RFC 9421
// section 6.2).
type Algorithm string

const (
	ECDSAP256    Algorithm = "ecdsa-p256-sha256"
	ECDSAP384    Algorithm = "ecdsa-p384-sha384"
	Ed25519      Algorithm = "ed25519"
	RSAPSSSHA512 Algorithm = "rsa-pss-sha512"
	RSAv15SHA256 Algorithm = "rsa-v1_5-sha256"
	HMACSHA256   Algorithm = "hmac-sha256"
)

// ErrSignature says that the signature does not fit.
var ErrSignature = errors.New("the signature does not fit the message")

// VerifyKey is a key that signatures are checked with. Make it with NewVerifyKey.
type VerifyKey struct {
	alg    Algorithm
	public crypto.PublicKey
	secret []byte
}

// NewVerifyKey makes a key from a public key in PEM (SubjectPublicKeyInfo or
// PKCS #1; line breaks may have been lost in pasting) or, for hmac-sha256, from a
// shared secret of at least 16 bytes.
func NewVerifyKey(alg Algorithm, publicPEM string, secret []byte) (*VerifyKey, error) {
	k := &VerifyKey{alg: alg, secret: secret}
	if alg == HMACSHA256 {
		if publicPEM != "" || len(secret) < 16 {
			return nil, errors.New("hmac-sha256 needs a secret of at least 16 bytes and no public key")
		}
		return k, nil
	}
	if len(secret) != 0 {
		return nil, fmt.Errorf("%s needs a public key, not a secret", alg)
	}
	var err error
	if k.public, err = parsePublicKey(publicPEM); err != nil {
		return nil, err
	}
	ok := false
	switch pub := k.public.(type) {
	case *ecdsa.PublicKey:
		ok = alg == ECDSAP256 && pub.Curve == elliptic.P256() || alg == ECDSAP384 && pub.Curve == elliptic.P384()
	case ed25519.PublicKey:
		ok = alg == Ed25519
	case *rsa.PublicKey:
		ok = (alg == RSAPSSSHA512 || alg == RSAv15SHA256) && pub.N.BitLen() >= 2048
	}
	if !ok {
		return nil, fmt.Errorf("the public key does not fit algorithm %q (RSA keys need at least 2048 bits)", alg)
	}
	return k, nil
}

func parsePublicKey(text string) (crypto.PublicKey, error) {
	_, rest, ok := strings.Cut(text, "-----BEGIN ")
	kind, rest, ok2 := strings.Cut(rest, "-----")
	body, _, ok3 := strings.Cut(rest, "-----END")
	if !ok || !ok2 || !ok3 {
		return nil, errors.New("the public key is not in PEM form")
	}
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(body), ""))
	if err != nil {
		return nil, errors.New("the public key is not in PEM form")
	}
	var key crypto.PublicKey
	switch kind {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(der)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(der)
	default:
		return nil, errors.New("the PEM block is not a public key")
	}
	if err != nil {
		return nil, fmt.Errorf("the public key cannot be read: %w", err)
	}
	return key, nil
}

// Algorithm returns the algorithm of the key.
func (k *VerifyKey) Algorithm() Algorithm { return k.alg }

// Verify checks a signature over a signature base. ECDSA signatures are accepted
// as r||s, which RFC 9421 section 3.3.4 asks for, and in DER, which some signers
// emit (INF: which one Descope sends is not known).
func (k *VerifyKey) Verify(base, sig []byte) error {
	ok := false
	switch k.alg {
	case HMACSHA256:
		mac := hmac.New(sha256.New, k.secret)
		mac.Write(base)
		ok = hmac.Equal(mac.Sum(nil), sig)
	case Ed25519:
		ok = len(sig) == ed25519.SignatureSize && ed25519.Verify(k.public.(ed25519.PublicKey), base, sig)
	case ECDSAP256:
		h := sha256.Sum256(base)
		ok = verifyECDSA(k.public.(*ecdsa.PublicKey), h[:], sig, 32)
	case ECDSAP384:
		h := sha512.Sum384(base)
		ok = verifyECDSA(k.public.(*ecdsa.PublicKey), h[:], sig, 48)
	case RSAPSSSHA512:
		h := sha512.Sum512(base)
		ok = rsa.VerifyPSS(k.public.(*rsa.PublicKey), crypto.SHA512, h[:], sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto}) == nil
	case RSAv15SHA256:
		h := sha256.Sum256(base)
		ok = rsa.VerifyPKCS1v15(k.public.(*rsa.PublicKey), crypto.SHA256, h[:], sig) == nil
	}
	if !ok {
		return ErrSignature
	}
	return nil
}

func verifyECDSA(pub *ecdsa.PublicKey, hash, sig []byte, size int) bool {
	if len(sig) == 2*size && ecdsa.Verify(pub, hash, new(big.Int).SetBytes(sig[:size]), new(big.Int).SetBytes(sig[size:])) {
		return true
	}
	return ecdsa.VerifyASN1(pub, hash, sig)
}

// sign makes a signature with a private key (crypto.Signer) or, for hmac-sha256,
// a []byte.
func sign(alg Algorithm, key any, base []byte) ([]byte, error) {
	if secret, ok := key.([]byte); ok && alg == HMACSHA256 {
		mac := hmac.New(sha256.New, secret)
		mac.Write(base)
		return mac.Sum(nil), nil
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%T is no key for %s", key, alg)
	}
	sum := func(h crypto.Hash) []byte {
		d := h.New()
		d.Write(base)
		return d.Sum(nil)
	}
	switch alg {
	case Ed25519:
		return signer.Sign(rand.Reader, base, crypto.Hash(0))
	case ECDSAP256, ECDSAP384:
		h, size := crypto.SHA256, 32
		if alg == ECDSAP384 {
			h, size = crypto.SHA384, 48
		}
		der, err := signer.Sign(rand.Reader, sum(h), h)
		if err != nil {
			return nil, err
		}
		var rs struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(der, &rs); err != nil {
			return nil, fmt.Errorf("reading the ECDSA signature: %w", err)
		}
		raw := make([]byte, 2*size)
		rs.R.FillBytes(raw[:size])
		rs.S.FillBytes(raw[size:])
		return raw, nil
	case RSAPSSSHA512:
		return signer.Sign(rand.Reader, sum(crypto.SHA512), &rsa.PSSOptions{SaltLength: 64, Hash: crypto.SHA512})
	case RSAv15SHA256:
		return signer.Sign(rand.Reader, sum(crypto.SHA256), crypto.SHA256)
	}
	return nil, fmt.Errorf("unknown algorithm %q", alg)
}
