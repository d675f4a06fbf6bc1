//go:build race

package kosmos_test

// raced: pictures take ten times as long under the race detector.
const raced = true
