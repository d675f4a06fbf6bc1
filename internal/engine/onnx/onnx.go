package onnx

import (
	"errors"
	"fmt"
	"math"
)

// ErrUnavailable says that this process cannot run networks at all: it was
// built without cgo, or the shared library or a model file is not there, or
// the library is not one that this program can use.
var ErrUnavailable = errors.New("ONNX Runtime is not available; run `make build` to fetch the library and the models (and build with cgo)")

// ErrClosed is returned by Run after Close.
var ErrClosed = errors.New("onnx: session is closed")

// Tensor is a dense block of float32 values in row-major order. The product of
// Shape is len(Data).
type Tensor struct {
	Shape []int64
	Data  []float32
}

// Port is one input or output of a network. A dimension of -1 is left open by
// the model.
type Port struct {
	Name  string
	Shape []int64
}

// elements gives the number of values that a tensor of this shape holds.
func elements(shape []int64) (int, error) {
	if len(shape) == 0 {
		return 0, errors.New("onnx: tensor without dimensions")
	}
	n := int64(1)
	for _, d := range shape {
		if d <= 0 || d > math.MaxInt32 {
			return 0, fmt.Errorf("onnx: dimension %d in shape %v", d, shape)
		}
		if n > math.MaxInt32/d {
			return 0, fmt.Errorf("onnx: shape %v is too large", shape)
		}
		n *= d
	}
	return int(n), nil
}

// accepts reports whether a tensor of shape got may enter a port: same rank,
// and the same size wherever the model fixes one.
func (p Port) accepts(got []int64) bool {
	if len(p.Shape) != len(got) {
		return false
	}
	for i, d := range p.Shape {
		if d > 0 && d != got[i] {
			return false
		}
	}
	return true
}
