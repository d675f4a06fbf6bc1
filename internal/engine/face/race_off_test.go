//go:build !race

package face_test

// raced: pictures take ten times as long under the race detector.
const raced = false
