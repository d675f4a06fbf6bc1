// Package onnx runs one neural network from an ONNX file on the CPU.
//
// It is the only place that knows ONNX Runtime. The shared library is opened
// once per process, by path; every [Session] computes on one thread and keeps
// a memory arena only where the model fixes the size of its inputs, so that the size
// of the process is decided by how many callers run at once and not by the largest
// picture ever seen.
//
// Built without cgo, every call answers [ErrUnavailable]: the program still
// compiles and starts, and what rests on a network cannot be told.
package onnx
