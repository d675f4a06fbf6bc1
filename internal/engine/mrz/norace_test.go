//go:build !race

package mrz_test

const raced = false
