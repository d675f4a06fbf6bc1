package blockid

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
)

// Curve names the elliptic curve of a key.
type Curve string

const (
	// Auto means "find out": a public key is tested against the equations of
	// both curves, and a private key, which belongs to any curve, is taken to
	// be on Secp256k1.
	Auto Curve = "auto"
	// Secp256k1 is the curve of every deployment seen so far.
	Secp256k1 Curve = "secp256k1"
	// P256 is NIST P-256, which deployments may configure instead.
	P256 Curve = "P-256"
)

var (
	// ErrKey reports a public or private key that is not one: wrong encoding,
	// wrong length, a scalar out of range or a point off the curve.
	ErrKey = errors.New("blockid: invalid key")
	// ErrCurve reports an unknown curve name, or two keys on different curves.
	ErrCurve = errors.New("blockid: wrong curve")
)

const (
	scalarLen = 32 // both curves have 256-bit orders
	pointLen  = 64 // X || Y, each padded to 32 bytes

	// maxKeyText bounds what is decoded as a key. The longest legitimate text
	// is 88 characters; the slack allows zero padding and line ends.
	maxKeyText = 256
)

// PrivateKey is the private half of a key pair. It never appears on the wire.
// Printing or logging it, with any verb, shows only its curve.
type PrivateKey struct {
	curve  Curve
	scalar [scalarLen]byte
	k256   *secp256k1.PrivateKey // set when curve is Secp256k1
	p256   *ecdh.PrivateKey      // set when curve is P256
	public *PublicKey
}

// PublicKey is a point on a known curve; it cannot be constructed off-curve.
type PublicKey struct {
	curve Curve
	point [pointLen]byte
	text  string
	k256  *secp256k1.PublicKey
	p256  *ecdh.PublicKey
}

// GenerateKey makes a new key pair on c; Auto means Secp256k1.
func GenerateKey(c Curve) (*PrivateKey, error) {
	switch c {
	case Auto, Secp256k1:
		k, err := secp256k1.GeneratePrivateKey()
		if err != nil {
			return nil, fmt.Errorf("blockid: generate key: %w", err)
		}
		return newPrivateKey(Secp256k1, k.Serialize())
	case P256:
		k, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("blockid: generate key: %w", err)
		}
		return newPrivateKey(P256, k.Bytes())
	}
	return nil, fmt.Errorf("%w: unknown name", ErrCurve)
}

// ParsePrivateKey reads a private key in standard base64; Auto means
// Secp256k1. The vendor's tools disagree about the length of that encoding:
// some strip leading zero bytes, one adds a zero sign byte. All of them are
// read as the same big-endian number, which must lie in [1, n-1].
func ParsePrivateKey(c Curve, b64 string) (*PrivateKey, error) {
	if c == Auto {
		c = Secp256k1
	}
	if c != Secp256k1 && c != P256 {
		return nil, fmt.Errorf("%w: unknown name", ErrCurve)
	}
	b64 = strings.TrimSpace(b64)
	if len(b64) > maxKeyText {
		return nil, fmt.Errorf("%w: private key too long", ErrKey)
	}
	raw, err := base64.StdEncoding.DecodeString(b64)
	if err != nil {
		// The decoder's error quotes an offset into a secret; drop it.
		return nil, fmt.Errorf("%w: private key is not base64", ErrKey)
	}
	raw = bytes.TrimLeft(raw, "\x00")
	if len(raw) == 0 || len(raw) > scalarLen {
		return nil, fmt.Errorf("%w: private key must have 1 to 32 significant bytes", ErrKey)
	}
	var scalar [scalarLen]byte
	copy(scalar[scalarLen-len(raw):], raw)
	return newPrivateKey(c, scalar[:])
}

// newPrivateKey takes exactly 32 bytes.
func newPrivateKey(c Curve, scalar []byte) (*PrivateKey, error) {
	k := &PrivateKey{curve: c}
	copy(k.scalar[:], scalar)
	var point []byte
	switch c {
	case Secp256k1:
		var n secp256k1.ModNScalar
		if overflow := n.SetByteSlice(scalar); overflow || n.IsZero() {
			return nil, fmt.Errorf("%w: private key out of range", ErrKey)
		}
		k.k256 = secp256k1.NewPrivateKey(&n)
		point = k.k256.PubKey().SerializeUncompressed()
	case P256:
		p, err := ecdh.P256().NewPrivateKey(scalar)
		if err != nil {
			return nil, fmt.Errorf("%w: private key out of range", ErrKey)
		}
		k.p256 = p
		point = p.PublicKey().Bytes()
	}
	var err error
	k.public, err = newPublicKey(c, point)
	return k, err
}

// Curve returns Secp256k1 or P256, never Auto.
func (k *PrivateKey) Curve() Curve { return k.curve }

// Public returns the public half.
func (k *PrivateKey) Public() *PublicKey { return k.public }

// Encode returns the secret itself: standard base64 of the scalar, always 32
// bytes. It is for key files, and the only way to get at the secret.
func (k *PrivateKey) Encode() string { return base64.StdEncoding.EncodeToString(k.scalar[:]) }

// String hides the secret.
func (k PrivateKey) String() string { return "blockid.PrivateKey(" + string(k.curve) + ", redacted)" }

// GoString hides the secret.
func (k PrivateKey) GoString() string { return k.String() }

// Format hides the secret whatever the verb.
func (k PrivateKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue hides the secret.
func (k PrivateKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// ParsePublicKey reads a public key as it appears on the wire: standard base64
// of exactly 64 bytes, X then Y. With Auto it takes whichever curve the point
// lies on; with a named curve the point must lie on that one.
func ParsePublicKey(c Curve, b64 string) (*PublicKey, error) {
	b64 = strings.TrimSpace(b64)
	if len(b64) > maxKeyText {
		return nil, fmt.Errorf("%w: public key too long", ErrKey)
	}
	raw, err := base64.StdEncoding.DecodeString(b64)
	if err != nil {
		return nil, fmt.Errorf("%w: public key is not base64", ErrKey)
	}
	if len(raw) != pointLen {
		return nil, fmt.Errorf("%w: public key has %d bytes, want %d", ErrKey, len(raw), pointLen)
	}
	var point [1 + pointLen]byte
	point[0] = 4 // SEC 1 tag of an uncompressed point, which the wire leaves out
	copy(point[1:], raw)
	if c != Auto {
		return newPublicKey(c, point[:])
	}
	if p, err := newPublicKey(Secp256k1, point[:]); err == nil {
		return p, nil
	}
	if p, err := newPublicKey(P256, point[:]); err == nil {
		return p, nil
	}
	return nil, fmt.Errorf("%w: point lies on neither curve", ErrKey)
}

// newPublicKey takes an uncompressed SEC 1 point of 65 bytes.
func newPublicKey(c Curve, point []byte) (*PublicKey, error) {
	p := &PublicKey{curve: c}
	copy(p.point[:], point[1:])
	p.text = base64.StdEncoding.EncodeToString(p.point[:])
	var err error
	switch c {
	case Secp256k1:
		p.k256, err = secp256k1.ParsePubKey(point)
	case P256:
		p.p256, err = ecdh.P256().NewPublicKey(point)
	default:
		return nil, fmt.Errorf("%w: unknown name", ErrCurve)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: point is not on %s", ErrKey, c)
	}
	return p, nil
}

// Curve returns Secp256k1 or P256, never Auto.
func (p *PublicKey) Curve() Curve { return p.curve }

// String returns the wire form: standard base64 of 64 bytes.
func (p *PublicKey) String() string { return p.text }

// Shared agrees on the key between k and p: the x-coordinate of their ECDH
// point, always 32 bytes, used as an AES-256 key without derivation. The
// result is safe for concurrent use and worth keeping, since computing it
// costs more than sealing a short message.
func (k *PrivateKey) Shared(p *PublicKey) (*SharedKey, error) {
	if k.curve != p.curve {
		return nil, fmt.Errorf("%w: private key on %s, public key on %s", ErrCurve, k.curve, p.curve)
	}
	var secret []byte
	switch k.curve {
	case Secp256k1:
		secret = secp256k1.GenerateSharedSecret(k.k256, p.k256)
	case P256:
		var err error
		if secret, err = k.p256.ECDH(p.p256); err != nil {
			return nil, fmt.Errorf("%w: no shared secret", ErrKey)
		}
	}
	return newSharedKey(secret)
}

func newSharedKey(secret []byte) (*SharedKey, error) {
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, fmt.Errorf("blockid: shared key: %w", err)
	}
	aead, err := cipher.NewGCMWithNonceSize(block, ivLen)
	if err != nil {
		return nil, fmt.Errorf("blockid: shared key: %w", err)
	}
	return &SharedKey{aead: aead}, nil
}
