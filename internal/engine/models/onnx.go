package models

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field and enum numbers of onnx.proto3 (ONNX IR version 8). Only what we write.
const (
	onnxIRVersion = 8
	onnxOpset     = 17 // ONNX Runtime 1.30 takes 7 to 25

	onnxFloat = 1
	onnxInt64 = 7

	attrInt  = 2
	attrInts = 7
)

// value is a tensor inside the graph. dims are as ONNX sees them: images are
// [1, channels, height, width].
type value struct {
	name string
	dims []int
}

// attr is one encoded AttributeProto.
type attr []byte

func intAttr(name string, v int) attr {
	a := appendString(nil, 1, name)
	a = appendVarint(a, 3, uint64(v))
	return appendVarint(a, 20, attrInt)
}

func intsAttr(name string, vs ...int) attr {
	a := appendString(nil, 1, name)
	for _, v := range vs {
		a = appendVarint(a, 8, uint64(v))
	}
	return appendVarint(a, 20, attrInts)
}

// graph writes one ONNX graph, node by node in the order of execution. Names
// are counted, so the same calls give the same bytes on every machine. The
// first error sticks and comes out of model.
type graph struct {
	name                        string
	nodes, inits, inputs, outps []byte
	n                           int
	err                         error
}

func (g *graph) fail(format string, args ...any) value {
	if g.err == nil {
		g.err = fmt.Errorf(format, args...)
	}
	return value{name: "invalid", dims: []int{1, 1, 1, 1}}
}

func (g *graph) fresh(prefix string) string {
	g.n++
	return fmt.Sprintf("%s%d", prefix, g.n)
}

// image declares the graph's input of [1,h,w,3] and gives it as [1,3,h,w].
func (g *graph) image(h, w int) value {
	g.inputs = appendBytes(g.inputs, 11, valueInfo("input", []int{1, h, w, 3}))
	return g.transpose(value{"input", []int{1, h, w, 3}}, 0, 3, 1, 2)
}

// output declares v as an output of the graph, under the given name.
func (g *graph) output(v value, name string) {
	g.node("Identity", []string{v.name}, name)
	g.outps = appendBytes(g.outps, 12, valueInfo(name, v.dims))
}

func (g *graph) node(op string, inputs []string, output string, attrs ...attr) {
	var n []byte
	for _, in := range inputs {
		n = appendString(n, 1, in)
	}
	n = appendString(n, 2, output)
	n = appendString(n, 3, output)
	n = appendString(n, 4, op)
	for _, a := range attrs {
		n = appendBytes(n, 5, a)
	}
	g.nodes = appendBytes(g.nodes, 1, n)
}

func (g *graph) op(op string, dims []int, inputs []string, attrs ...attr) value {
	out := g.fresh("t")
	g.node(op, inputs, out, attrs...)
	return value{out, dims}
}

func (g *graph) floats(data []float32, dims ...int) string {
	raw := make([]byte, 0, 4*len(data))
	for _, f := range data {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(f))
	}
	return g.initializer(onnxFloat, raw, dims)
}

func (g *graph) ints(data ...int) string {
	var raw []byte
	for _, v := range data {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	return g.initializer(onnxInt64, raw, []int{len(data)})
}

func (g *graph) initializer(dataType uint64, raw []byte, dims []int) string {
	name := g.fresh("w")
	var t []byte
	for _, d := range dims {
		t = appendVarint(t, 1, uint64(d))
	}
	t = appendVarint(t, 2, dataType)
	t = appendString(t, 8, name)
	t = appendBytes(t, 9, raw)
	g.inits = appendBytes(g.inits, 5, t)
	return name
}

func (g *graph) transpose(x value, perm ...int) value {
	dims := make([]int, len(perm))
	for i, p := range perm {
		dims[i] = x.dims[p]
	}
	return g.op("Transpose", dims, []string{x.name}, intsAttr("perm", perm...))
}

// filter is a convolution's weights in ONNX order [out, in/groups, kh, kw].
type filter struct {
	data             []float32
	out, in, kh, kw  int
	groups           int
	bias             []float32 // len out, or nil
	strideH, strideW int
	dilH, dilW       int
	same             bool // TensorFlow's SAME, else VALID
}

func (g *graph) conv(x value, f filter) value {
	if len(x.dims) != 4 {
		return g.fail("convolution of a tensor with %d dimensions", len(x.dims))
	}
	for _, v := range []int{f.strideH, f.strideW, f.dilH, f.dilW, f.kh, f.kw, f.out, f.in, f.groups} {
		if v < 1 || v > 1<<16 {
			return g.fail("convolution with a size of %d", v)
		}
	}
	if x.dims[1] != f.in*f.groups || f.out%f.groups != 0 {
		return g.fail("convolution of %d channels with a filter for %d", x.dims[1], f.in*f.groups)
	}
	if len(f.data) != f.out*f.in*f.kh*f.kw || (f.bias != nil && len(f.bias) != f.out) {
		return g.fail("convolution with %d weights for %dx%dx%dx%d", len(f.data), f.out, f.in, f.kh, f.kw)
	}
	oh, top, bottom := window(x.dims[2], f.kh, f.strideH, f.dilH, f.same)
	ow, left, right := window(x.dims[3], f.kw, f.strideW, f.dilW, f.same)
	if oh < 1 || ow < 1 {
		return g.fail("convolution %dx%d over %dx%d leaves nothing", f.kh, f.kw, x.dims[2], x.dims[3])
	}
	in := []string{x.name, g.floats(f.data, f.out, f.in, f.kh, f.kw)}
	if f.bias != nil {
		in = append(in, g.floats(f.bias, f.out))
	}
	return g.op("Conv", []int{1, f.out, oh, ow}, in,
		intsAttr("dilations", f.dilH, f.dilW),
		intAttr("group", f.groups),
		intsAttr("kernel_shape", f.kh, f.kw),
		intsAttr("pads", top, left, bottom, right),
		intsAttr("strides", f.strideH, f.strideW))
}

// pool writes MaxPool or AveragePool without padding.
func (g *graph) pool(op string, x value, k, stride int) value {
	if len(x.dims) != 4 || k < 1 || stride < 1 {
		return g.fail("%s of size %d and stride %d over %d dimensions", op, k, stride, len(x.dims))
	}
	h, _, _ := window(x.dims[2], k, stride, 1, false)
	w, _, _ := window(x.dims[3], k, stride, 1, false)
	if h < 1 || w < 1 {
		return g.fail("%s of size %d over %dx%d leaves nothing", op, k, x.dims[2], x.dims[3])
	}
	return g.op(op, []int{1, x.dims[1], h, w}, []string{x.name},
		intsAttr("kernel_shape", k, k), intsAttr("strides", stride, stride))
}

// window gives the output size of a sliding window and TensorFlow's padding
// before and after; with SAME the odd pixel goes after.
func window(size, k, stride, dilation int, same bool) (out, before, after int) {
	k = (k-1)*dilation + 1
	if !same {
		if size < k {
			return 0, 0, 0
		}
		return (size-k)/stride + 1, 0, 0
	}
	out = (size + stride - 1) / stride
	total := max((out-1)*stride+k-size, 0)
	return out, total / 2, total - total/2
}

func (g *graph) unary(op string, x value) value { return g.op(op, x.dims, []string{x.name}) }

func (g *graph) relu6(x value) value {
	return g.op("Clip", x.dims, []string{x.name, g.floats([]float32{0}), g.floats([]float32{6})})
}

// binary writes an element-wise operation of two images or vectors of one shape.
func (g *graph) binary(op string, x, y value) value {
	if !slices.Equal(x.dims, y.dims) {
		return g.fail("%s of %v and %v", op, x.dims, y.dims)
	}
	return g.op(op, x.dims, []string{x.name, y.name})
}

// perChannel writes an element-wise operation of an image and one number per channel.
func (g *graph) perChannel(op string, x value, c []float32) value {
	if len(x.dims) != 4 || len(c) != x.dims[1] {
		return g.fail("%s of %v and %d numbers", op, x.dims, len(c))
	}
	return g.op(op, x.dims, []string{x.name, g.floats(c, len(c), 1, 1)})
}

// pad appends zeros: before and after each of the four dimensions.
func (g *graph) pad(x value, before, after [4]int) value {
	if len(x.dims) != 4 {
		return g.fail("padding of a tensor with %d dimensions", len(x.dims))
	}
	dims := make([]int, 4)
	for i := range dims {
		if before[i] < 0 || after[i] < 0 || before[i]+after[i] > 1<<12 {
			return g.fail("padding of %v by %v and %v", x.dims, before, after)
		}
		dims[i] = x.dims[i] + before[i] + after[i]
	}
	pads := g.ints(before[0], before[1], before[2], before[3], after[0], after[1], after[2], after[3])
	return g.op("Pad", dims, []string{x.name, pads})
}

// flatten gives an image as [1,n], in the order of TensorFlow: row, column, channel.
func (g *graph) flatten(x value) value {
	n := 1
	for _, d := range x.dims {
		n *= d
	}
	if len(x.dims) == 4 && x.dims[2]*x.dims[3] > 1 {
		x = g.transpose(x, 0, 2, 3, 1)
	}
	return g.op("Reshape", []int{1, n}, []string{x.name, g.ints(1, n)})
}

// model gives the finished ModelProto.
func (g *graph) model() ([]byte, error) {
	if g.err != nil {
		return nil, g.err
	}
	gr := append([]byte(nil), g.nodes...)
	gr = appendString(gr, 2, g.name)
	gr = append(gr, g.inits...)
	gr = append(gr, g.inputs...)
	gr = append(gr, g.outps...)

	m := appendVarint(nil, 1, onnxIRVersion)
	m = appendString(m, 2, "kosmoscope")
	m = appendBytes(m, 7, gr)
	m = appendBytes(m, 8, appendVarint(appendString(nil, 1, ""), 2, onnxOpset))
	return m, nil
}

func valueInfo(name string, dims []int) []byte {
	var shape []byte
	for _, d := range dims {
		shape = appendBytes(shape, 1, appendVarint(nil, 1, uint64(d)))
	}
	tensor := appendVarint(nil, 1, onnxFloat)
	tensor = appendBytes(tensor, 2, shape)
	return appendBytes(appendString(nil, 1, name), 2, appendBytes(nil, 1, tensor))
}

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

func appendString(b []byte, field protowire.Number, v string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), v)
}

func appendVarint(b []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}
