//go:build !race

package barcode_test

// raced: the reader takes ten times as long under the race detector.
const raced = false
