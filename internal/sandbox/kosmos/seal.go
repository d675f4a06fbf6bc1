package kosmos

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// sealer encrypts values at rest with AES-256-GCM. place (table, column, row)
// is bound to the ciphertext, so that a value moved elsewhere does not open.
type sealer struct{ aead cipher.AEAD }

// errUnsealed is a value that no later attempt will open either.
var errUnsealed = errors.New("cannot be opened: sealed with another key or altered")

// openSealer reads the 32-byte key file, or makes it.
func openSealer(path string) (sealer, error) {
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, 32)
		_, _ = rand.Read(key)
		err = writePrivate(path, key)
	}
	if err != nil {
		return sealer{}, fmt.Errorf("seal key: %w", err)
	}
	if len(key) != 32 {
		return sealer{}, fmt.Errorf("seal key %s: want 32 bytes, found %d", path, len(key))
	}
	return newSealer(key)
}

// newSealer makes one of a key of 32 bytes.
func newSealer(key []byte) (sealer, error) {
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
		return nil, fmt.Errorf("%s: %w", column(place), errUnsealed)
	}
	return plain, nil
}

// column is the place without the row, which an error must not tell: that of a
// session is the bearer part of its link.
func column(place string) string {
	table, rest, _ := strings.Cut(place, "/")
	name, _, _ := strings.Cut(rest, "/")
	return table + "." + name
}

// writePrivate writes a file of mode 0600 that is complete or not there at all.
func writePrivate(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
