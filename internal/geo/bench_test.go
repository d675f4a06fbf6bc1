package geo_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/geo"
)

var kept any

func BenchmarkLoad(b *testing.B) {
	for name, read := range map[string]func([]byte) (any, error){
		"places.bin.gz":   func(b []byte) (any, error) { return geo.Read(b) },
		"networks.bin.gz": func(b []byte) (any, error) { return geo.ReadNetworks(b) },
	} {
		b.Run(name, func(b *testing.B) {
			file, err := os.ReadFile(name)
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
				if kept, err = read(file); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(memory()-before, "MiB-kept")
			runtime.KeepAlive(file)
			kept = nil
		})
	}
}

// spread are addresses spread evenly over what is given out, so that nearly every lookup
// touches memory that the one before did not.
func spread() (v4, v6 *[1 << 16]netip.Addr) {
	v4, v6 = new([1 << 16]netip.Addr), new([1 << 16]netip.Addr)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range v4 {
		var four [4]byte
		binary.BigEndian.PutUint32(four[:], 1<<24+r.Uint32N(222<<24))
		v4[i] = netip.AddrFrom4(four)
		var six [16]byte
		high := []uint64{0x2400, 0x2600, 0x2601, 0x2804, 0x2a00, 0x2a01, 0x2a02, 0x2003}[r.IntN(8)]
		binary.BigEndian.PutUint64(six[:], high<<48|r.Uint64()>>16)
		v6[i] = netip.AddrFrom16(six)
	}
	return v4, v6
}

func BenchmarkLookup(b *testing.B) {
	v4, v6 := spread()
	geo.Date() // load it
	for name, list := range map[string]*[1 << 16]netip.Addr{"IPv4": v4, "IPv6": v6} {
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

// BenchmarkLocate is everything that is known of an address, with the tables of the program
// and a list of 100,000 networks; and with files of the operator's.
func BenchmarkLocate(b *testing.B) {
	v4, v6 := spread()
	var text bytes.Buffer
	for i := range 50_000 {
		fmt.Fprintf(&text, "%s\n%s/64 Some VPN\n", v4[i], v6[i])
	}
	list := file(b, "list", text.Bytes())
	cities, numbers := map[string]record{}, map[string]record{}
	for i := range 4096 {
		n := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(i >> 4), byte(i << 4)}), 12).String()
		cities[n], numbers[n] = city("FR", fmt.Sprint("City ", i), 48, 2, 20), as(uint32(i+1), fmt.Sprint("Network ", i))
	}
	cities["2000::/3"], numbers["2000::/3"] = city("PT", "Lisbon", 38, -9, 20), as(3243, "MEO")
	for name, o := range map[string]geo.AtlasOptions{
		"program":  {AnonymiserFile: list},
		"operator": {AnonymiserFile: list, CityFile: file(b, "city", mmdb(b, "GeoLite2-City", 6, cities)), ASFile: file(b, "as", mmdb(b, "GeoLite2-ASN", 6, numbers))},
	} {
		a := open(b, o)
		a.Warm()
		for family, list := range map[string]*[1 << 16]netip.Addr{"IPv4": v4, "IPv6": v6} {
			b.Run(name+"/"+family, func(b *testing.B) {
				b.ReportAllocs()
				i, places, networks := 0, 0, 0
				for b.Loop() {
					l := a.Locate(list[i&(1<<16-1)])
					if l.HasPlace {
						places++
					}
					if l.HasAS {
						networks++
					}
					i++
				}
				b.ReportMetric(float64(places)/float64(i), "places/op")
				b.ReportMetric(float64(networks)/float64(i), "networks/op")
			})
		}
	}
}
