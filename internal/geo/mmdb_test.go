package geo_test

import (
	"encoding/binary"
	"maps"
	"math"
	"net/netip"
	"slices"
	"testing"
)

type record = map[string]any

// plain is the kind of a file that does not describe itself, as some makers' do not.
const plain = "ASN"

// mmdb writes a file as the MaxMind DB specification 2.0 has it, with records of 32 bits.
// It is small, not quick: nothing is shared.
func mmdb(t testing.TB, kind string, version int, networks map[string]record) []byte {
	t.Helper()
	type node [2]int // 0: nothing, n > 0: node n, n < 0: data at -n-1
	tree := []node{{}}
	var data []byte
	for _, name := range slices.Sorted(maps.Keys(networks)) {
		p := netip.MustParsePrefix(name)
		b, skip := p.Addr().As16(), 0
		if p.Addr().Is4() {
			clear(b[:12]) // those of IPv4 are ::/96 in the tree
			skip = 96
		}
		from, to := 0, skip+p.Bits()
		if version == 4 {
			if skip == 0 {
				t.Fatalf("%s in a file of IPv4", name)
			}
			from = 96
		}
		at := 0
		for i := from; i < to; i++ {
			bit := b[i/8] >> (7 - i%8) & 1
			if i == to-1 {
				tree[at][bit] = -len(data) - 1
				break
			}
			if tree[at][bit] == 0 {
				tree = append(tree, node{})
				tree[at][bit] = len(tree) - 1
			}
			if at = tree[at][bit]; at < 0 {
				t.Fatalf("%s lies within another network", name)
			}
		}
		data = value(t, data, networks[name])
	}
	var out []byte
	for _, n := range tree {
		for _, side := range n {
			v := len(tree)
			switch {
			case side > 0:
				v = side
			case side < 0:
				v = len(tree) + 16 - side - 1
			}
			out = binary.BigEndian.AppendUint32(out, uint32(v))
		}
	}
	out = append(out, make([]byte, 16)...)
	out = append(out, data...)
	out = append(out, "\xab\xcd\xefMaxMind.com"...)
	description := record{"en": kind + " made by a test"}
	if kind == plain {
		description = record{}
	}
	return value(t, out, record{
		"node_count": uint32(len(tree)), "record_size": uint16(32), "ip_version": uint16(version), "database_type": kind,
		"languages": []any{"en"}, "binary_format_major_version": uint16(2), "binary_format_minor_version": uint16(0),
		"build_epoch": uint64(day.Unix()), "description": description,
	})
}

// value appends a value in the format's own encoding.
func value(t testing.TB, b []byte, v any) []byte {
	t.Helper()
	head := func(kind, size int) {
		long := []byte{}
		first := size
		switch {
		case size >= 65821:
			t.Fatal("too long")
		case size >= 285:
			first, long = 30, binary.BigEndian.AppendUint16(nil, uint16(size-285))
		case size >= 29:
			first, long = 29, []byte{byte(size - 29)}
		}
		if kind < 8 {
			b = append(b, byte(kind<<5|first))
		} else {
			b = append(b, byte(first), byte(kind-7))
		}
		b = append(b, long...)
	}
	number := func(kind int, n uint64) {
		var all [8]byte
		binary.BigEndian.PutUint64(all[:], n)
		short := all[:]
		for len(short) > 0 && short[0] == 0 {
			short = short[1:]
		}
		head(kind, len(short))
		b = append(b, short...)
	}
	switch v := v.(type) {
	case string:
		head(2, len(v))
		b = append(b, v...)
	case float64:
		head(3, 8)
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(v))
	case uint16:
		number(5, uint64(v))
	case uint32:
		number(6, uint64(v))
	case uint64:
		number(9, v)
	case bool:
		size := 0
		if v {
			size = 1
		}
		head(14, size)
	case []any:
		head(11, len(v))
		for _, e := range v {
			b = value(t, b, e)
		}
	case record:
		head(7, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			b = value(t, b, k)
			b = value(t, b, v[k])
		}
	default:
		t.Fatalf("%T", v)
	}
	return b
}

// city is a record as GeoIP2 City has it.
func city(country, name string, lat, lon float64, radius uint16) record {
	return record{
		"city": record{"geoname_id": uint32(1), "names": record{"de": "nicht " + name, "en": name}}, "country": record{"iso_code": country, "names": record{"en": "A country"}},
		"location": record{"accuracy_radius": radius, "latitude": lat, "longitude": lon, "time_zone": "Europe/Berlin"},
		"postal":   record{"code": "1"}, "subdivisions": []any{record{"iso_code": "BE"}}, "registered_country": record{"iso_code": "ZZ"},
	}
}

func as(number uint32, name string) record {
	return record{"autonomous_system_number": number, "autonomous_system_organization": name}
}
