package geo

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"net/netip"
	"os"
	"slices"
	"time"
)

const (
	magic    = "kosmoscope geo 1\n"
	maxFile  = 64 << 20  // bytes
	maxSize  = 128 << 20 // bytes, unpacked
	maxRatio = 64        // unpacked to packed; ours has less than 3
	maxDays  = 200 * 366 // since 1970
	maxText  = 1 << 10   // bytes
	block    = 16        // ranges from one entry of the index to the next
)

// Table says where addresses are. It never changes, and is safe for concurrent use.
type Table struct {
	date                        time.Time
	attribution, attributionURL string

	countries string   // two letters each
	names     string   // the city names, one after another
	nameEnd   []uint32 // where each ends in names
	country   []byte   // of each place, as the fields that follow
	name      []uint32
	lat, lon  []int16  // tenths of a degree
	radius    []uint16 // km; 0: no coordinates

	v4, v6 family
}

// family holds the ranges of one family as they are in the file, since that is a third
// of the memory of plain slices, with an index into it. Ranges i*block to (i+1)*block-1
// begin at start[i], and are written from widths[widthAt[i]] and are[areAt[i]] on.
type family struct {
	ranges         int
	start          []uint64
	widthAt, areAt []uint32
	widths, are    []byte // are: 1 + index of the place or AS, or 0
}

// Open reads a packed file, so that an operator can have newer data than the program
// has. A file that is not whole and right is refused.
func Open(path string) (*Table, error) {
	b, err := readFile(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("geo: %w", err)
	}
	t, err := Read(b)
	if err != nil {
		return nil, fmt.Errorf("geo: %s: %w", path, err)
	}
	return t, nil
}

// readFile reads a file that is at most most bytes long.
func readFile(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	switch info, err := f.Stat(); {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > most {
		return nil, fmt.Errorf("%s is larger than %d MiB", path, most>>20)
	}
	return b, nil
}

// Read reads a packed file that is in memory. It keeps nothing of b.
func Read(b []byte) (*Table, error) {
	raw, err := unpack(b)
	if err != nil {
		return nil, err
	}
	return parse(raw)
}

// unpack is gunzip, which never makes more than maxRatio times of what it was given.
func unpack(b []byte) ([]byte, error) {
	if len(b) > maxFile {
		return nil, fmt.Errorf("the file is larger than %d MiB", maxFile>>20)
	}
	r := bytes.NewReader(b)
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("this is no packed table: %w", err)
	}
	z.Multistream(false)
	// The last four bytes say how much it will be (RFC 1952 2.3.1).
	size := int64(binary.LittleEndian.Uint32(b[len(b)-4:]))
	if size > maxSize || size > int64(len(b))*maxRatio {
		return nil, errors.New("the file unpacks to too much")
	}
	raw := make([]byte, size)
	if _, err := io.ReadFull(z, raw); err != nil {
		return nil, fmt.Errorf("the file is cut off or damaged: %w", err)
	}
	switch n, err := z.Read(make([]byte, 1)); { // the checksum is only looked at here
	case n != 0:
		return nil, errors.New("the file is longer than it says")
	case err != io.EOF:
		return nil, fmt.Errorf("the file is damaged: %w", err)
	case r.Len() != 0:
		return nil, errors.New("something follows after the table")
	}
	return raw, nil
}

// reader takes the fields off a file. After the first error it answers zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err, r.b = fmt.Errorf(format, args...), nil
	}
}

// uint is a number from 0 to most.
func (r *reader) uint(what string, most uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > most {
		r.fail("%s: there is no number from 0 to %d", what, most)
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int(what string, most int64) int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 || v > most || v < -most {
		r.fail("%s: there is no number from %d to %d", what, -most, most)
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) take(what string, n int) []byte {
	if n > len(r.b) {
		r.fail("%s: the table is cut off", what)
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

// count is how many of something follow, each of which takes a byte at least. So what
// is made for them is in proportion to the file.
func (r *reader) count(what string, bytesEach int) int {
	return int(r.uint(what, uint64(len(r.b)/bytesEach)))
}

func (r *reader) text(what string) string {
	return string(r.take(what, int(r.uint(what, maxText))))
}

func parse(raw []byte) (*Table, error) {
	r := &reader{b: raw}
	if string(r.take("heading", len(magic))) != magic {
		return nil, errors.New("this is no packed table of places, or one of another version")
	}
	t := &Table{}
	t.date = time.Unix(int64(r.uint("date", maxDays))*24*60*60, 0).UTC()
	t.attribution, t.attributionURL = r.text("attribution"), r.text("address of the attribution")

	countries := r.count("countries", 2)
	t.countries = string(r.take("countries", 2*countries))
	for _, c := range []byte(t.countries) {
		if c < 'A' || c > 'Z' {
			r.fail("countries: %q is no letter of a country", c)
		}
	}

	t.nameEnd = make([]uint32, r.count("city names", 1))
	end := uint32(0)
	for i := range t.nameEnd {
		end += uint32(r.uint("city name", maxText)) // at most maxSize*maxText/maxText in the end, as take checks
		if int(end) > len(r.b) {
			r.fail("city names: the table is cut off")
			break
		}
		t.nameEnd[i] = end
	}
	t.names = string(r.take("city names", int(end)))

	n := r.count("places", 5)
	t.country = bytes.Clone(r.take("places", n))
	for _, c := range t.country {
		if int(c) >= countries {
			r.fail("places: there is no country %d", c)
		}
	}
	n = len(t.country)
	t.name, t.lat, t.lon, t.radius = make([]uint32, n), make([]int16, n), make([]int16, n), make([]uint16, n)
	if n > 0 && len(t.nameEnd) == 0 {
		r.fail("places: there are no city names")
	}
	for i := range t.name {
		t.name[i] = uint32(r.uint("city of a place", uint64(max(len(t.nameEnd), 1)-1)))
	}
	for i := range t.lat {
		t.lat[i] = int16(r.int("latitude", 900))
	}
	for i := range t.lon {
		t.lon[i] = int16(r.int("longitude", 1800))
	}
	for i := range t.radius {
		t.radius[i] = uint16(r.uint("radius", 1<<16-1))
	}
	// What is kept of the file is copied here, so that the part before it can go.
	r.b = bytes.Clone(r.b)
	t.v4 = r.family("IPv4", n, 1<<32)
	t.v6 = r.family("IPv6", n, 1<<64-1)
	if r.err == nil && len(r.b) != 0 {
		r.fail("something follows after the table")
	}
	if r.err != nil {
		return nil, r.err
	}
	return t, nil
}

// family reads the ranges of a family of most numbers, and makes the index. Every
// number is looked at, so that lookups need not check.
func (r *reader) family(what string, things int, most uint64) family {
	var f family
	f.ranges = r.count(what, 2)
	f.widths = r.take(what, r.count(what, 1))
	f.are = r.take(what, r.count(what, 1))
	if r.err != nil {
		return family{}
	}
	blocks := (f.ranges + block - 1) / block
	f.start, f.widthAt, f.areAt = make([]uint64, 0, blocks), make([]uint32, 0, blocks), make([]uint32, 0, blocks)
	var at uint64
	w, p := 0, 0
	for i := range f.ranges {
		if i%block == 0 {
			f.start, f.widthAt, f.areAt = append(f.start, at), append(f.widthAt, uint32(w)), append(f.areAt, uint32(p))
		}
		width, n := uwidth(f.widths[w:])
		if n == 0 || width > most-at {
			r.fail("%s: range %d has no right width", what, i)
			return family{}
		}
		at, w = at+width, w+n
		is, n := binary.Uvarint(f.are[p:])
		if n <= 0 || is > uint64(things) {
			r.fail("%s: range %d is of nothing that there is", what, i)
			return family{}
		}
		p += n
	}
	if w != len(f.widths) || p != len(f.are) {
		r.fail("%s: there is more than %d ranges", what, f.ranges)
		return family{}
	}
	return f
}

// uwidth reads a width, and how many bytes it took: none if there is no width.
func uwidth(b []byte) (width uint64, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	shift, form := int(b[0]&63), uint64(b[0]>>6)
	if form < 3 {
		odd := 2*form + 1
		if bits.Len64(odd)+shift > 64 {
			return 0, 0
		}
		return odd << shift, 1
	}
	half, n := binary.Uvarint(b[1:])
	if n <= 0 || half > 1<<62 {
		return 0, 0
	}
	odd := 7 + 2*half
	if bits.Len64(odd)+shift > 64 {
		return 0, 0
	}
	return odd << shift, 1 + n
}

// find is what a number is: 0 if nothing is known, else 1 + the index of a place or AS.
func (f *family) find(number uint64) uint64 {
	i, exact := slices.BinarySearch(f.start, number)
	if !exact {
		i--
	}
	if i < 0 {
		return 0
	}
	left := number - f.start[i]
	widths, are := f.widths[f.widthAt[i]:], f.are[f.areAt[i]:]
	for range min(block, f.ranges-i*block) {
		width, n := uwidth(widths)
		if left < width {
			is, _ := binary.Uvarint(are)
			return is
		}
		left -= width
		widths = widths[n:]
		for are[0] >= 0x80 {
			are = are[1:]
		}
		are = are[1:]
	}
	return 0 // behind the last range
}

// Lookup tells where an address is. It is false where that cannot be told: the address
// is private, loopback, link-local, shared by a carrier (100.64.0.0/10), for
// documentation, multicast, unspecified, with a zone, a Teredo tunnel or not in the
// table. An IPv4 address in an IPv6 one (mapped, NAT64 64:ff9b::/96, 6to4 2002::/16)
// is looked up as itself.
func (t *Table) Lookup(addr netip.Addr) (Place, bool) {
	a, ok := public(addr)
	if !ok {
		return Place{}, false
	}
	return t.lookup(a)
}

func (t *Table) lookup(a netip.Addr) (Place, bool) {
	f := &t.v6
	if a.Is4() {
		f = &t.v4
	}
	i := f.find(number(a))
	if i == 0 {
		return Place{}, false
	}
	return t.place(int(i - 1)), true
}

func (t *Table) place(i int) Place {
	c, from := int(t.country[i]), uint32(0)
	if t.name[i] > 0 {
		from = t.nameEnd[t.name[i]-1]
	}
	p := Place{Country: t.countries[2*c : 2*c+2], City: t.names[from:t.nameEnd[t.name[i]]]}
	if t.radius[i] > 0 {
		p.Latitude, p.Longitude = float64(t.lat[i])/10, float64(t.lon[i])/10
		p.RadiusKM, p.HasCoordinates = float64(t.radius[i]), true
	}
	return p
}

// Date is the day, in UTC, of the data.
func (t *Table) Date() time.Time { return t.date }

// Attribution is the text that must stand on every page that shows what the table says,
// as a link to AttributionURL.
func (t *Table) Attribution() string { return t.attribution }

// AttributionURL is what the attribution must link to.
func (t *Table) AttributionURL() string { return t.attributionURL }

// Places is how many places the table tells apart.
func (t *Table) Places() int { return len(t.country) }

// Ranges is how many ranges of IPv4 and of IPv6 addresses the table has, those
// included of which nothing is known.
func (t *Table) Ranges() (v4, v6 int) { return t.v4.ranges, t.v6.ranges }
