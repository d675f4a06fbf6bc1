//go:build !race

package program

// RaceEnabled has the program built as the tests are.
const RaceEnabled = false
