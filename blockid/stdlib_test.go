package blockid_test

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"testing"
)

// stdlibSeal is the envelope written down a second time, from the reference
// and with the fixed IV 00..0f of the vectors.
func stdlibSeal(t testing.TB, sharedB64, plaintext string) string {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(sharedB64)
	if err != nil || len(key) != 32 {
		t.Fatalf("shared key of %d bytes: %v", len(key), err)
	}
	iv := make([]byte, 16)
	for i := range iv {
		iv[i] = byte(i)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCMWithNonceSize(block, 16)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(append(iv, gcm.Seal(nil, iv, []byte(plaintext), nil)...))
}
