package geo_test

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/geo"
)

var kept *geo.Table

func BenchmarkLoad(b *testing.B) {
	file, err := os.ReadFile("places.bin.gz")
	if err != nil {
		b.Fatal(err)
	}
	memory := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / (1 << 20)
	}
	kept = nil
	before := memory()
	for b.Loop() {
		if kept, err = geo.Read(file); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(memory()-before, "MiB-kept")
	runtime.KeepAlive(file)
	kept = nil
}

// Addresses are spread evenly over what is given out, so that nearly every lookup
// touches memory that the one before did not.
func BenchmarkLookup(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	var v4, v6 [1 << 16]netip.Addr
	for i := range v4 {
		var four [4]byte
		binary.BigEndian.PutUint32(four[:], 1<<24+r.Uint32N(222<<24))
		v4[i] = netip.AddrFrom4(four)
		var six [16]byte
		high := []uint64{0x2400, 0x2600, 0x2601, 0x2804, 0x2a00, 0x2a01, 0x2a02, 0x2003}[r.IntN(8)]
		binary.BigEndian.PutUint64(six[:], high<<48|r.Uint64()>>16)
		v6[i] = netip.AddrFrom16(six)
	}
	geo.Date() // load it
	for name, list := range map[string]*[1 << 16]netip.Addr{"IPv4": &v4, "IPv6": &v6} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			i, found := 0, 0
			for b.Loop() {
				if _, ok := geo.Lookup(list[i&(1<<16-1)]); ok {
					found++
				}
				i++
			}
			b.ReportMetric(float64(found)/float64(i), "found/op")
		})
	}
}
