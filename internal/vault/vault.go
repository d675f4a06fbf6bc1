package vault

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

var _ journey.Vault = (*Vault)(nil)

// ErrErased is what sealing and opening return for a subject without a key.
var ErrErased error = &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonErased, Message: "this person's data was erased"}

// ErrSealed is what opening returns for a value, or a wrapped key, that does not
// open: changed, cut short, moved from another place, or sealed under another
// master key. Which of these it is cannot be told.
var ErrSealed = errors.New("vault: a sealed value does not open")

const (
	keySize = 32 // AES-256
	version = 1  // first byte of what Seal makes
)

// What associated data starts with, so that no two uses of a key can be mixed up.
const (
	forKey   = "kosmoscope subject key"
	forValue = "kosmoscope subject value"
	forOwn   = "kosmoscope tenant secret"
	forHash  = "kosmoscope hash"
)

// Vault works with the keys of one master key file. It is safe for concurrent use.
type Vault struct {
	path string
	mu   sync.RWMutex
	keys *keys
}

// NewSubjectKey makes a data key and returns it wrapped (65 bytes).
func (v *Vault) NewSubjectKey(tenant, subject string) ([]byte, error) {
	if tenant == "" || subject == "" {
		return nil, errors.New("vault: a key needs a tenant and a subject")
	}
	key := make([]byte, keySize)
	rand.Read(key)
	wrapped, err := v.current().wrap.Encrypt(key, encode(forKey, tenant, subject))
	if err != nil {
		return nil, fmt.Errorf("vault: wrapping a key: %w", err)
	}
	return wrapped, nil
}

// Seal encrypts plaintext (29 bytes longer) for exactly that place, under the key
// of place.Subject. A nil key is ErrErased.
func (v *Vault) Seal(wrapped []byte, place journey.Place, plaintext []byte) ([]byte, error) {
	gcm, err := v.unwrap(wrapped, place)
	if err != nil {
		return nil, err
	}
	sealed, err := gcm.Encrypt(plaintext, associate(forValue, place))
	if err != nil {
		return nil, fmt.Errorf("vault: sealing: %w", err)
	}
	return append([]byte{version}, sealed...), nil
}

// Open decrypts what Seal made for exactly that place. A nil key is ErrErased;
// anything that does not open is ErrSealed.
func (v *Vault) Open(wrapped []byte, place journey.Place, sealed []byte) ([]byte, error) {
	gcm, err := v.unwrap(wrapped, place)
	if err != nil {
		return nil, err
	}
	if len(sealed) == 0 || sealed[0] != version {
		return nil, ErrSealed
	}
	plaintext, err := gcm.Decrypt(sealed[1:], associate(forValue, place))
	if err != nil {
		return nil, ErrSealed
	}
	return plaintext, nil
}

func (v *Vault) unwrap(wrapped []byte, place journey.Place) (*subtle.AESGCM, error) {
	if len(wrapped) == 0 {
		return nil, ErrErased
	}
	key, err := v.decrypt(wrapped, encode(forKey, place.Tenant, place.Subject))
	if err != nil {
		return nil, err
	}
	if len(key) != keySize {
		return nil, ErrSealed
	}
	gcm, err := subtle.NewAESGCM(key)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	return gcm, nil
}

// SealOwn encrypts a secret of the tenant's own, under the master key.
func (v *Vault) SealOwn(place journey.Place, plaintext []byte) ([]byte, error) {
	sealed, err := v.current().wrap.Encrypt(plaintext, associate(forOwn, place))
	if err != nil {
		return nil, fmt.Errorf("vault: sealing: %w", err)
	}
	return sealed, nil
}

// OpenOwn decrypts what SealOwn made for exactly that place, or returns ErrSealed.
func (v *Vault) OpenOwn(place journey.Place, sealed []byte) ([]byte, error) {
	return v.decrypt(sealed, associate(forOwn, place))
}

// MAC implements journey.Vault.
func (v *Vault) MAC(tenant, purpose, value string) []byte {
	sum, err := v.current().hash.ComputePrimaryPRF(encode(forHash, tenant, purpose, value), macSize)
	if err != nil {
		// Only a length beyond the hash's can do that. Returning anything would make
		// different values look the same.
		panic(fmt.Sprintf("vault: hashing: %v", err))
	}
	return sum
}

// decrypt opens something that is encrypted under a wrapping key. A key that we
// do not know may have been added to the file since we read it.
func (v *Vault) decrypt(sealed, associated []byte) ([]byte, error) {
	k := v.current()
	plaintext, err := k.wrap.Decrypt(sealed, associated)
	if err == nil {
		return plaintext, nil
	}
	if len(sealed) < prefixSize || k.knows(binary.BigEndian.Uint32(sealed[1:prefixSize])) || !v.reload(k) {
		return nil, ErrSealed
	}
	if plaintext, err = v.current().wrap.Decrypt(sealed, associated); err != nil {
		return nil, ErrSealed
	}
	return plaintext, nil
}

func (v *Vault) current() *keys {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.keys
}

// associate makes the associated data for a value in its place.
func associate(use string, p journey.Place) []byte {
	return encode(use, p.Tenant, p.Subject, p.Table, p.Column, p.Row)
}

// encode writes fields one after the other, each behind its length, so that no
// two different lists give the same bytes.
func encode(fields ...string) []byte {
	var b []byte
	for _, f := range fields {
		b = binary.BigEndian.AppendUint64(b, uint64(len(f)))
		b = append(b, f...)
	}
	return b
}
