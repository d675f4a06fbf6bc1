// Command train makes the weights of the character network in internal/engine/mrz.
//
//	go run ./internal/engine/mrz/train
//
// It prints OCR-B lines on paper, photographs them badly, cuts cells out of them
// with the reader's own sampler and with the errors that the reader's locator
// makes, and fits the network to them by stochastic gradient descent. The same
// flags give the same file on one kind of processor, however many cores it has. Two free
// cores need about three minutes.
package main

import (
	"flag"
	"fmt"
	"log"
	"math"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine/mrz/internal/cell"
)

// workers is the number of halves of a batch; it is part of the result.
const (
	workers = 2
	batch   = 256
)

func main() {
	log.SetFlags(0)
	out := flag.String("out", "internal/engine/mrz/weights.bin", "file to write")
	cells := flag.Int("cells", 2_400_000, "training cells")
	hidden := flag.Int("hidden", 160, "size of the hidden layer, a multiple of 8")
	rate := flag.Float64("rate", 0.04, "learning rate at the start")
	seed := flag.Uint64("seed", 9303, "seed of everything random")
	flag.Parse()
	if err := run(*out, *cells, *hidden, *rate, *seed); err != nil {
		log.Fatal("train: ", err)
	}
}

func run(out string, cells, hidden int, rate float64, seed uint64) error {
	press := newPress()
	net := initial(hidden, seed)
	t := newTrainer(net)
	for w := range t.sources {
		t.sources[w] = newSource(press, rand.New(rand.NewPCG(seed, 2+uint64(w))), min(2048, cells))
	}
	start := time.Now()
	batches := max(cells/batch, 1)
	var loss, right float64
	for b := range batches {
		l, r := t.step()
		loss += l
		right += r
		progress := float64(b) / float64(batches)
		lr := rate * min(1, float64(b+1)/200) * (0.5 + 0.5*math.Cos(math.Pi*progress))
		t.descend(float32(lr/batch), 0.9)
		if (b+1)%250 == 0 {
			log.Printf("%3.0f%%  loss %.4f  right %.2f%%  %v", 100*progress, loss/250/batch, 100*right/250/batch, time.Since(start).Round(time.Second))
			loss, right = 0, 0
		}
	}
	data := net.Encode()
	rounded, err := cell.Decode(data)
	if err != nil {
		return err
	}
	log.Printf("held-out cells: %s", evaluate(press, rounded, seed, min(20_000, cells)))
	if err := os.WriteFile(out, data, 0o644); err != nil {
		return err
	}
	log.Printf("%s: %d bytes", out, len(data))
	return nil
}

// initial draws He's weights.
func initial(hidden int, seed uint64) *cell.Net {
	r := rand.New(rand.NewPCG(seed, 1))
	n := cell.NewNet(hidden)
	for i := range n.W1 {
		n.W1[i] = float32(r.NormFloat64() * math.Sqrt(2.0/cell.Size))
	}
	for i := range n.W2 {
		n.W2[i] = float32(r.NormFloat64() * math.Sqrt(2.0/float64(hidden)))
	}
	return n
}

// trainer holds the gradients of each worker and the momentum.
type trainer struct {
	net      *cell.Net
	sources  [workers]*source
	grads    [workers]*cell.Net
	velocity *cell.Net
}

func newTrainer(net *cell.Net) *trainer {
	t := &trainer{net: net, velocity: cell.NewNet(net.Hidden)}
	for i := range t.grads {
		t.grads[i] = cell.NewNet(net.Hidden)
	}
	return t
}

// step computes the gradients of one batch, and returns the summed loss and the number of right answers.
func (t *trainer) step() (loss, right float64) {
	var wg sync.WaitGroup
	var losses, rights [workers]float64
	for w := range workers {
		wg.Go(func() {
			g := t.grads[w]
			for _, s := range [][]float32{g.W1, g.B1, g.W2, g.B2} {
				clear(s)
			}
			h, dh, probs := make([]float32, t.net.Hidden), make([]float32, t.net.Hidden), make([]float32, cell.Classes)
			for range batch / workers {
				l, ok := backward(t.net, g, t.sources[w].next(), h, dh, probs)
				losses[w] += l
				if ok {
					rights[w]++
				}
			}
		})
	}
	wg.Wait()
	for w := range workers { // in this order, so that the sum is always the same
		loss += losses[w]
		right += rights[w]
	}
	return loss, right
}

// backward adds the gradient of one example to g.
func backward(n, g *cell.Net, e example, h, dh, probs []float32) (loss float64, right bool) {
	n.Forward(e.patch, h, probs)
	best := 0
	for c, v := range probs {
		if v > probs[best] {
			best = c
		}
	}
	loss = -math.Log(max(float64(probs[e.class]), 1e-9))
	clear(dh)
	for c := range cell.Classes {
		d := probs[c]
		if c == e.class {
			d--
		}
		if d > -1e-4 && d < 1e-4 {
			continue
		}
		g.B2[c] += d
		axpy(d, h, g.W2[c*n.Hidden:(c+1)*n.Hidden])
		axpy(d, n.W2[c*n.Hidden:(c+1)*n.Hidden], dh)
	}
	for i, d := range dh {
		if h[i] > 0 && d != 0 {
			g.B1[i] += d
			axpy(d, e.patch, g.W1[i*cell.Size:(i+1)*cell.Size])
		}
	}
	return loss, best == e.class
}

// axpy is y += a*x.
func axpy(a float32, x, y []float32) {
	y = y[:len(x)]
	for i := 0; i+4 <= len(x); i += 4 {
		p, q := x[i:i+4:i+4], y[i:i+4:i+4]
		q[0] += a * p[0]
		q[1] += a * p[1]
		q[2] += a * p[2]
		q[3] += a * p[3]
	}
}

func (t *trainer) descend(rate, momentum float32) {
	update := func(w, v []float32, grads ...[]float32) {
		for i := range w {
			var g float32
			for _, s := range grads {
				g += s[i]
			}
			v[i] = momentum*v[i] - rate*g
			w[i] += v[i]
		}
	}
	a, b := t.grads[0], t.grads[1]
	update(t.net.W1, t.velocity.W1, a.W1, b.W1)
	update(t.net.B1, t.velocity.B1, a.B1, b.B1)
	update(t.net.W2, t.velocity.W2, a.W2, b.W2)
	update(t.net.B2, t.velocity.B2, a.B2, b.B2)
}

// evaluate reads cells that were not trained on.
func evaluate(p *press, n *cell.Net, seed uint64, cells int) string {
	src := newSource(p, rand.New(rand.NewPCG(^seed, 2)), 1)
	h, probs := make([]float32, n.Hidden), make([]float32, cell.Classes)
	var total, right, blanks, blankRight int
	for range cells {
		e := src.next()
		n.Forward(e.patch, h, probs)
		best := 0
		for c, v := range probs {
			if v > probs[best] {
				best = c
			}
		}
		if e.class == cell.Blank {
			blanks++
			if best == e.class {
				blankRight++
			}
			continue
		}
		total++
		if best == e.class {
			right++
		}
	}
	return fmt.Sprintf("%d of %d characters right (%.3f%%), %d of %d blanks (%.3f%%)",
		right, total, 100*float64(right)/float64(max(total, 1)), blankRight, blanks, 100*float64(blankRight)/float64(max(blanks, 1)))
}
