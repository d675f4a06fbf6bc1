package accounts

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/go-jose/go-jose/v4"
)

// Names of the two keys in the store.
const (
	currentKey  = "current"
	previousKey = "previous"
)

var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.ES384}

// keyring holds the key that signs, and the one that did before.
type keyring struct {
	mu                sync.RWMutex
	current, previous *jose.JSONWebKey
	signer            jose.Signer
}

func newKey(algorithm string) (*jose.JSONWebKey, error) {
	k := &jose.JSONWebKey{KeyID: newID("SK2"), Algorithm: algorithm, Use: "sig"}
	var err error
	switch algorithm {
	case "", string(jose.RS256):
		k.Algorithm = string(jose.RS256)
		k.Key, err = rsa.GenerateKey(rand.Reader, 2048)
	case string(jose.ES384):
		k.Key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	default:
		err = fmt.Errorf("algorithm %q is neither RS256 nor ES384", algorithm)
	}
	return k, err
}

// take puts a key from the store in its place.
func (k *keyring) take(name string, plain []byte) error {
	key := new(jose.JSONWebKey)
	if err := json.Unmarshal(plain, key); err != nil || key.IsPublic() || key.KeyID == "" {
		return errors.New("a signing key cannot be read")
	}
	if name == previousKey {
		k.previous = key
		return nil
	}
	return k.use(key)
}

// use makes a key the one that signs.
func (k *keyring) use(key *jose.JSONWebKey) (err error) {
	k.current = key
	k.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(key.Algorithm), Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	return err
}

// needs reports whether a key has to be made.
func (k *keyring) needs(algorithm string) bool {
	return k.current == nil || algorithm != "" && k.current.Algorithm != algorithm
}

// RotateKey signs with a new key from now on. Tokens of the last one stay good; those
// of the one before do not.
func (a *Accounts) RotateKey(ctx context.Context) error {
	key, err := newKey(a.opt.Algorithm)
	if err != nil {
		return err
	}
	k := &a.keys
	k.mu.Lock()
	defer k.mu.Unlock()
	changes := []change{{kind: kindKey, id: currentKey, value: key}}
	if k.current != nil {
		changes = append(changes, change{kind: kindKey, id: previousKey, value: k.current})
	}
	if err := a.store.save(ctx, changes); err != nil {
		return err
	}
	k.previous = k.current
	return k.use(key)
}

// JWKS are the public keys: that which signs, and the one before it.
func (a *Accounts) JWKS() jose.JSONWebKeySet {
	a.keys.mu.RLock()
	defer a.keys.mu.RUnlock()
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{a.keys.current.Public()}}
	if a.keys.previous != nil {
		set.Keys = append(set.Keys, a.keys.previous.Public())
	}
	return set
}

// sign makes a JWT.
func (k *keyring) sign(claims map[string]any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	k.mu.RLock()
	signer := k.signer
	k.mu.RUnlock()
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// maxToken is the longest token that is looked at.
const maxToken = 32 << 10

// verify gives the payload of a JWT that one of the keys signed.
func (k *keyring) verify(token string) ([]byte, error) {
	if len(token) > maxToken {
		return nil, errors.New("too long")
	}
	signed, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		return nil, err
	}
	header := signed.Signatures[0].Protected
	k.mu.RLock()
	defer k.mu.RUnlock()
	for _, key := range []*jose.JSONWebKey{k.current, k.previous} {
		if key != nil && key.KeyID == header.KeyID && key.Algorithm == header.Algorithm {
			public := key.Public()
			return signed.Verify(&public)
		}
	}
	return nil, errors.New("no key of ours")
}
