//go:build linux

// Command nodes measures the figures that are promised of the whole program:
// what the connector's nodes add to a call, what many step-ups cost that are
// open at once, and how much memory the bridge and the engine take.
//
//	go run ./bench/nodes [--rate 100] [--duration 20s] [--store sqlite|postgres] [--only idv|stepup|engine] [--json]
//	go run ./bench/nodes --ready-file FILE    # against a running demo
//	go run ./bench/nodes --make-demo          # how long `make demo` takes to its first page
//
// It drives the built program (bin/kosmoscope) and changes nothing in it. Step-ups
// are measured at bridges of their own beside the demo's, over the same local
// 1Kosmos, so that no part of the load disturbs another. It reads /proc, and so
// runs on Linux alone. ../README.md says what each figure means; `make bench` runs
// this and the other benchmarks.
//
// It fails when something did not answer as it must, never over a figure.
package main
