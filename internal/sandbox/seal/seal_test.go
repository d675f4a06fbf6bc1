package seal_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/seal"
)

func TestSeal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	s, err := seal.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || info.Size() != 32 {
		t.Fatalf("%v %v", info, err)
	}
	sealed := s.Seal("users/data/1", []byte("Ada"))
	again, err := seal.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := again.Open("users/data/1", sealed); err != nil || string(plain) != "Ada" {
		t.Fatalf("%q %v", plain, err)
	}
	other, err := seal.New(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	altered := append([]byte(nil), sealed...)
	altered[len(altered)-1] ^= 1
	for name, open := range map[string]func() ([]byte, error){
		"another place": func() ([]byte, error) { return s.Open("users/data/2", sealed) },
		"another key":   func() ([]byte, error) { return other.Open("users/data/1", sealed) },
		"altered":       func() ([]byte, error) { return s.Open("users/data/1", altered) },
		"empty":         func() ([]byte, error) { return s.Open("users/data/1", nil) },
	} {
		if plain, err := open(); !errors.Is(err, seal.Err) || plain != nil {
			t.Errorf("%s: %q %v", name, plain, err)
		}
	}
}

func TestKeyFileThatIsNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := seal.WriteFile(path, []byte("short")); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.OpenFile(path); err == nil {
		t.Error("a key of five bytes")
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "short" {
		t.Errorf("the file was changed: %q %v", b, err)
	}
	if _, err := seal.New([]byte("short")); err == nil {
		t.Error("a key of five bytes")
	}
}
