//go:build linux

// Command nodes measures the figures that are promised of the whole program:
// what the connector's nodes add to a call, and how much memory the bridge and
// the engine take.
//
//	go run ./bench/nodes [--rate 100] [--duration 20s] [--store sqlite|postgres] [--json]
//	go run ./bench/nodes --ready-file FILE    # against a running demo
//	go run ./bench/nodes --make-demo          # how long `make demo` takes to its first page
//
// It drives the built program (bin/kosmoscope) and changes nothing in it. It
// reads /proc, and so runs on Linux alone. ../README.md says what each figure
// means; `make bench` runs this and the other benchmarks.
//
// It fails when something did not answer as it must, never over a figure.
package main
