package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/kosmoscope/kosmoscope/internal/geo"
)

// credits are what the three licences in the source's package want said, each with a link.
var credits = []geo.Credit{
	{Text: "AS numbers by Route Views", URL: "https://www.routeviews.org"},
	{Text: "Number resources by the NRO", URL: "https://www.nro.net"},
	{Text: "IP Geolocation by DB-IP", URL: "https://db-ip.com"},
}

// maxOverlaps is how many ranges of a file may begin within the one before. More would
// mean that the source is broken.
const maxOverlaps = 4

// asRange is a line of the source.
type asRange struct {
	first, last netip.Addr
	as          geo.AS
}

func networks(args []string) error {
	flags := flag.NewFlagSet("networks", flag.ContinueOnError)
	v4 := flags.String("v4", "", "the `file` of IPv4 ranges")
	v6 := flags.String("v6", "", "the `file` of IPv6 ranges")
	day := flags.String("date", "", "the `day` of the data, as 2026-06-17")
	out := flags.String("out", "internal/geo/networks.bin.gz", "the `file` to write")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *v4 == "" || *v6 == "" || *day == "" || flags.NArg() != 0 {
		return errors.New("--v4 and --v6 must name the two files and --date the day of the data, and nothing else may follow")
	}
	date, err := time.Parse(time.DateOnly, *day)
	if err != nil {
		return err
	}
	var all []asRange
	for _, path := range []string{*v4, *v6} {
		list, err := readRanges(path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, list...)
	}
	var p geo.NetworkPacker
	kept, nobodys := all[:0], 0
	for _, r := range all {
		switch err := p.Add(r.first, r.last, r.as); {
		case err == nil:
			kept = append(kept, r)
		case !geo.Assigned(r.as.Number): // leaked private numbers, and the like
			nobodys++
		default:
			return err
		}
	}
	var b bytes.Buffer
	if err := p.Write(&b, date, credits...); err != nil {
		return err
	}
	t, err := geo.ReadNetworks(b.Bytes())
	if err != nil {
		return fmt.Errorf("what was packed cannot be read: %w", err)
	}
	asked, missing := 0, 0
	names := map[uint32]string{}
	for _, r := range kept {
		if _, ok := names[r.as.Number]; !ok {
			names[r.as.Number] = r.as.Name
		}
		for _, a := range []netip.Addr{r.first, r.last} {
			if a.Is6() && (bits64(r.first) || !bits64(r.last)) {
				continue // not made of whole /64 networks
			}
			asked++
			got, ok := t.Lookup(a)
			if !ok {
				missing++ // the source has some anycast and tunnel addresses, which geo does not
				continue
			}
			if want := (geo.AS{Number: r.as.Number, Name: names[r.as.Number]}); got != want {
				return fmt.Errorf("%s is packed as %v, not %v", a, got, want)
			}
		}
	}
	if asked == 0 || missing > asked/1000 {
		return fmt.Errorf("%d of %d addresses cannot be found", missing, asked)
	}
	if err := os.WriteFile(*out, b.Bytes(), 0o644); err != nil {
		return err
	}
	r4, r6 := t.Ranges()
	fmt.Printf("%s: data of %s, %d IPv4 and %d IPv6 ranges, %d numbers, %.2f MiB; %d ranges had a number that is nobody's; of %d addresses asked, %d are not public\n",
		*out, t.Date().Format(time.DateOnly), r4, r6, t.Numbers(), float64(b.Len())/(1<<20), nobodys, asked, missing)
	return nil
}

// bits64 reports whether an IPv6 address has anything in its lower half.
func bits64(a netip.Addr) bool {
	b := a.As16()
	return !bytes.Equal(b[8:], make([]byte, 8))
}

func readRanges(path string) ([]asRange, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	r := csv.NewReader(f)
	r.FieldsPerRecord, r.ReuseRecord = 4, true
	var out []asRange
	overlaps := 0
	for {
		rec, err := r.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		line, _ := r.FieldPos(0)
		first, err1 := netip.ParseAddr(rec[0])
		last, err2 := netip.ParseAddr(rec[1])
		n, err3 := strconv.ParseUint(rec[2], 10, 32)
		if err := errors.Join(err1, err2, err3); err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		// The source has a range or so that begins within the one before it. What both
		// claim stays with the earlier one.
		if i := len(out) - 1; i >= 0 && first.Compare(out[i].last) <= 0 && out[i].last.Less(last) {
			if overlaps++; overlaps > maxOverlaps {
				return nil, fmt.Errorf("line %d: more than %d ranges begin within the one before them", line, maxOverlaps)
			}
			first = out[i].last.Next()
		}
		out = append(out, asRange{first, last, geo.AS{Number: uint32(n), Name: tidy(rec[3])}})
	}
}

// tidy leaves what can be seen of a name. A soft hyphen stands where a dash was meant.
func tidy(name string) string {
	name = strings.Map(func(c rune) rune {
		switch {
		case c == '\u00ad':
			return '-'
		case c == unicode.ReplacementChar, !unicode.IsGraphic(c) && !unicode.IsSpace(c):
			return -1
		}
		return c
	}, name)
	return strings.Join(strings.Fields(name), " ")
}
