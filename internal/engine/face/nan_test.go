package face

import (
	"errors"
	"image"
	"math"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/engine/onnx"
)

// answers is a network that always gives the same.
type answers []onnx.Tensor

func (a answers) Run(...onnx.Tensor) ([]onnx.Tensor, error) { return a, nil }
func (answers) Close() error                                { return nil }

// filled is an answer of n values, one of which is v.
func filled(n int, v float64) onnx.Tensor {
	t := onnx.Tensor{Shape: []int64{1, int64(n)}, Data: make([]float32, n)}
	for i := range t.Data {
		t.Data[i] = -20
	}
	t.Data[n/2] = float32(v)
	return t
}

// TestNumbersThatAreNone puts one value into each answer of each network. A
// detector that answers so has not seen an empty picture: it has seen nothing.
func TestNumbersThatAreNone(t *testing.T) {
	img := image.NewRGBA(image.Rect(0, 0, 400, 400))
	mesh := make([]Point3, meshPoints)
	for i := range mesh {
		mesh[i] = Point3{float64(100 + i%20*10), float64(100 + i/20*8), 0}
	}
	for name, v := range map[string]float64{"NaN": math.NaN(), "+Inf": math.Inf(1), "-Inf": math.Inf(-1)} {
		for part, n := range []int{512, 384, 512 * blazeValues, 384 * blazeValues} {
			out := answers{filled(512, 0), filled(384, 0), filled(512*blazeValues, 0), filled(384*blazeValues, 0)}
			out[part] = filled(n, v)
			e := &Engine{detector: &network{session: out, size: blazeSize}}
			if faces, err := e.Detect(img); !errors.Is(err, ErrNaN) || faces != nil {
				t.Errorf("detector, answer %d, %s: %d faces, %v", part, name, len(faces), err)
			}
			if _, _, err := e.Portrait(img, Page{}); !errors.Is(err, ErrNaN) {
				t.Errorf("detector, answer %d, %s: portrait: %v", part, name, err)
			}
		}
		r, _ := newRaster(img)
		for part, out := range map[string]answers{
			"points":   {filled(meshPoints*3, v), filled(1, 1)},
			"presence": {filled(meshPoints*3, 1), filled(1, v)},
		} {
			e := &Engine{mesh: &network{session: out, size: meshSize}}
			if _, ok, err := e.fit(r, candidate{box: box{100, 100, 300, 300}, score: 1}); !errors.Is(err, ErrNaN) || ok {
				t.Errorf("mesh, %s, %s: %v, %v", part, name, ok, err)
			}
		}
		first, second := filled(dlibLength, 1), filled(mobileLength, 1)
		for part, e := range map[string]*Engine{
			"first":  {dlib: &network{session: answers{filled(dlibLength, v)}, size: dlibSize}, second: &network{session: answers{second}, size: mobileSize}},
			"second": {dlib: &network{session: answers{first}, size: dlibSize}, second: &network{session: answers{filled(mobileLength, v)}, size: mobileSize}},
		} {
			if d, err := e.Describe(img, Face{Mesh: mesh}); !errors.Is(err, ErrNaN) || d != nil {
				t.Errorf("%s embedding, %s: %v", part, name, err)
			}
		}
	}
	// The same networks with numbers.
	e := &Engine{detector: &network{session: answers{filled(512, 0), filled(384, 0), filled(512*blazeValues, 0), filled(384*blazeValues, 0)}, size: blazeSize}}
	if faces, err := e.Detect(img); err != nil || len(faces) != 0 {
		t.Errorf("%d faces, %v", len(faces), err)
	}
}
