//go:build unix

// Package faces_test measures the engine's faces: time by stage, memory, and how well
// people are told apart, beside a peer; and it fits what the scores say. It is
// not part of the tests: without -rounds it skips.
//
//	go test ./bench/faces -run Figures -v -rounds 30
//	(cd bench/faces && npm ci --ignore-scripts)     # the peer: @vladmandic/human, tfjs on WebAssembly
//	go test ./bench/faces -run Figures -v -rounds 30 -peer node_modules
//	go test ./bench/faces -run Calibration -v -rounds 2 -timeout 1h   # documents per face and level
//
// It needs models and photos: KOSMOSCOPE_MODELS and KOSMOSCOPE_MODEL_PACKAGES, or make build.
// -calibration-pairs FILE keeps every pair's score.
package faces_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"image"
	"image/jpeg"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/image/draw"

	"github.com/kosmoscope/kosmoscope/internal/engine/face"
	"github.com/kosmoscope/kosmoscope/internal/engine/models"
	"github.com/kosmoscope/kosmoscope/internal/specimen"
)

var (
	rounds = flag.Int("rounds", 0, "how often everything is measured")
	peer   = flag.String("peer", "", "node_modules with the packages of bench/faces/package.json")
)

func modelsDir() string {
	return cmp.Or(os.Getenv("KOSMOSCOPE_MODELS"), filepath.Join("..", "..", "bin", "models"))
}

func open(t *testing.T, set string) (*face.Engine, []specimen.Face) {
	t.Helper()
	if *rounds == 0 {
		t.Skip("a measurement, not a test: give -rounds 30")
	}
	cache, err := models.Open(modelsDir())
	if err != nil {
		t.Fatal(err)
	}
	e, err := face.Open(cache, set)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	dir, err := specimen.FacesDir()
	if err != nil {
		t.Fatal(err)
	}
	all, err := specimen.Faces(dir)
	if err != nil {
		t.Fatal(err)
	}
	return e, all
}

func rgba(img image.Image) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, img.Bounds().Dx(), img.Bounds().Dy()))
	draw.Draw(out, out.Rect, img, img.Bounds().Min, draw.Src)
	return out
}

func decode(t *testing.T, b []byte) *image.RGBA {
	img, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return rgba(img)
}

// poses are how the rendered heads are held: a frontal photo turned a little.
var poses = []specimen.Pose{{Yaw: -14}, {Yaw: 14, Pitch: 5}, {Pitch: -8}, {Yaw: 8, Roll: 10, Closer: 1.4}}

// pictures are selfies of one face: varied crops of its photo, and its head turned.
func pictures(t *testing.T, e *face.Engine, f specimen.Face, w, h int, turns []specimen.Pose) []image.Image {
	list := []image.Image{specimen.Vary(f.Selfie(), 9), specimen.Vary(f.Selfie(), 21)}
	for i, small := range list {
		big := image.NewRGBA(image.Rect(0, 0, w, h))
		draw.CatmullRom.Scale(big, image.Rect((w-h)/2, 0, (w+h)/2, h), small, small.Bounds(), draw.Src, nil)
		list[i] = big
	}
	photo := rgba(f.Selfie())
	found, err := e.Detect(photo)
	if err != nil || len(found) == 0 || found[0].Mesh == nil {
		t.Fatalf("%s: %d faces, %v", f.Name, len(found), err)
	}
	mesh := make([]specimen.Point3, len(found[0].Mesh))
	for i, p := range found[0].Mesh {
		mesh[i] = specimen.Point3(p)
	}
	head, err := specimen.NewHead(photo, mesh)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range turns {
		list = append(list, specimen.Vary(head.Frame(p, specimen.Camera{W: w, H: h, Noise: 3}, uint64(i), uint64(i+77)), uint64(i)))
	}
	return list
}

// used is the processor time of this process.
func used() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// figures are the times of one stage, milliseconds.
type figures struct{ wall []float64 }

func (f *figures) add(d time.Duration) { f.wall = append(f.wall, d.Seconds()*1000) }
func (f *figures) at(q float64) float64 {
	slices.Sort(f.wall)
	return f.wall[int(q*float64(len(f.wall)-1))]
}

// TestFigures prints milliseconds by stage for selfies of 1600 x 1200, one at a time, then
// eight at once, then how people are told apart; beside the peer if it is there.
func TestFigures(t *testing.T) {
	e, all := open(t, face.SetFull)
	dir := t.TempDir()
	var files [][]byte
	var who []int
	for i, f := range all {
		for k, img := range pictures(t, e, f, 1600, 1200, poses[:2]) {
			files, who = append(files, specimen.JPEG(img, 88)), append(who, i)
			name := filepath.Join(dir, strconv.Itoa(1000+i*10+k)+".jpg")
			if err := os.WriteFile(name, files[len(files)-1], 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	var opened, looked, described, without, whole figures
	templates := make([]*face.Template, len(files))
	judge := func(i int, note func(a, b, c, d time.Time)) { // without note nothing is kept
		a := time.Now()
		img := decode(t, files[i])
		b := time.Now()
		found, err := e.Detect(img)
		c := time.Now()
		if err != nil {
			t.Error(err)
			return
		}
		if len(found) == 0 || found[0].Mesh == nil {
			return
		}
		template, err := e.Describe(img, found[0])
		if err != nil {
			t.Error(err)
		}
		if note != nil {
			note(a, b, c, time.Now())
			templates[i] = template
		}
	}
	judge(0, nil)
	before, n := used(), 0
	for n < max(*rounds, len(files)) { // every picture at least once
		judge(n%len(files), func(a, b, c, d time.Time) {
			opened.add(b.Sub(a))
			looked.add(c.Sub(b))
			described.add(d.Sub(c))
			without.add(d.Sub(b))
			whole.add(d.Sub(a))
		})
		n++
	}
	each := (used() - before).Seconds() * 1000 / float64(n)
	t.Logf("ours, one at a time, %d pictures of 1600 x 1200        median  fastest  90 %%", n)
	for _, s := range []struct {
		name string
		f    *figures
	}{{"JPEG to pixels", &opened}, {"detector twice, mesh twice, quality", &looked}, {"two embeddings", &described}, {"all without JPEG", &without}, {"all", &whole}} {
		t.Logf("%-50s %7.1f ms %7.1f %6.1f", s.name, s.f.at(0.5), s.f.at(0), s.f.at(0.9))
	}
	t.Logf("processor time of all %.1f ms", each)

	begun, before := time.Now(), used()
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() {
			for k := range max(*rounds/8, 1) {
				judge((c*len(files)/8+k)%len(files), nil)
			}
		})
	}
	wg.Wait()
	done := float64(8 * max(*rounds/8, 1))
	t.Logf("ours, 8 at once: %.1f pictures/s, processor time %.1f ms each, peak of this process %d MB", done/time.Since(begun).Seconds(),
		(used()-before).Seconds()*1000/done, peak())
	t.Log(told("ours", all, who, func(i, j int) float64 {
		s, err := face.Compare(templates[i], templates[j])
		if err != nil {
			return math.Inf(-1)
		}
		return s.Fused
	}))
	if *peer == "" {
		return
	}
	var a struct {
		Version, Backend string
		SIMD             bool `json:"simd"`
		Pictures         []struct {
			Faces    int
			DecodeMS float64 `json:"decode_ms"`
			JudgeMS  float64 `json:"judge_ms"`
		}
		CPU        float64 `json:"cpu_ms"`
		Peak       float64 `json:"peak_mb"`
		Similarity [][]float64
	}
	out, err := exec.CommandContext(t.Context(), "node", "peer.mjs", *peer, dir).Output()
	if err == nil {
		err = json.Unmarshal(out, &a)
	}
	if err != nil || len(a.Similarity) != len(files) {
		var x *exec.ExitError
		if errors.As(err, &x) {
			t.Logf("%s", x.Stderr)
		}
		t.Fatalf("peer: %v, %d pictures", err, len(a.Similarity))
	}
	var opens, looks figures
	for _, p := range a.Pictures {
		opens.wall, looks.wall = append(opens.wall, p.DecodeMS), append(looks.wall, p.JudgeMS)
	}
	t.Logf("@vladmandic/human %s, tfjs %s, SIMD %v, one thread: JPEG %.1f ms, all without %.1f ms median (fastest %.1f), processor time of all %.1f ms, peak %.0f MB",
		a.Version, a.Backend, a.SIMD, opens.at(0.5), looks.at(0.5), looks.at(0), a.CPU, a.Peak)
	t.Log(told("@vladmandic/human", all, who, func(i, j int) float64 { return a.Similarity[i][j] }))
}

func peak() int {
	b, _ := os.ReadFile("/proc/self/status")
	if m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(b); m != nil {
		kb, _ := strconv.Atoi(string(m[1]))
		return kb * 1024 / 1_000_000
	}
	return 0
}

// told says how many pairs of one person score no better than the best 1 %, and the
// best of all, of pairs of two people. A face that was not found counts as alike to nobody.
func told(name string, all []specimen.Face, who []int, score func(i, j int) float64) string {
	var same, others []float64
	for i := range who {
		for j := range i {
			a, b := all[who[i]], all[who[j]]
			if who[i] == who[j] || specimen.SamePerson(a, b) {
				same = append(same, score(i, j))
			} else {
				others = append(others, score(i, j))
			}
		}
	}
	slices.Sort(others)
	missed := func(at float64) (n int) {
		for _, s := range same {
			if !(s > at) {
				n++
			}
		}
		return n
	}
	one, none := missed(others[len(others)*99/100]), missed(others[len(others)-1])
	of := strconv.Itoa(len(same))
	return name + ": of " + of + " rendered pairs of one person " + strconv.Itoa(one) + " are missed where 1 % of " + strconv.Itoa(len(others)) +
		" pairs of two pass, " + strconv.Itoa(none) + " where none does"
}
