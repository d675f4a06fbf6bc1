// Command kosmoscope joins Descope and 1Kosmos. This package reads flags and
// configuration and connects the rooms under internal; it decides nothing.
//
// Every part runs as a process of its own: `serve` is the bridge, `engine serve`
// the document and face engine, `sandbox kosmos` the local 1Kosmos. `demo`, `prove`
// and `stepup` start the three of them, with generated configuration, as anybody
// could by hand.
package main
