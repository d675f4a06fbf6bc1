package models

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// ErrMissing: the cache, or a file in it, is not there. The message says how
// to make it. ErrChanged: a file is not the one that the lock names; the whole
// cache is refused. ErrPlatform: ONNX Runtime has no library for this machine.
var (
	ErrMissing  = errors.New("engine models are missing")
	ErrChanged  = errors.New("engine models were changed")
	ErrPlatform = errors.New("no ONNX Runtime for this platform")
)

type platformError struct{ platform string }

func (e *platformError) Error() string {
	return fmt.Sprintf("models: %v (%s)", ErrPlatform, e.platform)
}
func (e *platformError) Is(target error) bool { return target == ErrPlatform }

const manifestName = "manifest.json"

// Entry describes one file of the cache, for a listing. SHA256 values are
// lower-case hex; SourceSHA256 has one per file taken from the package.
type Entry struct {
	Name         string   `json:"name"`
	Version      string   `json:"version"` // of the npm package
	Package      string   `json:"package"`
	Purpose      string   `json:"purpose"`
	License      string   `json:"license"`
	Origin       string   `json:"origin"`
	Caveat       string   `json:"caveat,omitempty"`
	Sets         []string `json:"sets,omitempty"` // empty for the runtime
	SourceSHA256 []string `json:"source_sha256"`
	File         string   `json:"file"` // inside the cache
	SHA256       string   `json:"sha256"`
}

func (it item) entry() Entry {
	e := Entry{Name: it.Name, Version: it.Version, Package: it.Package, Purpose: it.Purpose, License: it.License,
		Origin: it.Origin, Caveat: it.Caveat, Sets: it.Sets, File: it.Output.Path, SHA256: it.Output.SHA256}
	for _, s := range it.Sources {
		e.SourceSHA256 = append(e.SourceSHA256, s.SHA256)
	}
	return e
}

// Known lists what a cache of this machine should hold, whether or not there is one.
func Known() ([]Entry, error) {
	its, err := items()
	if err != nil {
		return nil, err
	}
	var out []Entry
	for _, it := range its {
		out = append(out, it.entry())
	}
	return out, nil
}

// Cache is a directory of checked files.
type Cache struct {
	dir     string
	entries []Entry
}

// Open checks every file of the cache in dir against the lock that is compiled
// in (about 75 MB to read) and gives the cache. Errors are ErrMissing,
// ErrChanged, ErrPlatform, or from reading.
func Open(dir string) (*Cache, error) {
	entries, err := Known()
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.File)
		sum, err := fileSHA256(path)
		switch {
		case errors.Is(err, os.ErrNotExist):
			return nil, fmt.Errorf("models: %w: %s (hint: run `make build`)", ErrMissing, path)
		case err != nil:
			return nil, fmt.Errorf("models: %w", err)
		case sum != e.SHA256:
			return nil, fmt.Errorf("models: %w: %s has sha256 %s, the lock says %s (hint: delete the directory and run `make build`)", ErrChanged, path, sum, e.SHA256)
		}
	}
	abs, err := filepath.Abs(dir) // dlopen searches elsewhere for a bare name
	if err != nil {
		return nil, fmt.Errorf("models: %w", err)
	}
	return &Cache{dir: abs, entries: entries}, nil
}

// Library gives the path of the ONNX Runtime shared library.
func (c *Cache) Library() string {
	return filepath.Join(c.dir, c.entries[len(c.entries)-1].File)
}

// Model gives the path of a network's ONNX file and what to say about it in a
// report. The error is ErrMissing for a name that is no network.
func (c *Cache) Model(name string) (path string, info api.Model, err error) {
	for _, e := range c.entries {
		if e.Name == name && len(e.Sets) > 0 {
			return filepath.Join(c.dir, e.File), api.Model{Name: e.Name, Version: e.Version, License: e.License, SHA256: e.SHA256}, nil
		}
	}
	return "", api.Model{}, fmt.Errorf("models: %w: no network is called %q", ErrMissing, name)
}

// List gives every file of the cache, the runtime last.
func (c *Cache) List() []Entry { return slices.Clone(c.entries) }

func fileSHA256(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func writeManifest(dir string, entries []Entry) error {
	b, err := json.MarshalIndent(map[string]any{"files": entries}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, manifestName), append(b, '\n'), 0o644)
}
