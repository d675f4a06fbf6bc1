package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/engine/mrz/internal/cell"
)

// The same flags give the same file.
func TestTrainingIsDeterministic(t *testing.T) {
	dir := t.TempDir()
	var files [2][]byte
	for i := range files {
		path := filepath.Join(dir, string(rune('a'+i)))
		if err := run(path, 2*batch, 8, 0.04, 7); err != nil {
			t.Fatal(err)
		}
		var err error
		if files[i], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Error("two runs differ")
	}
	if _, err := cell.Decode(files[0]); err != nil {
		t.Error(err)
	}
}

// The gradient agrees with differences of the loss.
func TestGradient(t *testing.T) {
	net := initial(8, 1)
	e := example{patch: make([]float32, cell.Size), class: 5}
	for i := range e.patch {
		e.patch[i] = float32(i%7)/7 - 0.4
	}
	h, dh, probs := make([]float32, 8), make([]float32, 8), make([]float32, cell.Classes)
	g := cell.NewNet(8)
	backward(net, g, e, h, dh, probs)
	scratch := cell.NewNet(8)
	for _, c := range []struct {
		name string
		w, g []float32
		at   int
	}{
		{"w1", net.W1, g.W1, 100}, {"w1", net.W1, g.W1, 5*cell.Size + 3}, {"b1", net.B1, g.B1, 2},
		{"w2", net.W2, g.W2, 5*8 + 1}, {"w2", net.W2, g.W2, 9*8 + 4}, {"b2", net.B2, g.B2, 5},
	} {
		const step = 1e-2
		old := c.w[c.at]
		c.w[c.at] = old + step
		up, _ := backward(net, scratch, e, h, dh, probs)
		c.w[c.at] = old - step
		down, _ := backward(net, scratch, e, h, dh, probs)
		c.w[c.at] = old
		want := (up - down) / (2 * step)
		if d := want - float64(c.g[c.at]); d > 2e-3 || d < -2e-3 {
			t.Errorf("%s[%d]: gradient %v, difference %v", c.name, c.at, c.g[c.at], want)
		}
	}
}
