package vault

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
	"github.com/tink-crypto/tink-go/v2/tink"
)

const (
	macSize     = 32 // bytes
	prefixSize  = 5  // tink's ciphertext prefix: a version byte and the key's id, big endian
	maxFileSize = 1 << 20
)

// keys are the parsed content of a master key file.
type keys struct {
	wrapKeys, hashKeys *keyset.Handle
	wrap               tink.AEAD
	hash               *prf.Set
}

// keyFile is the master key file: JSON with two tink keysets in the clear.
type keyFile struct {
	Format string          `json:"format"`
	Wrap   json.RawMessage `json:"wrapping_keys"`
	Hash   json.RawMessage `json:"hash_key"`
}

const fileFormat = "kosmoscope master key 1"

// Create writes a new master key file at path, readable by its owner alone. It
// never replaces a file. Whoever loses the file loses all that is sealed.
func Create(path string) error {
	wrap, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return fmt.Errorf("vault: making a key: %w", err)
	}
	hash, err := keyset.NewHandle(prf.HMACSHA256PRFKeyTemplate())
	if err != nil {
		return fmt.Errorf("vault: making a key: %w", err)
	}
	content, err := format(wrap, hash)
	if err != nil {
		return err
	}
	if err := write(path, content); err != nil {
		if errors.Is(err, os.ErrExist) {
			return fmt.Errorf("vault: %s exists already; a master key is never replaced, only rotated: %w", path, err)
		}
		return fmt.Errorf("vault: creating the master key file: %w", err)
	}
	return nil
}

// Open reads the master key file at path. It refuses one that others may read.
func Open(path string) (*Vault, error) {
	k, err := load(path)
	if err != nil {
		return nil, err
	}
	return &Vault{path: path, keys: k}, nil
}

// Rotate adds a wrapping key to the file and uses it from now on. What was sealed
// before still opens. Other processes take the new key up when they first meet it.
func (v *Vault) Rotate() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	// The side file is the lock against another rotation, and its content becomes
	// the file: a crash leaves either the old or the new.
	side := v.path + ".rotating"
	if err := write(side, nil); err != nil {
		if errors.Is(err, os.ErrExist) {
			return fmt.Errorf("vault: another rotation is under way; if none is, remove %s: %w", side, err)
		}
		return fmt.Errorf("vault: rotating: %w", err)
	}
	defer os.Remove(side)
	k, err := load(v.path) // another process may have rotated before
	if err != nil {
		return err
	}
	m := keyset.NewManagerFromHandle(k.wrapKeys)
	id, err := m.Add(aead.AES256GCMKeyTemplate())
	if err == nil {
		err = m.SetPrimary(id)
	}
	if err != nil {
		return fmt.Errorf("vault: rotating: %w", err)
	}
	wrap, err := m.Handle()
	if err != nil {
		return fmt.Errorf("vault: rotating: %w", err)
	}
	content, err := format(wrap, k.hashKeys)
	if err != nil {
		return err
	}
	fresh, err := parse(content)
	if err != nil {
		return err
	}
	next := v.path + ".next"
	if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("vault: rotating: %w", err)
	}
	if err := write(next, content); err != nil {
		return fmt.Errorf("vault: rotating: %w", err)
	}
	if err := os.Rename(next, v.path); err != nil {
		return fmt.Errorf("vault: rotating: %w", err)
	}
	if err := syncDir(v.path); err != nil {
		return fmt.Errorf("vault: rotating: %w", err)
	}
	v.keys = fresh
	return nil
}

// reload reads the file again and reports whether it now holds other keys than old.
func (v *Vault) reload(old *keys) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.keys != old {
		return true // somebody did meanwhile
	}
	k, err := load(v.path)
	if err != nil || k.wrapKeys.Len() <= old.wrapKeys.Len() {
		return false
	}
	v.keys = k
	return true
}

func load(path string) (*keys, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("vault: opening the master key file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("vault: opening the master key file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("vault: %s is not a file", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("vault: others may read the master key file (mode %04o); make it private: chmod 600 %s", mode, path)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxFileSize))
	if err != nil {
		return nil, fmt.Errorf("vault: reading the master key file: %w", err)
	}
	return parse(content)
}

func parse(content []byte) (*keys, error) {
	var file keyFile
	// What the decoders say may quote the content, so it is not passed on.
	bad := errors.New("vault: this is not a master key file")
	if err := json.Unmarshal(content, &file); err != nil || file.Format != fileFormat {
		return nil, bad
	}
	var k keys
	var err error
	if k.wrapKeys, err = insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(file.Wrap))); err != nil {
		return nil, bad
	}
	if k.hashKeys, err = insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(file.Hash))); err != nil {
		return nil, bad
	}
	if k.wrap, err = aead.New(k.wrapKeys); err != nil {
		return nil, bad
	}
	if k.hash, err = prf.NewPRFSet(k.hashKeys); err != nil {
		return nil, bad
	}
	if sum, err := k.hash.ComputePrimaryPRF(nil, macSize); err != nil || len(sum) != macSize {
		return nil, bad
	}
	return &k, nil
}

func format(wrap, hash *keyset.Handle) ([]byte, error) {
	file := keyFile{Format: fileFormat}
	for handle, dest := range map[*keyset.Handle]*json.RawMessage{wrap: &file.Wrap, hash: &file.Hash} {
		var b bytes.Buffer
		if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&b)); err != nil {
			return nil, fmt.Errorf("vault: writing keys: %w", err)
		}
		*dest = b.Bytes()
	}
	content, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return nil, errors.New("vault: writing keys failed")
	}
	return append(content, '\n'), nil
}

// knows reports whether one of the wrapping keys has this id.
func (k *keys) knows(id uint32) bool {
	for i := range k.wrapKeys.Len() {
		if e, err := k.wrapKeys.Entry(i); err == nil && e.KeyID() == id {
			return true
		}
	}
	return false
}

// write makes a new file that is private and on the disk before it returns.
func write(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = syncDir(path)
	}
	if err != nil {
		os.Remove(path)
	}
	return err
}

func syncDir(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
