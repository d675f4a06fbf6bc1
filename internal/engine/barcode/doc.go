// Package barcode reads the PDF417 symbol on the back of a driving licence from a
// photo of it. It knows nothing of what the symbol says; package aamva does.
//
//	photo -> fields with gradients that run one way (locate)
//	      -> the strongest one or two parts -> cut out, bars upright (cut)
//	      -> smoothed along the bars, light made even, sharpened across, black and white
//	      -> rxing -> text
//	           | none: three more ways to prepare it
//	           none: unreadable
//
// The reader of symbols is rxing, compiled to WebAssembly, in wazero: a program of
// others that parses pictures of strangers, and that can reach nothing but its own
// bounded memory. It is compiled once and has at most two instances, each with its
// memory for one try at a time. A context that ends stops it at once.
//
// Smoothing along the bars and sharpening across them is what a general reader
// cannot do, because it does not know which way they run; with it, symbols that
// rxing alone reads on one photo in ten of the hard ones are read on nearly all
// (bench/barcode).
package barcode
