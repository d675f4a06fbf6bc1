package models

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// maxElements bounds one tensor; the largest we know has 589,824 numbers.
const maxElements = 1 << 24

// tensor is a constant in TensorFlow's order (filters are [kh, kw, in, out]).
// One of f and i is set.
type tensor struct {
	dims []int
	f    []float32
	i    []int32
}

// tfjsGroup is one entry of a TensorFlow.js weight manifest.
type tfjsGroup struct {
	Weights []struct {
		Name         string `json:"name"`
		Shape        []int  `json:"shape"`
		DType        string `json:"dtype"`
		Quantization *struct {
			DType string  `json:"dtype"`
			Scale float64 `json:"scale"`
			Min   float64 `json:"min"`
		} `json:"quantization"`
	} `json:"weights"`
}

// readTFJSWeights cuts the concatenated weight file into its tensors. Stored
// types are float32, int32, and float32 quantised to float16, uint8 or uint16.
func readTFJSWeights(groups []tfjsGroup, bin []byte) (map[string]tensor, error) {
	out := map[string]tensor{}
	for _, g := range groups {
		for _, w := range g.Weights {
			n, err := elements(w.Shape)
			if err != nil {
				return nil, fmt.Errorf("weight %q: %w", w.Name, err)
			}
			stored := w.DType
			if w.Quantization != nil {
				if w.DType != "float32" {
					return nil, fmt.Errorf("weight %q: quantised %s", w.Name, w.DType)
				}
				stored = w.Quantization.DType
			}
			size := map[string]int{"float32": 4, "int32": 4, "float16": 2, "uint16": 2, "uint8": 1}[stored]
			if size == 0 {
				return nil, fmt.Errorf("weight %q: unknown type %q", w.Name, stored)
			}
			if (stored == "uint8" || stored == "uint16") && w.Quantization == nil {
				return nil, fmt.Errorf("weight %q: %s without a scale", w.Name, stored)
			}
			if n*size > len(bin) {
				return nil, fmt.Errorf("weight %q: file ends early", w.Name)
			}
			raw := bin[:n*size]
			bin = bin[n*size:]
			t := tensor{dims: w.Shape}
			if stored == "int32" {
				t.i = make([]int32, n)
				for k := range t.i {
					t.i[k] = int32(binary.LittleEndian.Uint32(raw[4*k:]))
				}
			} else {
				t.f = make([]float32, n)
			}
			for k := range t.f {
				switch stored {
				case "float32":
					t.f[k] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*k:]))
				case "float16":
					t.f[k] = halfToFloat(binary.LittleEndian.Uint16(raw[2*k:]))
				case "uint16":
					t.f[k] = dequantise(float64(binary.LittleEndian.Uint16(raw[2*k:])), w.Quantization.Scale, w.Quantization.Min)
				case "uint8":
					t.f[k] = dequantise(float64(raw[k]), w.Quantization.Scale, w.Quantization.Min)
				}
			}
			if _, dup := out[w.Name]; dup {
				return nil, fmt.Errorf("weight %q: twice in the manifest", w.Name)
			}
			out[w.Name] = t
		}
	}
	if len(bin) != 0 {
		return nil, fmt.Errorf("%d bytes after the last weight", len(bin))
	}
	return out, nil
}

// dequantise rounds the product by itself: a fused multiply-add, which some
// processors have and some do not, would give other bytes.
func dequantise(v, scale, low float64) float32 {
	p := float64(v * scale)
	return float32(p + low)
}

func halfToFloat(h uint16) float32 {
	sign, exp, frac := uint32(h>>15)<<31, int(h>>10&31), uint32(h&1023)
	switch {
	case exp == 31: // infinity, not a number
		return math.Float32frombits(sign | 0xff<<23 | frac<<13)
	case exp != 0:
		return math.Float32frombits(sign | uint32(exp-15+127)<<23 | frac<<13)
	}
	v := float32(frac) / (1 << 24) // subnormal or zero, exact
	return math.Float32frombits(sign | math.Float32bits(v))
}

func elements(shape []int) (int, error) {
	n := 1
	for _, d := range shape {
		if d < 0 || d > maxElements {
			return 0, fmt.Errorf("size %d", d)
		}
		if n *= d; n > maxElements {
			return 0, errors.New("too many numbers")
		}
	}
	return n, nil
}

// tfjsModel is a TensorFlow.js graph model: the TensorFlow GraphDef as JSON.
type tfjsModel struct {
	ModelTopology struct {
		Node []tfjsNode `json:"node"`
	} `json:"modelTopology"`
	WeightsManifest []tfjsGroup `json:"weightsManifest"`
}

type tfjsNode struct {
	Name  string              `json:"name"`
	Op    string              `json:"op"`
	Input []string            `json:"input"`
	Attr  map[string]tfjsAttr `json:"attr"`
}

// tfjsAttr is an AttrValue; integers are JSON strings, strings are base64.
type tfjsAttr struct {
	S     []byte `json:"s"`
	Shape struct {
		Dim []struct {
			Size jsonInt `json:"size"`
		} `json:"dim"`
	} `json:"shape"`
	List struct {
		S [][]byte  `json:"s"`
		I []jsonInt `json:"i"`
	} `json:"list"`
}

type jsonInt int

func (v *jsonInt) UnmarshalJSON(b []byte) error {
	i, err := strconv.ParseInt(strings.Trim(string(b), `"`), 10, 32)
	if err != nil {
		return errors.New("not an integer")
	}
	*v = jsonInt(i)
	return nil
}

// convertTFJS writes a TensorFlow.js graph model with one square image as
// input as ONNX. outputs maps node names to the names they get; everything
// that they do not need is left out.
func convertTFJS(name string, topology, bin []byte, outputs [][2]string) ([]byte, error) {
	var m tfjsModel
	if err := json.Unmarshal(topology, &m); err != nil {
		return nil, fmt.Errorf("topology: %w", err)
	}
	weights, err := readTFJSWeights(m.WeightsManifest, bin)
	if err != nil {
		return nil, err
	}
	c := tfjsConverter{g: &graph{name: name}, weights: weights, nodes: map[string]tfjsNode{}, done: map[string]value{}, open: map[string]bool{}}
	for _, n := range m.ModelTopology.Node {
		if _, dup := c.nodes[n.Name]; dup {
			return nil, fmt.Errorf("node %q: twice in the graph", n.Name)
		}
		c.nodes[n.Name] = n
	}
	for _, o := range outputs {
		v, err := c.value(o[0], 0)
		if err != nil {
			return nil, err
		}
		c.g.output(v, o[1])
	}
	return c.g.model()
}

type tfjsConverter struct {
	g       *graph
	weights map[string]tensor
	nodes   map[string]tfjsNode
	done    map[string]value
	open    map[string]bool // being converted: to see loops
}

// value converts the node and, before it, all that it needs.
func (c *tfjsConverter) value(name string, depth int) (value, error) {
	name = strings.TrimSuffix(name, ":0")
	if v, ok := c.done[name]; ok {
		return v, nil
	}
	n, ok := c.nodes[name]
	if !ok {
		return value{}, fmt.Errorf("node %q is missing", name)
	}
	if c.open[name] || depth > 10000 {
		return value{}, fmt.Errorf("node %q is in a loop", name)
	}
	c.open[name] = true
	defer delete(c.open, name)
	v, err := c.convert(n, depth+1)
	if err == nil {
		err = c.g.err
	}
	if err != nil {
		return value{}, fmt.Errorf("%s %q: %w", n.Op, name, err)
	}
	c.done[name] = v
	return v, nil
}

func (c *tfjsConverter) convert(n tfjsNode, depth int) (value, error) {
	need := map[string]int{"Placeholder": 0, "AddV2": 2, "Prelu": 2, "MaxPool": 1, "Pad": 2, "Reshape": 2, "Identity": 1, "Sigmoid": 1, "_FusedConv2D": 2, "DepthwiseConv2dNative": 2}
	k, known := need[n.Op]
	switch {
	case !known:
		return value{}, errors.New("operation not known")
	case len(n.Input) < k:
		return value{}, errors.New("inputs are missing")
	}
	if n.Op == "Placeholder" {
		return c.placeholder(n)
	}
	x, err := c.value(n.Input[0], depth)
	if err != nil {
		return value{}, err
	}
	g := c.g
	switch n.Op {
	case "Identity":
		return x, nil
	case "Sigmoid":
		return g.unary("Sigmoid", x), nil
	case "AddV2":
		y, err := c.value(n.Input[1], depth)
		if err != nil {
			return value{}, err
		}
		return g.binary("Add", x, y), nil
	case "Prelu":
		return c.prelu(x, n.Input[1])
	case "MaxPool":
		k, err1 := n.pair("ksize")
		s, err2 := n.pair("strides")
		if err := errors.Join(err1, err2); err != nil {
			return value{}, err
		}
		if string(n.Attr["padding"].S) != "VALID" || k[0] != k[1] || s[0] != s[1] {
			return value{}, errors.New("only square windows without padding are known")
		}
		return g.pool("MaxPool", x, k[0], s[0]), nil
	case "Pad":
		p, ok := c.weights[n.Input[1]]
		if !ok || !slices.Equal(p.dims, []int{4, 2}) || p.i == nil {
			return value{}, errors.New("padding is not a constant of 4x2")
		}
		var before, after [4]int
		for onnx, tf := range []int{0, 3, 1, 2} {
			before[onnx], after[onnx] = int(p.i[2*tf]), int(p.i[2*tf+1])
		}
		return g.pad(x, before, after), nil
	case "Reshape":
		s, ok := c.weights[n.Input[1]]
		if !ok || len(s.i) != 2 {
			return value{}, errors.New("only reshaping to two dimensions is known")
		}
		return g.flatten(x), nil
	default:
		return c.conv(n, x)
	}
}

func (c *tfjsConverter) placeholder(n tfjsNode) (value, error) {
	dims := n.Attr["shape"].Shape.Dim
	if len(dims) != 4 || dims[3].Size != 3 || len(c.done) != 0 {
		return value{}, errors.New("the input is not one RGB image")
	}
	h, w := int(dims[1].Size), int(dims[2].Size)
	if h < 1 || w < 1 || h > 4096 || w > 4096 {
		return value{}, fmt.Errorf("the input is %dx%d", w, h)
	}
	return c.g.image(h, w), nil
}

func (c *tfjsConverter) prelu(x value, weight string) (value, error) {
	a, ok := c.weights[strings.TrimSuffix(weight, ":0")]
	if !ok || a.f == nil {
		return value{}, errors.New("slope is not a constant")
	}
	return c.g.perChannel("PRelu", x, a.f), nil
}

// conv converts _FusedConv2D (bias, then PReLU, ReLU or ReLU6) and DepthwiseConv2dNative.
func (c *tfjsConverter) conv(n tfjsNode, x value) (value, error) {
	w, ok := c.weights[n.Input[1]]
	if !ok || w.f == nil || len(w.dims) != 4 {
		return value{}, errors.New("filter is not a constant of four dimensions")
	}
	stride, err1 := n.pair("strides")
	dil, err2 := n.pair("dilations")
	if err := errors.Join(err1, err2); err != nil {
		return value{}, err
	}
	if string(n.Attr["data_format"].S) != "NHWC" {
		return value{}, errors.New("only NHWC is known")
	}
	f := filter{kh: w.dims[0], kw: w.dims[1], in: w.dims[2], out: w.dims[3], groups: 1,
		strideH: stride[0], strideW: stride[1], dilH: dil[0], dilW: dil[1]}
	switch p := string(n.Attr["padding"].S); p {
	case "SAME":
		f.same = true
	case "VALID":
	default:
		return value{}, fmt.Errorf("padding %q is not known", p)
	}
	if n.Op == "DepthwiseConv2dNative" {
		// [kh, kw, channels, multiplier]: output channel c*multiplier+m is our filter's order already.
		f.groups, f.in, f.out = w.dims[2], 1, w.dims[2]*w.dims[3]
		f.data = reorder(w.f, f.out, 1, f.kh*f.kw, func(o, _, k int) int { return k*f.out + o })
		return c.g.conv(x, f), nil
	}
	f.data = reorder(w.f, f.out, f.in, f.kh*f.kw, func(o, i, k int) int { return (k*f.in+i)*f.out + o })
	fused := n.Attr["fused_ops"].List.S
	if len(fused) == 0 || string(fused[0]) != "BiasAdd" || len(fused) > 2 || len(n.Input) < len(fused)+1 {
		return value{}, errors.New("fused operations are not known")
	}
	b, ok := c.weights[n.Input[2]]
	if !ok || b.f == nil {
		return value{}, errors.New("bias is not a constant")
	}
	f.bias = b.f
	y := c.g.conv(x, f)
	if len(fused) == 1 {
		return y, nil
	}
	switch string(fused[1]) {
	case "Relu":
		return c.g.unary("Relu", y), nil
	case "Relu6":
		return c.g.relu6(y), nil
	case "Prelu":
		if len(n.Input) < 4 {
			return value{}, errors.New("slope is missing")
		}
		return c.prelu(y, n.Input[3])
	}
	return value{}, fmt.Errorf("fused %q is not known", fused[1])
}

// pair gives height and width of a list of four in NHWC order.
func (n tfjsNode) pair(name string) ([2]int, error) {
	l := n.Attr[name].List.I
	if len(l) != 4 || l[0] != 1 || l[3] != 1 {
		return [2]int{}, fmt.Errorf("%s is not known", name)
	}
	return [2]int{int(l[1]), int(l[2])}, nil
}

// reorder copies a filter into [out, in, k]; from gives the old index.
func reorder(data []float32, out, in, k int, from func(o, i, k int) int) []float32 {
	if len(data) != out*in*k {
		return nil // graph.conv says what is wrong
	}
	r := make([]float32, 0, len(data))
	for o := range out {
		for i := range in {
			for p := range k {
				r = append(r, data[from(o, i, p)])
			}
		}
	}
	return r
}
