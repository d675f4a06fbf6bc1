// Package cell reads one character cell of a machine-readable zone: it takes a
// small patch out of a grey picture and tells, with a small network, which
// character it shows.
//
// The reader and its training program share it, so that the network learns on
// exactly what it will be given.
package cell
