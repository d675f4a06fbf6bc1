package accounts

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// sealer encrypts values at rest with AES-256-GCM; place (kind, id) is bound to
// them, so that a value moved elsewhere does not open.
type sealer struct{ aead cipher.AEAD }

// openSealer reads the 32-byte key file, or makes it.
func openSealer(path string) (sealer, error) {
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, 32)
		_, _ = rand.Read(key)
		err = writeKey(path, key)
	}
	if err != nil {
		return sealer{}, fmt.Errorf("seal key: %w", err)
	}
	if len(key) != 32 {
		return sealer{}, fmt.Errorf("seal key %s: want 32 bytes, found %d", path, len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, fmt.Errorf("seal key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return sealer{}, fmt.Errorf("seal key: %w", err)
	}
	return sealer{aead}, nil
}

func (s sealer) seal(place string, plain []byte) []byte {
	return s.aead.Seal(nil, nil, plain, []byte(place))
}

func (s sealer) open(place string, sealed []byte) ([]byte, error) {
	plain, err := s.aead.Open(nil, nil, sealed, []byte(place))
	if err != nil {
		return nil, errors.New("cannot be opened: sealed with another key, or altered")
	}
	return plain, nil
}

// writeKey writes a file of mode 0600 that is complete or not there at all.
func writeKey(path string, key []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	if _, err = f.Write(key); err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return err
	}
	return os.Link(f.Name(), path) // never over a key that another process just made
}
