//go:build !race

package material_test

const raced = false
