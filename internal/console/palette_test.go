package console

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write web/console/testdata/palette.json anew")

// The tests of the pages read the signals and presets out of a file, which is held here
// to what the API gives.
func TestPaletteOfThePages(t *testing.T) {
	all, _ := palette().(map[string]any)
	var want bytes.Buffer
	e := json.NewEncoder(&want)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(map[string]any{"signals": all["signals"], "presets": all["presets"]}); err != nil {
		t.Fatal(err)
	}
	const file = "../../web/console/testdata/palette.json"
	if *update {
		if err := os.WriteFile(file, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s is not what the API gives; go test ./internal/console -run TestPalette -update, then make web", file)
	}
}
