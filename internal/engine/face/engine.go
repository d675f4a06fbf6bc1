package face

import (
	"errors"
	"fmt"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/engine/onnx"
)

// ErrUnavailable is what Open returns where networks cannot run: no cgo, no
// library, no models. It is [onnx.ErrUnavailable].
var ErrUnavailable = onnx.ErrUnavailable

// Names of the models in the cache.
const (
	ModelDetector  = "blazeface-back"
	ModelMesh      = "facemesh"
	ModelEmbedding = "dlib-resnet"
	ModelSecond    = "mobilefacenet"
)

// Model sets, by licence (reference/idv-engine.md sections 1 and 10, R1).
const (
	SetFull         = "full"         // both embeddings
	SetUnencumbered = "unencumbered" // without MobileFaceNet, whose training data is disputed
)

// Cache is where the models are: package models implements it.
type Cache interface {
	// Model gives the checked ONNX file of a model and what is known about it.
	Model(name string) (path string, info api.Model, err error)
	// Library is the path of the ONNX Runtime shared library.
	Library() string
}

// Engine finds, aligns and describes faces. It is safe for concurrent use; each
// call computes on the caller's goroutine alone.
type Engine struct {
	detector, mesh, dlib *network
	second               *network // nil in the unencumbered set
	models               []api.Model
	made                 origin // of the templates
}

// Open loads the networks of a set. It fails with an error that is
// [ErrUnavailable] where they cannot be run, and never opens with fewer models
// than the set names.
func Open(cache Cache, set string) (*Engine, error) {
	if set != SetFull && set != SetUnencumbered {
		return nil, fmt.Errorf("face: unknown model set %q (want %q or %q)", set, SetFull, SetUnencumbered)
	}
	if !onnx.Available {
		return nil, fmt.Errorf("face: built without cgo: %w", ErrUnavailable)
	}
	if cache == nil {
		return nil, fmt.Errorf("face: no model cache: %w", ErrUnavailable)
	}
	e := &Engine{}
	load := func(into **network, name string, size, outputs int) error {
		path, info, err := cache.Model(name)
		if err != nil {
			return fmt.Errorf("face: model %s: %w (%w)", name, ErrUnavailable, err)
		}
		session, err := onnx.Open(cache.Library(), path)
		if err != nil {
			return fmt.Errorf("face: model %s: %w", name, err)
		}
		n, err := newNetwork(session, size, outputs)
		if err != nil {
			session.Close()
			return fmt.Errorf("face: model %s: %w", name, err)
		}
		*into = n
		e.models = append(e.models, info)
		return nil
	}
	err := load(&e.detector, ModelDetector, blazeSize, 4)
	if err == nil {
		err = load(&e.mesh, ModelMesh, meshSize, 0)
	}
	if err == nil {
		err = load(&e.dlib, ModelEmbedding, dlibSize, 1)
	}
	if err == nil && set == SetFull {
		err = load(&e.second, ModelSecond, mobileSize, 1)
	}
	if err != nil {
		e.Close()
		return nil, err
	}
	e.made = originOf(e.models)
	return e, nil
}

// Models lists the networks that are loaded, in the order in which they are used.
func (e *Engine) Models() []api.Model { return append([]api.Model(nil), e.models...) }

// Close frees the networks, after the calls that are running.
func (e *Engine) Close() error {
	var errs []error
	for _, n := range []*network{e.detector, e.mesh, e.dlib, e.second} {
		if n != nil {
			errs = append(errs, n.session.Close())
		}
	}
	return errors.Join(errs...)
}

// ErrNaN says that a network answered with a value that is no number. Nothing is
// known about the picture then, not even that it shows nobody.
var ErrNaN = errors.New("face: a network gave a value that is no number")

// session computes one network: [onnx.Session].
type session interface {
	Run(inputs ...onnx.Tensor) ([]onnx.Tensor, error)
	Close() error
}

// network is a session that takes one square RGB picture.
type network struct {
	session session
	size    int
	planes  bool // channels first
}

func newNetwork(s *onnx.Session, size, outputs int) (*network, error) {
	in := s.Inputs()
	if len(in) != 1 || len(in[0].Shape) != 4 || in[0].Shape[0] > 1 {
		return nil, fmt.Errorf("does not take one picture: %v", in)
	}
	if outputs > 0 && len(s.Outputs()) != outputs {
		return nil, fmt.Errorf("has %d outputs, want %d", len(s.Outputs()), outputs)
	}
	n, side := &network{session: s, size: size}, int64(size)
	switch d := in[0].Shape; [3]int64{d[1], d[2], d[3]} {
	case [3]int64{side, side, 3}:
	case [3]int64{3, side, side}:
		n.planes = true
	default:
		return nil, fmt.Errorf("takes shape %v, want %d x %d RGB", d, size, size)
	}
	return n, nil
}

// run computes the outputs for RGB values 0 to 255, after (v - mean) * scale. The
// error is ErrNaN, or the session's.
func (n *network) run(rgb []float32, mean [3]float32, scale float32) ([]onnx.Tensor, error) {
	data := make([]float32, len(rgb))
	area := n.size * n.size
	shape := []int64{1, int64(n.size), int64(n.size), 3}
	if n.planes {
		shape = []int64{1, 3, int64(n.size), int64(n.size)}
	}
	for i := range area {
		for c := range 3 {
			v := (rgb[i*3+c] - mean[c]) * scale
			if n.planes {
				data[c*area+i] = v
			} else {
				data[i*3+c] = v
			}
		}
	}
	out, err := n.session.Run(onnx.Tensor{Shape: shape, Data: data})
	if err != nil {
		return nil, err
	}
	for _, t := range out {
		for _, v := range t.Data {
			if !finite(float64(v)) {
				return nil, ErrNaN
			}
		}
	}
	return out, nil
}
