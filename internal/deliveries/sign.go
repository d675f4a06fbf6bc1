package deliveries

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Headers of Standard Webhooks 1.0.0, "Webhook headers".
const (
	HeaderID        = "Webhook-Id"        // the message's, the same each time: the receiver's idempotency key
	HeaderTimestamp = "Webhook-Timestamp" // of the attempt, Unix seconds
	HeaderSignature = "Webhook-Signature" // one for each secret, a space between: "v1,..." HMAC-SHA256, "v1a,..." Ed25519
)

// Tolerance is how far Webhook-Timestamp may be from the receiver's clock.
const Tolerance = 5 * time.Minute

// What secrets start with (Standard Webhooks 1.0.0, "Signature scheme"); base64 follows.
const (
	prefixHMAC    = "whsec_" // 24 to 64 random bytes
	prefixPrivate = "whsk_"  // Ed25519: the seed (32 bytes), or seed and public key (64)
	prefixPublic  = "whpk_"  // Ed25519: 32 bytes
)

var (
	errSecret    = errors.New("deliveries: this is not a signing secret: whsec_ and the base64 of 24 to 64 bytes, or whsk_ and that of an Ed25519 key")
	errSignature = errors.New("deliveries: no signature of this request is good")
	errTimestamp = errors.New("deliveries: the timestamp of this request is too old, too new or none")
)

// MessageID is the webhook-id of a message.
func MessageID(message string) string { return "msg_" + strings.ReplaceAll(message, "-", "") }

// NewSecret makes a secret for HMAC-SHA256 (32 random bytes).
func NewSecret() string {
	var b [32]byte
	rand.Read(b[:])
	return prefixHMAC + base64.StdEncoding.EncodeToString(b[:])
}

// NewKey makes a key for Ed25519.
func NewKey() string {
	var b [ed25519.SeedSize]byte
	rand.Read(b[:])
	return prefixPrivate + base64.StdEncoding.EncodeToString(b[:])
}

// PublicKey is what the receiver needs to check the signatures of an Ed25519 key
// ("whpk_..."), and "" for any other secret.
func PublicKey(secret string) string {
	key, err := privateKey(secret)
	if err != nil {
		return ""
	}
	return prefixPublic + base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
}

// Sign signs a request with every secret: the value of Webhook-Signature.
func Sign(secrets []string, id string, at time.Time, body []byte) (string, error) {
	if id == "" || strings.Contains(id, ".") { // it would be another request's content
		return "", errors.New("deliveries: an id without a dot is needed to sign")
	}
	content := signed(id, strconv.FormatInt(at.Unix(), 10), body)
	var out []string
	for _, s := range secrets {
		if strings.HasPrefix(s, prefixPrivate) {
			key, err := privateKey(s)
			if err != nil {
				return "", err
			}
			out = append(out, "v1a,"+base64.StdEncoding.EncodeToString(ed25519.Sign(key, content)))
			continue
		}
		key, err := hmacKey(s)
		if err != nil {
			return "", err
		}
		out = append(out, "v1,"+base64.StdEncoding.EncodeToString(sum(key, content)))
	}
	if len(out) == 0 {
		return "", errors.New("deliveries: there is no secret to sign with")
	}
	return strings.Join(out, " "), nil
}

// Verify checks a request as its receiver does: with one secret ("whsec_...") or public
// key ("whpk_..."), at the receiver's time. One good signature of those in the header is
// enough.
func Verify(secret string, h http.Header, body []byte, now time.Time) error {
	id, stamp := h.Get(HeaderID), h.Get(HeaderTimestamp)
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return errTimestamp
	}
	if at := time.Unix(seconds, 0); now.Sub(at) > Tolerance || at.Sub(now) > Tolerance {
		return errTimestamp
	}
	if id == "" || strings.Contains(id, ".") {
		return errSignature
	}
	good, version, err := verifier(secret, signed(id, stamp, body))
	if err != nil {
		return err
	}
	for _, s := range strings.Fields(h.Get(HeaderSignature)) {
		v, encoded, _ := strings.Cut(s, ",")
		if v != version {
			continue
		}
		if got, err := base64.StdEncoding.DecodeString(encoded); err == nil && good(got) {
			return nil
		}
	}
	return errSignature
}

func verifier(secret string, content []byte) (good func([]byte) bool, version string, err error) {
	if encoded, ok := strings.CutPrefix(secret, prefixPublic); ok {
		key, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil || len(key) != ed25519.PublicKeySize {
			return nil, "", errSecret
		}
		return func(got []byte) bool { return ed25519.Verify(key, content, got) }, "v1a", nil
	}
	key, err := hmacKey(secret)
	if err != nil {
		return nil, "", err
	}
	want := sum(key, content)
	return func(got []byte) bool { return subtle.ConstantTimeCompare(got, want) == 1 }, "v1", nil
}

func signed(id, stamp string, body []byte) []byte {
	var b bytes.Buffer
	b.WriteString(id + "." + stamp + ".")
	b.Write(body)
	return b.Bytes()
}

func sum(key, content []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write(content)
	return m.Sum(nil)
}

func hmacKey(secret string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(secret, prefixHMAC)
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(key) < 24 || len(key) > 64 {
		return nil, errSecret
	}
	return key, nil
}

func privateKey(secret string) (ed25519.PrivateKey, error) {
	encoded, ok := strings.CutPrefix(secret, prefixPrivate)
	b, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(b) != ed25519.SeedSize && len(b) != ed25519.PrivateKeySize {
		return nil, errSecret
	}
	key := ed25519.NewKeyFromSeed(b[:ed25519.SeedSize])
	if len(b) == ed25519.PrivateKeySize && !bytes.Equal(key, b) { // the two halves of different keys would give the seed away
		return nil, errSecret
	}
	return key, nil
}
