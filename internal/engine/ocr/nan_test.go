package ocr

import (
	"context"
	"errors"
	"image"
	"image/draw"
	"math"
	"testing"

	"golang.org/x/sync/semaphore"

	"github.com/kosmoscope/kosmoscope/internal/engine/onnx"
)

// answer is a net that gives one tensor of the shape that it is asked for, all of
// one value but for one place.
type answer struct {
	shape func(in []int64) []int64
	value func(i int) float32
}

func (a answer) Run(in ...onnx.Tensor) ([]onnx.Tensor, error) {
	shape := a.shape(in[0].Shape)
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	t := onnx.Tensor{Shape: shape, Data: make([]float32, n)}
	for i := range t.Data {
		t.Data[i] = a.value(i)
	}
	return []onnx.Tensor{t}, nil
}

func (answer) Close() error { return nil }

// TestNumbersThatAreNone: one value that is none, anywhere in what a net answers, and
// nothing was read; not the rest of the text, and not an empty card.
func TestNumbersThatAreNone(t *testing.T) {
	card := image.NewRGBA(image.Rect(0, 0, 400, 250))
	draw.Draw(card, card.Rect, image.White, image.Point{}, draw.Src)
	const steps, classes = 4, 3
	reader := func(where string, odd float32) *Reader {
		put := func(net string, place int, value func(int) float32) func(int) float32 {
			return func(i int) float32 {
				if net == where && i == place {
					return odd
				}
				return value(i)
			}
		}
		return &Reader{keys: []string{"", "A", " "}, slots: semaphore.NewWeighted(1),
			det: answer{func(in []int64) []int64 { return []int64{1, 1, in[2], in[3]} }, put("finds", 0, func(i int) float32 {
				if x, y := i%detWidth, i/detWidth; x > 100 && x < 300 && y > 100 && y < 130 { // one line of text
					return 0.9
				}
				return 0
			})},
			rec: answer{func([]int64) []int64 { return []int64{1, steps, classes} }, put("reads", 2*classes, func(i int) float32 {
				return []float32{0, 1, 0}[i%classes]
			})}}
	}
	for _, where := range []string{"finds", "reads"} {
		for name, v := range map[string]float64{"NaN": math.NaN(), "+Inf": math.Inf(1), "-Inf": math.Inf(-1)} {
			if lines, err := reader(where, float32(v)).Lines(context.Background(), card); !errors.Is(err, ErrNaN) || lines != nil {
				t.Errorf("the net that %s, %s: %v, %v", where, name, lines, err)
			}
		}
	}
	if lines, err := reader("neither", 0).Lines(context.Background(), card); err != nil || len(lines) != 1 || lines[0].Text != "A" || lines[0].Confidence != 1 {
		t.Errorf("with numbers: %v, %v", lines, err)
	}
}
