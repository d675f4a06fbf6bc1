//go:build race

package mrz_test

// raced is true under the race detector, which makes drawing photographs ten
// times slower; one reading of each kind is enough for it.
const raced = true
