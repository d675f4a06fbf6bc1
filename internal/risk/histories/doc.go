// Package histories holds no code: its test runs a fixed set of login histories through
// every preset and writes what comes out as a text that a person can read,
// testdata/presets.txt. Whoever changes a signal, a weight or a preset sees there whom it
// changes what for.
package histories
