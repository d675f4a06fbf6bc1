package cell_test

import (
	"bytes"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/engine/mrz/internal/cell"
)

func randomNet(hidden int) *cell.Net {
	r := rand.New(rand.NewPCG(1, 2))
	n := cell.NewNet(hidden)
	for _, w := range [][]float32{n.W1, n.B1, n.W2, n.B2} {
		for i := range w {
			w[i] = float32(r.NormFloat64() / 10)
		}
	}
	return n
}

func TestForward(t *testing.T) {
	n := randomNet(16)
	x, h, p := make([]float32, cell.Size), make([]float32, 16), make([]float32, cell.Classes)
	for i := range x {
		x[i] = float32(math.Sin(float64(i)))
	}
	n.Forward(x, h, p)
	// The same, spelled out in double precision.
	var hidden [16]float64
	for j := range hidden {
		hidden[j] = float64(n.B1[j])
		for i := range x {
			hidden[j] += float64(n.W1[j*cell.Size+i]) * float64(x[i])
		}
		hidden[j] = max(hidden[j], 0)
	}
	var logits [cell.Classes]float64
	sum := 0.0
	for c := range logits {
		logits[c] = float64(n.B2[c])
		for j, v := range hidden {
			logits[c] += float64(n.W2[c*16+j]) * v
		}
		sum += math.Exp(logits[c])
	}
	for c := range p {
		if want := math.Exp(logits[c]) / sum; math.Abs(want-float64(p[c])) > 1e-5 {
			t.Errorf("class %d: %v, want %v", c, p[c], want)
		}
	}
}

func TestEncodeDecode(t *testing.T) {
	n := randomNet(24)
	data := n.Encode()
	m, err := cell.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(m.Encode(), data) {
		t.Error("encoding what was decoded changes it")
	}
	for i := range n.W1 {
		if math.Abs(float64(n.W1[i]-m.W1[i])) > 0.003 {
			t.Fatal("weight", i, n.W1[i], m.W1[i])
		}
	}
	for _, bad := range [][]byte{nil, data[:5], data[:len(data)-1], append(bytes.Clone(data), 0), append([]byte("XXXX"), data[4:]...)} {
		if _, err := cell.Decode(bad); err == nil {
			t.Error("a broken file was accepted")
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(randomNet(8).Encode())
	f.Add([]byte("MRZ1\x08\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if n, err := cell.Decode(data); err == nil && n.Hidden*cell.Size != len(n.W1) {
			t.Fatal("sizes")
		}
	})
}

func TestSample(t *testing.T) {
	g := cell.NewGray(100, 80)
	for i := range g.Pix {
		g.Pix[i] = 200
	}
	for y := 30; y < 50; y++ { // a dark block, left half of the patch
		for x := 40; x < 50; x++ {
			g.Pix[y*100+x] = 40
		}
	}
	dst := make([]float32, cell.Size)
	f := cell.Frame{X: 50, Y: 40, UX: 20, VY: 20}
	if dev := cell.Sample(g, f, dst); dev < 30 {
		t.Error("deviation", dev)
	}
	middle := dst[cell.Rows/2*cell.Cols:]
	if middle[4] > -0.5 || middle[12] < 0 {
		t.Error("left", middle[4], "right", middle[12])
	}
	var sum float32
	for _, v := range dst {
		sum += v
	}
	if math.Abs(float64(sum)) > 0.01 {
		t.Error("mean", sum)
	}
	// Turned by half a turn the dark half is on the right.
	cell.Sample(g, cell.Frame{X: 50, Y: 40, UX: -20, VY: -20}, dst)
	if middle[12] > -0.5 {
		t.Error("not turned")
	}
	// Far outside, on tiny pictures, and at places that are no numbers it does not panic.
	cell.Sample(g, cell.Frame{X: -1e9, Y: 1e9, UX: 1e6, VY: 1e6}, dst)
	cell.Sample(cell.NewGray(1, 1), f, dst)
	cell.Sample(g, cell.Frame{X: math.NaN(), Y: math.Inf(1)}, dst)
}

func TestFromImage(t *testing.T) {
	src := image.NewRGBA(image.Rect(-3, 5, 6, 14)) // 9 x 9
	for y := 5; y < 14; y++ {
		for x := -3; x < 6; x++ {
			src.Set(x, y, color.RGBA{uint8(10 * (x + 3)), uint8(10 * (x + 3)), uint8(10 * (x + 3)), 255})
		}
	}
	g := cell.FromImage(src, 2)
	if g.W != 4 || g.H != 4 || g.Pix[0] != 5 || g.Pix[3] != 65 {
		t.Error(g)
	}
	if h := g.Half(); h.W != 2 || h.Pix[0] != 15 {
		t.Error(h)
	}
	if d := g.Double(); d.W != 8 || d.Pix[0] != 5 || d.Pix[1] != 10 {
		t.Error(d)
	}
	if e := cell.FromImage(src, 20); e.W != 0 || e.H != 0 || len(e.Pix) != 0 {
		t.Error(e)
	}
}
