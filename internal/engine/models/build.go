package models

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Source is where the packages are: a node_modules directory as `npm ci` in
// models/ leaves it.
type Source struct{ PackagesDir string }

// maxSource bounds one source file; the runtime's library is the largest, 46 MB.
const maxSource = 128 << 20

// Build makes the cache in cacheDir out of the packages. It does nothing when
// the cache is up to date, and otherwise writes a new one beside it and moves
// it into place, so that a reader never sees half a cache. Source files and
// results are compared with the lock. progress, which may be nil, is called
// before each step, with step from 1 to total.
//
// Errors: ErrMissing when a package is not installed, ErrChanged when a file
// is not the one that the lock names, ErrPlatform, the context's, or from the
// disk.
func Build(ctx context.Context, src Source, cacheDir string, progress func(step, total int, what string)) error {
	if progress == nil {
		progress = func(int, int, string) {}
	}
	its, err := items()
	if err != nil {
		return err
	}
	total := len(its) + 2
	progress(1, total, "check the cache")
	_, openErr := Open(cacheDir)
	if openErr == nil {
		return nil
	}
	if !errors.Is(openErr, ErrMissing) && !errors.Is(openErr, ErrChanged) {
		return openErr
	}
	parent := filepath.Dir(filepath.Clean(cacheDir))
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return fmt.Errorf("models: %w", err)
	}
	tmp, err := os.MkdirTemp(parent, ".models-*")
	if err != nil {
		return fmt.Errorf("models: %w", err)
	}
	defer os.RemoveAll(tmp)
	var entries []Entry
	for i, it := range its {
		progress(i+2, total, "make "+it.Output.Path)
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := makeOne(it, src.PackagesDir, tmp); err != nil {
			return fmt.Errorf("models: %s: %w", it.Name, err)
		}
		entries = append(entries, it.entry())
	}
	progress(total, total, "put the cache in place")
	if err := writeManifest(tmp, entries); err != nil {
		return fmt.Errorf("models: %w", err)
	}
	return replace(tmp, cacheDir)
}

// makeOne converts one item into dir.
func makeOne(it item, packages, dir string) error {
	var sources [][]byte
	for _, s := range it.Sources {
		b, err := readSource(filepath.Join(packages, filepath.FromSlash(it.Package), filepath.FromSlash(s.Path)), s.SHA256)
		if err != nil {
			return err
		}
		sources = append(sources, b)
	}
	convert, ok := converters[it.Convert]
	if !ok || len(sources) == 0 {
		return fmt.Errorf("lock.json: no conversion %q", it.Convert)
	}
	out, err := convert(sources)
	if err != nil {
		return fmt.Errorf("convert: %w", err)
	}
	if sum := sha256Hex(out); sum != it.Output.SHA256 {
		return fmt.Errorf("%w: the conversion gave sha256 %s, the lock says %s", ErrChanged, sum, it.Output.SHA256)
	}
	path := filepath.Join(dir, it.Output.Path)
	if err := os.WriteFile(path, out, 0o644); err != nil {
		return err
	}
	return nil
}

func readSource(path, want string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s (hint: run `npm ci` in models/)", ErrMissing, path)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSource+1))
	if err != nil {
		return nil, err
	}
	if sum := sha256Hex(b); sum != want {
		return nil, fmt.Errorf("%w: %s has sha256 %s, the lock says %s", ErrChanged, path, sum, want)
	}
	return b, nil
}

func sha256Hex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// replace moves the finished directory to cacheDir. Two builders may race: the
// one that comes second finds a good cache there and leaves it.
func replace(finished, cacheDir string) error {
	if err := os.Chmod(finished, 0o755); err != nil {
		return fmt.Errorf("models: %w", err)
	}
	old := finished + ".old"
	defer os.RemoveAll(old)
	if err := os.Rename(cacheDir, old); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("models: %w", err)
	}
	if err := os.Rename(finished, cacheDir); err != nil {
		if _, openErr := Open(cacheDir); openErr == nil {
			return nil
		}
		return fmt.Errorf("models: %w", err)
	}
	return nil
}
