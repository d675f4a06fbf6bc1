package blockid

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// The envelope is base64(iv || ciphertext || tag), AES-256-GCM with a 16-byte
// IV and no additional data.
const (
	ivLen     = 16
	tagLen    = 16
	minSealed = ivLen + tagLen // an empty plaintext
)

// MaxSealed is the largest encoded envelope that Open looks at, in bytes. A
// successful IDV answer with images was seen to reach 0.92 MB.
const MaxSealed = 64 << 20

var (
	// ErrCiphertext reports that a text is not an envelope sealed with this
	// shared key. The two errors below are cases of it.
	ErrCiphertext = errors.New("blockid: cannot open sealed value")
	// ErrCiphertextSize reports an envelope shorter than IV and tag, or longer
	// than MaxSealed.
	ErrCiphertextSize = fmt.Errorf("%w: bad size", ErrCiphertext)
	// ErrCiphertextAuth reports a wrong key or an altered envelope; the two
	// cannot be told apart.
	ErrCiphertextAuth = fmt.Errorf("%w: authentication failed", ErrCiphertext)
)

// SharedKey seals and opens envelopes between two parties. It is safe for
// concurrent use. Printing or logging it shows nothing.
type SharedKey struct {
	aead cipher.AEAD
}

// Seal encrypts plaintext under a fresh random IV and returns the envelope.
func (s *SharedKey) Seal(plaintext []byte) (string, error) {
	return string(s.appendSeal(nil, plaintext)), nil
}

// appendSeal appends the encoded envelope to dst. crypto/rand does not fail
// since Go 1.24, so neither does this.
func (s *SharedKey) appendSeal(dst, plaintext []byte) []byte {
	raw := make([]byte, ivLen, ivLen+len(plaintext)+tagLen)
	_, _ = rand.Read(raw)
	raw = s.aead.Seal(raw, raw[:ivLen], plaintext, nil)
	return base64.StdEncoding.AppendEncode(dst, raw)
}

// Open decrypts an envelope. Every error is ErrCiphertext to errors.Is, and
// none quotes the input.
func (s *SharedKey) Open(encoded string) ([]byte, error) {
	if len(encoded) > MaxSealed {
		return nil, ErrCiphertextSize
	}
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("%w: not base64", ErrCiphertext)
	}
	return s.openRaw(raw)
}

// openRaw decrypts in place: the plaintext overwrites raw.
func (s *SharedKey) openRaw(raw []byte) ([]byte, error) {
	if len(raw) < minSealed {
		return nil, ErrCiphertextSize
	}
	iv, sealed := raw[:ivLen], raw[ivLen:]
	plain, err := s.aead.Open(sealed[:0], iv, sealed, nil)
	if err != nil {
		return nil, ErrCiphertextAuth
	}
	return plain, nil
}

// String hides the key.
func (s SharedKey) String() string { return "blockid.SharedKey(redacted)" }

// GoString hides the key.
func (s SharedKey) GoString() string { return s.String() }

// Format hides the key whatever the verb.
func (s SharedKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue hides the key.
func (s SharedKey) LogValue() slog.Value { return slog.StringValue(s.String()) }
