package models

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// A TFLite file is a FlatBuffer (schema: tensorflow/compiler/mlir/lite/schema/schema.fbs).
// flat reads it without generated code. Every access is checked against the
// length; the first one that fails sets err and the rest give zeros.
type flat struct {
	b   []byte
	err error
}

func (f *flat) bad(what string) {
	if f.err == nil {
		f.err = fmt.Errorf("%s lies outside the file", what)
	}
}

func (f *flat) u32(at int) int {
	if at < 0 || at+4 > len(f.b) {
		f.bad("a number")
		return 0
	}
	return int(binary.LittleEndian.Uint32(f.b[at:]))
}

func (f *flat) i32(at int) int { return int(int32(f.u32(at))) }

// field gives the position of a table's field, or 0 when it has its default.
func (f *flat) field(table, n int) int {
	vt := table - f.i32(table)
	if vt < 0 || vt+4 > len(f.b) {
		f.bad("a table")
		return 0
	}
	size := int(binary.LittleEndian.Uint16(f.b[vt:]))
	at := 4 + 2*n
	if at+2 > size {
		return 0
	}
	if vt+at+2 > len(f.b) {
		f.bad("a table")
		return 0
	}
	off := int(binary.LittleEndian.Uint16(f.b[vt+at:]))
	if off == 0 {
		return 0
	}
	return table + off
}

func (f *flat) byteField(table, n, def int) int {
	at := f.field(table, n)
	if at == 0 {
		return def
	}
	if at < 0 || at >= len(f.b) {
		f.bad("a field")
		return 0
	}
	return int(f.b[at])
}

func (f *flat) intField(table, n, def int) int {
	at := f.field(table, n)
	if at == 0 {
		return def
	}
	return f.i32(at)
}

// table follows the offset in a field to a table, or gives 0.
func (f *flat) table(table, n int) int {
	at := f.field(table, n)
	if at == 0 {
		return 0
	}
	return at + f.u32(at)
}

// vector gives the start and length of a field's vector of elements of the given size.
func (f *flat) vector(table, n, size int) (start, count int) {
	at := f.field(table, n)
	if at == 0 {
		return 0, 0
	}
	v := at + f.u32(at)
	count = f.u32(v)
	if f.err != nil || count > (len(f.b)-v-4)/size {
		f.bad("a list")
		return 0, 0
	}
	return v + 4, count
}

func (f *flat) tables(table, n int) []int {
	start, count := f.vector(table, n, 4)
	out := make([]int, count)
	for i := range out {
		at := start + 4*i
		out[i] = at + f.u32(at)
	}
	return out
}

func (f *flat) intsOf(table, n int) []int {
	start, count := f.vector(table, n, 4)
	out := make([]int, count)
	for i := range out {
		out[i] = f.i32(start + 4*i)
	}
	return out
}

func (f *flat) bytesOf(table, n int) []byte {
	start, count := f.vector(table, n, 1)
	return f.b[start : start+count]
}

// TFLite's numbers for the operations and types that MobileFaceNet has.
const (
	tfliteAdd, tfliteConv, tfliteDepthwise, tfliteMul     = 0, 3, 4, 18
	tfliteRelu, tfliteReshape, tfliteSub, tfliteAbs       = 19, 22, 41, 101
	tfliteFloat32                                         = 0
	tfliteActNone, tfliteActRelu, _, tfliteActRelu6   int = 0, 1, 2, 3
)

type tfliteConverter struct {
	flat
	g       *graph
	tensors []int // tables
	buffers []int
	values  map[int]value
}

// convertTFLite writes a TFLite model with one RGB image as input and one
// output as ONNX, for a batch of one whatever batch the file declares.
func convertTFLite(name string, file []byte, output string) ([]byte, error) {
	c := tfliteConverter{flat: flat{b: file}, g: &graph{name: name}, values: map[int]value{}}
	if len(file) < 8 || string(file[4:8]) != "TFL3" {
		return nil, errors.New("not a TFLite file")
	}
	root := c.u32(0)
	c.buffers = c.flat.tables(root, 4)
	subgraphs := c.flat.tables(root, 2)
	if c.err != nil {
		return nil, c.err
	}
	if len(subgraphs) != 1 {
		return nil, fmt.Errorf("%d graphs, want one", len(subgraphs))
	}
	sub := subgraphs[0]
	c.tensors = c.flat.tables(sub, 0)
	ins, outs := c.intsOf(sub, 1), c.intsOf(sub, 2)
	if c.err != nil || len(ins) != 1 || len(outs) != 1 {
		return nil, errors.Join(c.err, fmt.Errorf("%d inputs and %d outputs, want one each", len(ins), len(outs)))
	}
	dims, err := c.dims(ins[0])
	if err != nil || len(dims) != 4 || dims[3] != 3 || dims[1] < 1 || dims[2] < 1 {
		return nil, fmt.Errorf("the input is not an RGB image: %v, %w", dims, err)
	}
	c.values[ins[0]] = c.g.image(dims[1], dims[2])

	codes := c.flat.tables(root, 1)
	for i, op := range c.flat.tables(sub, 3) {
		k := c.intField(op, 0, 0)
		if c.err != nil || k < 0 || k >= len(codes) {
			return nil, errors.Join(c.err, fmt.Errorf("operation %d has no code", i))
		}
		// Files before schema 3a have the code in the first field, a byte.
		code := max(c.byteField(codes[k], 0, 0), c.intField(codes[k], 3, 0))
		err := c.op(code, op)
		if err = errors.Join(c.err, err, c.g.err); err != nil {
			return nil, fmt.Errorf("operation %d (code %d): %w", i, code, err)
		}
	}
	v, ok := c.values[outs[0]]
	if !ok || c.err != nil {
		return nil, errors.Join(c.err, errors.New("nothing makes the output"))
	}
	c.g.output(v, output)
	return c.g.model()
}

func (c *tfliteConverter) dims(t int) ([]int, error) {
	if t < 0 || t >= len(c.tensors) {
		return nil, fmt.Errorf("no tensor %d", t)
	}
	d := c.intsOf(c.tensors[t], 0)
	if _, err := elements(d); err != nil {
		return nil, err
	}
	return d, c.err
}

// constant gives a float32 tensor that the file holds, or nil when it holds none.
func (c *tfliteConverter) constant(t int) (tensor, error) {
	dims, err := c.dims(t)
	if err != nil {
		return tensor{}, err
	}
	b := c.intField(c.tensors[t], 2, 0)
	if b < 0 || b >= len(c.buffers) {
		return tensor{}, errors.New("no such buffer")
	}
	raw := c.bytesOf(c.buffers[b], 0)
	if len(raw) == 0 {
		return tensor{}, c.err
	}
	if c.byteField(c.tensors[t], 1, tfliteFloat32) != tfliteFloat32 {
		return tensor{}, errors.New("constant is not float32")
	}
	n, _ := elements(dims)
	if len(raw) != 4*n {
		return tensor{}, fmt.Errorf("%d bytes for %d numbers", len(raw), n)
	}
	f := make([]float32, n)
	for i := range f {
		f[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return tensor{dims: dims, f: f}, c.err
}

func (c *tfliteConverter) op(code, op int) error {
	ins, outs := c.intsOf(op, 1), c.intsOf(op, 2)
	if c.err != nil || len(ins) == 0 || len(outs) != 1 {
		return errors.Join(c.err, fmt.Errorf("%d inputs, %d outputs", len(ins), len(outs)))
	}
	if _, dup := c.values[outs[0]]; dup {
		return errors.New("output is made twice")
	}
	options := c.table(op, 4)
	x, have := c.values[ins[0]]
	var y value
	var act int
	var err error
	switch code {
	case tfliteRelu, tfliteAbs, tfliteReshape:
		if !have {
			return errors.New("input is not made yet")
		}
		switch code {
		case tfliteRelu:
			y = c.g.unary("Relu", x)
		case tfliteAbs:
			y = c.g.unary("Abs", x)
		default:
			var d []int
			if d, err = c.dims(outs[0]); err == nil && len(d) != 2 {
				err = errors.New("only reshaping to two dimensions is known")
			}
			y = c.g.flatten(x)
		}
	case tfliteAdd, tfliteMul, tfliteSub:
		if options != 0 {
			act = c.byteField(options, 0, tfliteActNone)
		}
		name := map[int]string{tfliteAdd: "Add", tfliteMul: "Mul", tfliteSub: "Sub"}[code]
		y, err = c.elementwise(name, ins, code != tfliteSub)
	case tfliteConv, tfliteDepthwise:
		if !have || options == 0 {
			return errors.New("input or options are missing")
		}
		y, act, err = c.conv(x, ins, options, code == tfliteDepthwise)
	default:
		return errors.New("operation not known")
	}
	if err != nil {
		return err
	}
	switch act {
	case tfliteActNone:
	case tfliteActRelu:
		y = c.g.unary("Relu", y)
	case tfliteActRelu6:
		y = c.g.relu6(y)
	default:
		return fmt.Errorf("activation %d is not known", act)
	}
	c.values[outs[0]] = y
	return nil
}

func (c *tfliteConverter) elementwise(op string, ins []int, commutes bool) (value, error) {
	if len(ins) != 2 {
		return value{}, fmt.Errorf("%d inputs", len(ins))
	}
	x, okX := c.values[ins[0]]
	y, okY := c.values[ins[1]]
	switch {
	case okX && okY:
		return c.g.binary(op, x, y), nil
	case okY && commutes:
		x, ins = y, []int{ins[1], ins[0]}
	case !okX:
		return value{}, errors.New("input is not made yet")
	}
	k, err := c.constant(ins[1])
	if err != nil {
		return value{}, err
	}
	if len(k.dims) != 1 {
		return value{}, errors.New("constant is not one number per channel")
	}
	return c.g.perChannel(op, x, k.f), nil
}

func (c *tfliteConverter) conv(x value, ins []int, options int, depthwise bool) (value, int, error) {
	if len(ins) != 3 {
		return value{}, 0, fmt.Errorf("%d inputs", len(ins))
	}
	w, err1 := c.constant(ins[1])
	b, err2 := c.constant(ins[2])
	if err := errors.Join(err1, err2); err != nil {
		return value{}, 0, err
	}
	if len(w.dims) != 4 {
		return value{}, 0, errors.New("filter is not a constant of four dimensions")
	}
	f := filter{kh: w.dims[1], kw: w.dims[2], out: w.dims[0], in: w.dims[3], groups: 1, bias: b.f,
		same:    c.byteField(options, 0, 0) == 0,
		strideW: c.intField(options, 1, 0), strideH: c.intField(options, 2, 0)}
	act := 3 // index of the fused activation among the options
	if depthwise {
		act = 4
		if len(x.dims) != 4 || w.dims[0] != 1 {
			return value{}, 0, errors.New("depthwise filter is not known")
		}
		// [1, kh, kw, channels*multiplier]
		f.groups, f.in, f.out = x.dims[1], 1, w.dims[3]
		f.data = reorder(w.f, f.out, 1, f.kh*f.kw, func(o, _, k int) int { return k*f.out + o })
	} else {
		f.data = reorder(w.f, f.out, f.in, f.kh*f.kw, func(o, i, k int) int { return (o*f.kh*f.kw+k)*f.in + i })
	}
	f.dilW, f.dilH = c.intField(options, act+1, 1), c.intField(options, act+2, 1)
	if b.f == nil {
		return value{}, 0, errors.New("bias is not a constant")
	}
	return c.g.conv(x, f), c.byteField(options, act, tfliteActNone), c.err
}
