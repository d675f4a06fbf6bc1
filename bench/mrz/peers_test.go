package mrz_test

import (
	"cmp"
	"errors"
	"flag"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/image/draw"

	"github.com/kosmoscope/kosmoscope/internal/engine/models"
	"github.com/kosmoscope/kosmoscope/internal/engine/mrz"
	"github.com/kosmoscope/kosmoscope/internal/engine/onnx"
)

var peers = flag.Bool("peers", false, "read the same photographs with Tesseract (tesseract-ocr, eng) and PP-OCRv4 as well")

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789<"

// TestPeers reads the photographs of TestFigures with other readers too:
//
//	go test ./bench/mrz -run Peers -v -peers -documents 40
//
// Neither of them finds a zone. They are given the lines straightened and cut out where
// ours found the zone, the number of lines, and no character but those of a zone.
// A zone that ours does not find counts against all three.
func TestPeers(t *testing.T) {
	needDocuments(t)
	if !*peers {
		t.Skip("give -peers")
	}
	program, err := exec.LookPath("tesseract")
	if err != nil {
		t.Skip("no Tesseract: apt-get install tesseract-ocr")
	}
	cache, err := models.Open(cmp.Or(os.Getenv("KOSMOSCOPE_MODELS"), filepath.Join("..", "..", "bin", "models")))
	if err != nil {
		t.Skip(err)
	}
	paddle := openPaddle(t, cache)
	dir := t.TempDir()
	tesseract := func(line *image.RGBA) (string, error) {
		name := filepath.Join(dir, "line.png")
		f, err := os.Create(name)
		if err != nil {
			return "", err
		}
		if err := errors.Join(png.Encode(f, line), f.Close()); err != nil {
			return "", err
		}
		cmd := exec.CommandContext(t.Context(), program, name, "-", "-l", "eng", "--psm", "7", "-c", "tessedit_char_whitelist="+letters)
		cmd.Env = append(os.Environ(), "OMP_THREAD_LIMIT=1")
		out, err := cmd.Output()
		return strings.Join(strings.Fields(string(out)), ""), err
	}
	t.Logf("of %d documents those with every line exact, those where O and 0 may be mixed up, and milliseconds each (ours with finding; Tesseract with the start of its process)", *documents)
	t.Logf("level  ours             Tesseract        PP-OCRv4")
	for level := range 4 {
		var exact, alike [3]int // alike: O and 0 are the same
		var took [3]time.Duration
		for i := range *documents {
			photo, want := document(level, i)
			start := time.Now()
			read, err := mrz.Read(photo, now)
			took[0] += time.Since(start)
			if err != nil {
				if !errors.Is(err, mrz.ErrNotFound) {
					t.Log(err)
				}
				continue
			}
			if compare(read, want) == 0 {
				exact[0]++
				alike[0]++
			}
			for k, peer := range []struct {
				read          func(*image.RGBA) (string, error)
				margin, pitch float64
			}{{tesseract, 0.4, 36}, {paddle, 0.2, 42}} { // the best of three that were tried, for each
				lines := strips(photo, read.Quad, len(want), len(want[0]), peer.margin, peer.pitch)
				start := time.Now()
				all, same := true, true
				for j, line := range lines {
					got, err := peer.read(line)
					if err != nil {
						t.Fatal(err)
					}
					all = all && got == want[j]
					same = same && strings.ReplaceAll(got, "0", "O") == strings.ReplaceAll(want[j], "0", "O")
				}
				took[k+1] += time.Since(start)
				if all {
					exact[k+1]++
				}
				if same {
					alike[k+1]++
				}
			}
		}
		ms := func(k int) int64 { return took[k].Milliseconds() / int64(*documents) }
		t.Logf("%5d  %3d %3d %6d   %3d %3d %6d   %3d %3d %6d", level, exact[0], alike[0], ms(0), exact[1], alike[1], ms(1), exact[2], alike[2], ms(2))
	}
}

// strips cuts the lines out of a zone, 48 pixels high with a margin above and below in
// heights of the text, and pitch pixels wide for each character and a little beside.
func strips(photo image.Image, quad [4]image.Point, lines, characters int, margin, pitch float64) []*image.RGBA {
	src := image.NewRGBA(photo.Bounds())
	draw.Draw(src, src.Rect, photo, src.Rect.Min, draw.Src)
	at := func(x, y float64) [3]float64 { // 0 to 1 across and down the zone, and beyond it
		p := func(c func(image.Point) int) float64 {
			a, b, d, e := float64(c(quad[0])), float64(c(quad[1])), float64(c(quad[2])), float64(c(quad[3]))
			return (a*(1-x)+b*x)*(1-y) + (e*(1-x)+d*x)*y
		}
		u, v := p(func(q image.Point) int { return q.X }), p(func(q image.Point) int { return q.Y })
		i, j := int(u), int(v)
		var sum [3]float64
		for dy := range 2 {
			for dx := range 2 {
				k := (1 - abs(u-float64(i+dx))) * (1 - abs(v-float64(j+dy)))
				if q := image.Pt(i+dx, j+dy); q.In(src.Rect) && k > 0 {
					c := src.Pix[src.PixOffset(q.X, q.Y):]
					for n := range sum {
						sum[n] += k * float64(c[n])
					}
				}
			}
		}
		return sum
	}
	width := int(pitch * float64(characters))
	text := 1 / (1 + 2.2*float64(lines-1)) // height of a line of text, of the zone's
	var out []*image.RGBA
	for n := range lines {
		line := image.NewRGBA(image.Rect(0, 0, width, 48))
		top := 2.2*text*float64(n) - margin*text
		for y := range 48 {
			for x := range width {
				c := at(-0.02+1.04*(float64(x)+0.5)/float64(width), top+(1+2*margin)*text*(float64(y)+0.5)/48)
				p := line.Pix[line.PixOffset(x, y):]
				p[0], p[1], p[2], p[3] = uint8(c[0]+0.5), uint8(c[1]+0.5), uint8(c[2]+0.5), 255
			}
		}
		out = append(out, line)
	}
	return out
}

func abs(v float64) float64 { return max(v, -v) }

// openPaddle gives a reader of one line over PP-OCRv4's network, with the characters of a
// zone only: the best of each step, repetitions once, blanks (class 0) between them.
func openPaddle(t *testing.T, cache *models.Cache) func(*image.RGBA) (string, error) {
	path, _, err := cache.Model("ppocr-rec")
	if err != nil {
		t.Skip(err)
	}
	file, _, err := cache.Model("ppocr-keys")
	if err != nil {
		t.Skip(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	classes := map[int]string{}
	for i, k := range strings.Split(string(b), "\n") {
		if k = strings.TrimRight(k, "\r"); len(k) == 1 && strings.Contains(letters, k) {
			classes[i+1] = k
		}
	}
	if len(classes) != len(letters) {
		t.Fatalf("%d of %d characters", len(classes), len(letters))
	}
	net, err := onnx.Open(cache.Library(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { net.Close() })
	return func(line *image.RGBA) (string, error) {
		w, h := line.Rect.Dx(), line.Rect.Dy()
		in := onnx.Tensor{Shape: []int64{1, 3, int64(h), int64(w)}, Data: make([]float32, 3*w*h)}
		for i := range w * h {
			for c := range 3 {
				in.Data[c*w*h+i] = float32(line.Pix[4*i+2-c])/127.5 - 1
			}
		}
		out, err := net.Run(in)
		if err != nil {
			return "", err
		}
		steps, n, last := int(out[0].Shape[1]), int(out[0].Shape[2]), 0
		var text strings.Builder
		for s := range steps {
			p := out[0].Data[s*n : (s+1)*n]
			best := 0
			for c := range classes {
				if p[c] > p[best] {
					best = c
				}
			}
			if best != last && best > 0 {
				text.WriteString(classes[best])
			}
			last = best
		}
		return text.String(), nil
	}
}
