// Package seal keeps what the stand-ins store unreadable without a key file that lies
// beside it, for both of them alike.
package seal

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

// Err is a value that no later attempt will open either.
var Err = errors.New("cannot be opened: sealed with another key or altered")

// Sealer encrypts values at rest with AES-256-GCM. Their place (such as table, column,
// row) is bound to them, so that a value moved elsewhere does not open.
type Sealer struct{ aead cipher.AEAD }

// OpenFile makes a Sealer with the 32-byte key of a file, which it makes if there is
// none.
func OpenFile(path string) (Sealer, error) {
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, 32)
		_, _ = rand.Read(key)
		// Never over a key that another process just made.
		if err = write(path, key, os.Link); errors.Is(err, fs.ErrExist) {
			key, err = os.ReadFile(path)
		}
	}
	if err != nil {
		return Sealer{}, fmt.Errorf("seal key: %w", err)
	}
	if len(key) != 32 {
		return Sealer{}, fmt.Errorf("seal key %s: want 32 bytes, found %d", path, len(key))
	}
	return New(key)
}

// New makes a Sealer with a key of 32 bytes.
func New(key []byte) (Sealer, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return Sealer{}, fmt.Errorf("seal key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return Sealer{}, fmt.Errorf("seal key: %w", err)
	}
	return Sealer{aead}, nil
}

// Seal encrypts a value for its place.
func (s Sealer) Seal(place string, plain []byte) []byte {
	return s.aead.Seal(nil, nil, plain, []byte(place))
}

// Open decrypts a value that was sealed for the same place; else the error is Err.
func (s Sealer) Open(place string, sealed []byte) ([]byte, error) {
	plain, err := s.aead.Open(nil, nil, sealed, []byte(place))
	if err != nil {
		return nil, Err
	}
	return plain, nil
}

// WriteFile writes a file of mode 0600 that is complete or as it was.
func WriteFile(path string, data []byte) error { return write(path, data, os.Rename) }

func write(path string, data []byte, into func(from, to string) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return err
	}
	return into(f.Name(), path)
}
