//go:build cgo

package onnx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	ort "github.com/yalue/onnxruntime_go"
)

// Available reports whether this build can run networks at all.
const Available = true

// opened is the one library that this process has opened. ONNX Runtime keeps
// its environment in globals, so it is never closed again.
var opened struct {
	sync.Mutex
	path string // empty until opened
}

// load opens the shared library at path, once. Another path later is an error,
// because a process holds one library.
func load(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("onnx: library path: %w", err)
	}
	// dlopen searches the system for names it does not find: look first, so
	// that only the file that was asked for is ever loaded.
	if st, err := os.Stat(path); err != nil {
		return fmt.Errorf("onnx: library: %w (%w)", ErrUnavailable, err)
	} else if !st.Mode().IsRegular() {
		return fmt.Errorf("onnx: library is not a file: %w", ErrUnavailable)
	}
	opened.Lock()
	defer opened.Unlock()
	switch opened.path {
	case path:
		return nil
	case "":
	default:
		return errors.New("onnx: another ONNX Runtime library is already open in this process")
	}
	ort.SetSharedLibraryPath(path)
	if err := ort.InitializeEnvironment(ort.WithLogLevelError()); err != nil {
		return fmt.Errorf("onnx: %w (%v)", ErrUnavailable, err)
	}
	if err := ort.DisableTelemetry(); err != nil {
		return fmt.Errorf("onnx: telemetry: %w", err)
	}
	opened.path = path
	return nil
}

// Session is one loaded network. It is safe for concurrent callers: each Run
// has its own buffers and the weights are read-only.
type Session struct {
	ins, outs []Port

	mu  sync.RWMutex // readers run, the writer closes
	net *ort.DynamicAdvancedSession
}

// Open loads the network in the file model with the shared library at library.
// A missing library or model file is [ErrUnavailable].
func Open(library, model string) (*Session, error) {
	if err := load(library); err != nil {
		return nil, err
	}
	name := filepath.Base(model)
	graph, err := os.ReadFile(model)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("onnx: model %s: %w (%w)", name, ErrUnavailable, err)
	}
	if err != nil {
		return nil, fmt.Errorf("onnx: model %s: %w", name, err)
	}
	ins, outs, err := ort.GetInputOutputInfoWithONNXData(graph)
	if err != nil {
		return nil, fmt.Errorf("onnx: model %s: read: %w", name, err)
	}
	s := &Session{}
	var inNames, outNames []string
	if s.ins, inNames, err = ports(ins); err != nil {
		return nil, fmt.Errorf("onnx: model %s: inputs: %w", name, err)
	}
	if s.outs, outNames, err = ports(outs); err != nil {
		return nil, fmt.Errorf("onnx: model %s: outputs: %w", name, err)
	}
	opts, err := options(s.ins)
	if err != nil {
		return nil, fmt.Errorf("onnx: model %s: options: %w", name, err)
	}
	defer opts.Destroy()
	if s.net, err = ort.NewDynamicAdvancedSessionWithONNXData(graph, inNames, outNames, opts); err != nil {
		return nil, fmt.Errorf("onnx: model %s: load: %w", name, err)
	}
	return s, nil
}

func options(ins []Port) (*ort.SessionOptions, error) {
	o, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		o.SetIntraOpNumThreads(1),
		o.SetInterOpNumThreads(1),
		o.SetExecutionMode(ort.ExecutionModeSequential),
		o.SetGraphOptimizationLevel(ort.GraphOptimizationLevelEnableAll),
		// The arena never shrinks: only where all pictures have one size does the number
		// of callers bound it. There it saves a quarter of MobileFaceNet's time.
		o.SetCpuMemArena(fixed(ins)),
		o.SetMemPattern(false),
		// A thread that spins while it waits would take a core from the others.
		o.AddSessionConfigEntry("session.intra_op.allow_spinning", "0"),
	)
	if err != nil {
		o.Destroy()
		return nil, err
	}
	return o, nil
}

// fixed reports whether the model fixes every dimension but the first, the batch.
func fixed(ins []Port) bool {
	for _, p := range ins {
		for i, d := range p.Shape {
			if i > 0 && d <= 0 {
				return false
			}
		}
	}
	return true
}

func ports(infos []ort.InputOutputInfo) ([]Port, []string, error) {
	if len(infos) == 0 {
		return nil, nil, errors.New("none")
	}
	list := make([]Port, len(infos))
	names := make([]string, len(infos))
	for i, in := range infos {
		if in.OrtValueType != ort.ONNXTypeTensor || in.DataType != ort.TensorElementDataTypeFloat {
			return nil, nil, fmt.Errorf("%q is not a float32 tensor", in.Name)
		}
		list[i] = Port{Name: in.Name, Shape: append([]int64(nil), in.Dimensions...)}
		names[i] = in.Name
	}
	return list, names, nil
}

// Inputs lists the inputs in the order that Run takes them.
func (s *Session) Inputs() []Port { return s.ins }

// Outputs lists the outputs in the order that Run gives them.
func (s *Session) Outputs() []Port { return s.outs }

// Run computes the outputs for one set of inputs, in the order of Inputs and
// Outputs. The result is the caller's own copy.
func (s *Session) Run(inputs ...Tensor) ([]Tensor, error) {
	if len(inputs) != len(s.ins) {
		return nil, fmt.Errorf("onnx: %d inputs given, the network takes %d", len(inputs), len(s.ins))
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.net == nil {
		return nil, ErrClosed
	}
	in := make([]ort.Value, len(inputs))
	out := make([]ort.Value, len(s.outs))
	defer func() {
		for _, list := range [][]ort.Value{in, out} {
			for _, v := range list {
				if v != nil {
					v.Destroy()
				}
			}
		}
	}()
	for i, t := range inputs {
		n, err := elements(t.Shape)
		if err != nil {
			return nil, err
		}
		if n != len(t.Data) || !s.ins[i].accepts(t.Shape) {
			return nil, fmt.Errorf("onnx: input %q: shape %v with %d values does not fit %v", s.ins[i].Name, t.Shape, len(t.Data), s.ins[i].Shape)
		}
		v, err := ort.NewTensor(ort.Shape(t.Shape), t.Data)
		if err != nil {
			return nil, fmt.Errorf("onnx: input %q: %w", s.ins[i].Name, err)
		}
		in[i] = v
	}
	if err := s.net.Run(in, out); err != nil {
		return nil, fmt.Errorf("onnx: run: %w", err)
	}
	result := make([]Tensor, len(out))
	for i, v := range out {
		t, ok := v.(*ort.Tensor[float32])
		if !ok {
			return nil, fmt.Errorf("onnx: output %q is not a float32 tensor", s.outs[i].Name)
		}
		// The binding has already copied the values out of the library's memory.
		result[i] = Tensor{Shape: append([]int64(nil), t.GetShape()...), Data: t.GetData()}
	}
	return result, nil
}

// Close waits for running calls and frees the network. A second Close does nothing.
func (s *Session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.net == nil {
		return nil
	}
	err := s.net.Destroy()
	s.net = nil
	if err != nil {
		return fmt.Errorf("onnx: close: %w", err)
	}
	return nil
}
