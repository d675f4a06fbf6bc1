//go:build race

package material_test

const raced = true // ten times slower; the other tests cover what is concurrent
