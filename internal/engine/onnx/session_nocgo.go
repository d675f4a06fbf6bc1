//go:build !cgo

package onnx

// Available reports whether this build can run networks at all.
const Available = false

// Session cannot be had in this build.
type Session struct{}

// Open always fails with [ErrUnavailable]: the library needs cgo.
func Open(library, model string) (*Session, error) { return nil, ErrUnavailable }

// Inputs is empty in this build.
func (*Session) Inputs() []Port { return nil }

// Outputs is empty in this build.
func (*Session) Outputs() []Port { return nil }

// Run always fails with [ErrUnavailable].
func (*Session) Run(inputs ...Tensor) ([]Tensor, error) { return nil, ErrUnavailable }

// Close does nothing.
func (*Session) Close() error { return nil }
