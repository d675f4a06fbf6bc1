package cell

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Alphabet are the characters of a zone; class i is Alphabet[i].
const Alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ<"

// Blank is the class of a patch that shows no character of the zone in its
// place: paper, the end of a line, half a character, a character upside down.
const Blank = len(Alphabet)

// Classes is the length of the network's answer.
const Classes = len(Alphabet) + 1

// Net is a perceptron with one hidden layer: Size -> Hidden, rectified -> Classes, softmax.
// Weights are stored a row per output.
type Net struct {
	Hidden int
	W1, B1 []float32
	W2, B2 []float32
}

// NewNet has all weights zero.
func NewNet(hidden int) *Net {
	return &Net{Hidden: hidden,
		W1: make([]float32, hidden*Size), B1: make([]float32, hidden),
		W2: make([]float32, Classes*hidden), B2: make([]float32, Classes)}
}

// Forward computes the class probabilities of the patch x into out, Classes
// long; hidden, Hidden long, receives the hidden layer.
func (n *Net) Forward(x, hidden, out []float32) {
	for h := range n.Hidden {
		hidden[h] = max(n.B1[h]+Dot(n.W1[h*Size:(h+1)*Size], x), 0)
	}
	top := float32(math.Inf(-1))
	for c := range Classes {
		out[c] = n.B2[c] + Dot(n.W2[c*n.Hidden:(c+1)*n.Hidden], hidden)
		top = max(top, out[c])
	}
	var sum float32
	for c, v := range out[:Classes] {
		e := float32(math.Exp(float64(v - top)))
		out[c] = e
		sum += e
	}
	for c := range out[:Classes] {
		out[c] /= sum
	}
}

// Dot is the scalar product of a with the first len(a) elements of b; len(a) must be a multiple of 8.
func Dot(a, b []float32) float32 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float32
	for i := 0; i+8 <= len(a); i += 8 {
		p, q := a[i:i+8:i+8], b[i:i+8:i+8]
		s0 += p[0]*q[0] + p[4]*q[4]
		s1 += p[1]*q[1] + p[5]*q[5]
		s2 += p[2]*q[2] + p[6]*q[6]
		s3 += p[3]*q[3] + p[7]*q[7]
	}
	return s0 + s1 + s2 + s3
}

// The file format: magic, hidden size (uint16), then for each layer its biases
// (float32), a scale per row (float32), and the weights as int8 in units of
// their row's scale. Little endian.
const magic = "MRZ1"

// Encode rounds the weights to eight bits. Decode(Encode(n)) differs from n by at most half
// a step in each weight; encoding that again changes nothing.
func (n *Net) Encode() []byte {
	out := append([]byte(magic), 0, 0)
	binary.LittleEndian.PutUint16(out[4:], uint16(n.Hidden))
	layer := func(w, b []float32, in int) {
		for _, v := range b {
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
		}
		rows := make([]int8, len(w))
		for r := range b {
			var top float32
			for _, v := range w[r*in : (r+1)*in] {
				top = max(top, v, -v)
			}
			scale := top / 127
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(scale))
			for i, v := range w[r*in : (r+1)*in] {
				if scale > 0 {
					rows[r*in+i] = int8(math.Round(float64(v / scale)))
				}
			}
		}
		for _, v := range rows {
			out = append(out, byte(v))
		}
	}
	layer(n.W1, n.B1, Size)
	layer(n.W2, n.B2, n.Hidden)
	return out
}

// Decode reads what Encode wrote.
func Decode(data []byte) (*Net, error) {
	if len(data) < 6 || string(data[:4]) != magic {
		return nil, errors.New("cell: not a weights file")
	}
	hidden := int(binary.LittleEndian.Uint16(data[4:]))
	if hidden == 0 || hidden%8 != 0 || hidden > 1024 {
		return nil, fmt.Errorf("cell: weights file with a hidden layer of %d", hidden)
	}
	if want := 6 + 8*hidden + hidden*Size + 8*Classes + Classes*hidden; len(data) != want {
		return nil, fmt.Errorf("cell: weights file of %d bytes, want %d", len(data), want)
	}
	n := NewNet(hidden)
	data = data[6:]
	float := func() float32 {
		v := math.Float32frombits(binary.LittleEndian.Uint32(data))
		data = data[4:]
		return v
	}
	layer := func(w, b []float32, in int) {
		for i := range b {
			b[i] = float()
		}
		scales := make([]float32, len(b))
		for i := range scales {
			scales[i] = float()
		}
		for i := range w {
			w[i] = float32(int8(data[i])) * scales[i/in]
		}
		data = data[len(w):]
	}
	layer(n.W1, n.B1, Size)
	layer(n.W2, n.B2, hidden)
	return n, nil
}
