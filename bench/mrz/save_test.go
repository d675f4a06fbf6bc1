package mrz_test

import (
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/engine/mrz"
)

// report says what was misread, and keeps the photograph if -save is given. The
// documents are specimens, so their text may be printed.
func report(t *testing.T, level, i int, img image.Image, want []string, got *mrz.Result, err error) {
	name := fmt.Sprintf("level%d-%d.png", level, i)
	if got == nil {
		t.Logf("%s: %v", name, err)
	} else {
		for k, line := range want {
			have := ""
			if k < len(got.Lines) {
				have = got.Lines[k]
			}
			if have != line {
				t.Logf("%s: digits ok %v, confidence %.2f\n  want %s\n  got  %s", name, got.DigitsOK, got.Confidence, line, have)
			}
		}
	}
	if *save == "" {
		return
	}
	f, err := os.Create(filepath.Join(*save, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := png.Encode(f, img); err != nil {
		t.Fatal(err)
	}
}
