//go:build race

package engine_test

// raced: pictures take ten times as long under the race detector, so only a
// few of them go through it.
const raced = true
