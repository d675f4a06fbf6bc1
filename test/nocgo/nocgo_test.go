// Package nocgo_test builds the program without cgo: everything works but the
// engine, which says that it cannot tell, so that nothing verifies.
package nocgo_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/specimen"
)

func TestNothingVerifiesWithoutCgo(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "kosmoscope")
	build := exec.Command("go", "build", "-o", program, "../../cmd/kosmoscope")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	front, _ := specimen.Passport(nil).Render()
	photo := filepath.Join(dir, "photo.jpg")
	if err := os.WriteFile(photo, specimen.JPEG(front, 90), 0o600); err != nil {
		t.Fatal(err)
	}

	var stdout, stderr bytes.Buffer
	prove := exec.Command(program, "prove", "--document", photo, "--selfie", photo, "--liveness", "none", "--json")
	prove.Stdout, prove.Stderr = &stdout, &stderr
	// As after `make build` on a machine without models, whatever this one has.
	environment := append(os.Environ(), "KOSMOSCOPE_MODELS="+filepath.Join(dir, "none"))
	prove.Env = environment
	err := prove.Run()
	var status *exec.ExitError
	if !errors.As(err, &status) || status.ExitCode() != 1 {
		t.Fatalf("got %v, want exit status 1\n%s", err, stderr.String())
	}
	var r struct {
		Status, Reason string
		Checks         []struct{ Name, Outcome string }
	}
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatalf("%v\n%s", err, stdout.String())
	}
	if r.Status != "failed" || r.Reason != "engine_models_missing" || len(r.Checks) == 0 {
		t.Errorf("got %+v", r)
	}
	for _, c := range r.Checks {
		if c.Outcome != "cannot_tell" {
			t.Errorf("%s is %s", c.Name, c.Outcome)
		}
	}

	models := exec.Command(program, "engine", "models")
	models.Env = environment
	out, err := models.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "licence") || !strings.Contains(string(out), "hint: ") {
		t.Errorf("engine models: %v\n%s", err, out)
	}
}
