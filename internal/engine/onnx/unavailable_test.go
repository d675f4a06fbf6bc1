package onnx_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/engine/onnx"
)

// A process opens one library, so that each bad one needs a process of its own.
func TestBadLibraryIsUnavailable(t *testing.T) {
	if path := os.Getenv("ONNX_TEST_LIBRARY"); path != "" {
		_, err := onnx.Open(path, "any.onnx")
		if !errors.Is(err, onnx.ErrUnavailable) {
			t.Errorf("not unavailable: %v", err)
		} else if !strings.Contains(err.Error(), "make build") {
			t.Errorf("%v gives no hint", err)
		}
		return
	}
	dir := t.TempDir()
	text := filepath.Join(dir, "text.so")
	if err := os.WriteFile(text, []byte("not a library"), 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"missing": filepath.Join(dir, "none.so"), "directory": dir, "not a library": text,
		// dlopen would find this one in the system; it is not in this directory.
		"bare name": "libc.so.6",
	} {
		cmd := exec.Command(self, "-test.run=^TestBadLibraryIsUnavailable$")
		cmd.Env = append(os.Environ(), "ONNX_TEST_LIBRARY="+path)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %s", name, out)
		}
	}
}
