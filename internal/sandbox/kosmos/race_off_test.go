//go:build !race

package kosmos_test

const raced = false
