package face

import (
	"testing"
)

func BenchmarkWarp(b *testing.B) {
	r, err := newRaster(ramp(1600, 1200))
	if err != nil {
		b.Fatal(err)
	}
	for name, side := range map[string]float64{"whole picture": 1600, "crop": 480} {
		m := square(Point{800, 600}, side, 0.1, blazeSize)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				r.warp(m, blazeSize, blazeSize)
			}
		})
	}
}
