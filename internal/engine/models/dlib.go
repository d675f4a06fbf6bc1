package models

import (
	"encoding/json"
	"fmt"
	"slices"
)

// convertDlib writes dlib's face recognition ResNet-29 as ONNX. The package
// ships weights without a graph, so the graph is written here; its shape is
// dlib's dnn_face_recognition_ex and the package's src/faceRecognitionNet.
// Each convolution is followed by a scale and a shift per channel, which are
// folded into the filter and its bias.
func convertDlib(name string, manifest, bin []byte, output string) ([]byte, error) {
	var groups []tfjsGroup
	if err := json.Unmarshal(manifest, &groups); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	weights, err := readTFJSWeights(groups, bin)
	if err != nil {
		return nil, err
	}
	d := dlib{g: &graph{name: name}, weights: weights}
	x := d.g.image(150, 150)
	x = d.relu(d.conv(x, "conv32_down", 2, false))
	x = d.g.pool("MaxPool", x, 3, 2)
	for _, stage := range []struct {
		name   string
		blocks int
	}{{"conv32", 3}, {"conv64", 3}, {"conv128", 2}, {"conv256", 2}} {
		if stage.name != "conv32" {
			x = d.down(x, stage.name+"_down")
		}
		for i := range stage.blocks {
			block := fmt.Sprintf("%s_%d", stage.name, i+1)
			y := d.relu(d.conv(x, block+"/conv1", 1, true))
			y = d.conv(y, block+"/conv2", 1, true)
			x = d.relu(d.g.binary("Add", y, x))
		}
	}
	x = d.down(x, "conv256_down_out")
	x = d.g.op("GlobalAveragePool", []int{1, x.dims[1], 1, 1}, []string{x.name})
	x = d.g.flatten(x)
	fc := d.weight("fc", 256, 128)
	if d.g.err == nil && !slices.Equal(x.dims, []int{1, 256}) {
		d.g.fail("%d numbers before the last layer, want 256", x.dims[1])
	}
	x = d.g.op("MatMul", []int{1, 128}, []string{x.name, d.g.floats(fc, 256, 128)})
	d.g.output(x, output)
	return d.g.model()
}

type dlib struct {
	g       *graph
	weights map[string]tensor
}

func (d *dlib) relu(x value) value { return d.g.unary("Relu", x) }

// weight gives a weight whose shape must be dims.
func (d *dlib) weight(name string, dims ...int) []float32 {
	t, ok := d.weights[name]
	n, _ := elements(dims)
	if !ok || len(t.f) != n || !slices.Equal(t.dims, dims) {
		d.g.fail("weight %q: have %v, want %v", name, t.dims, dims)
		return make([]float32, n)
	}
	return t.f
}

// conv is convolution, scale and shift. The filter's size says the rest.
func (d *dlib) conv(x value, name string, stride int, same bool) value {
	prefix := name + "/conv"
	w, ok := d.weights[prefix+"/filters"]
	if !ok || len(w.dims) != 4 || w.f == nil {
		return d.g.fail("weight %q is missing", prefix+"/filters")
	}
	f := filter{kh: w.dims[0], kw: w.dims[1], in: w.dims[2], out: w.dims[3], groups: 1,
		strideH: stride, strideW: stride, dilH: 1, dilW: 1, same: same}
	f.data = reorder(w.f, f.out, f.in, f.kh*f.kw, func(o, i, k int) int { return (k*f.in+i)*f.out + o })
	bias := d.weight(prefix+"/bias", f.out)
	scale := d.weight(name+"/scale/weights", f.out)
	shift := d.weight(name+"/scale/biases", f.out)
	if d.g.err != nil {
		return x
	}
	f.bias = make([]float32, f.out)
	per := len(f.data) / max(f.out, 1)
	for o := range f.out {
		for i := range per {
			f.data[o*per+i] *= scale[o]
		}
		// Rounded step by step, so that no processor fuses the two (see dequantise).
		p := float32(scale[o] * bias[o])
		f.bias[o] = p + shift[o]
	}
	return d.g.conv(x, f)
}

// down is a residual block that halves the image: the short cut is an average
// of 2x2, filled up with zero channels; the convolutions' side is filled up
// with a row and a column of zeros where it came out one smaller.
func (d *dlib) down(x value, name string) value {
	y := d.relu(d.conv(x, name+"/conv1", 2, false))
	y = d.conv(y, name+"/conv2", 1, true)
	short := d.g.pool("AveragePool", x, 2, 2)
	if d.g.err != nil {
		return x
	}
	if c := y.dims[1] - short.dims[1]; c > 0 {
		short = d.g.pad(short, [4]int{}, [4]int{0, c, 0, 0})
	}
	if h, w := short.dims[2]-y.dims[2], short.dims[3]-y.dims[3]; h > 0 || w > 0 {
		y = d.g.pad(y, [4]int{}, [4]int{0, 0, h, w})
	}
	return d.relu(d.g.binary("Add", short, y))
}
