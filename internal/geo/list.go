package geo

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of a text list.
const (
	maxLines  = 1_000_000
	maxLine   = 1 << 10 // bytes
	maxLabel  = 100     // bytes
	maxLabels = 1 << 16 // different ones
)

// unlabelled is what a network is called of which the list says no more.
const unlabelled = "anonymiser"

// list says which addresses are on a list of networks, and what it calls them.
type list struct {
	start  []wide   // where ranges begin; each goes on to the next
	label  []uint32 // of each: 1 + index of its label, or 0
	labels []string
}

// wide is an address as a number, those of IPv4 as IPv6 writes them (::ffff:0:0/96).
type wide struct{ high, low uint64 }

func wideOf(a netip.Addr) wide {
	b := a.As16()
	return wide{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (a wide) compare(b wide) int {
	return cmp.Or(cmp.Compare(a.high, b.high), cmp.Compare(a.low, b.low))
}

// listed is a line of a list: a network from its first to its last address.
type listed struct {
	first, last wide
	bits        int
	label       uint32
}

// readList reads a text list: a network or an address a line, then what to call it, if
// anything. From a # on, at the start of a line or behind a space, everything is remarks.
// Of networks within one another the smaller one counts; of the same one, the first line.
func readList(b []byte) (*list, error) {
	var (
		l     list
		index = map[string]uint32{}
		nets  []listed
		line  int
	)
	s := bufio.NewScanner(bytes.NewReader(b))
	s.Buffer(make([]byte, 0, maxLine+2), maxLine+2)
	for s.Scan() {
		if line++; line > maxLines {
			return nil, fmt.Errorf("the list has more than %d lines", maxLines)
		}
		text := strings.TrimSpace(strings.TrimPrefix(s.Text(), "\ufeff")) // some editors begin a file with that
		if len(text) > maxLine || !utf8.ValidString(text) {
			return nil, fmt.Errorf("line %d is too long, or no UTF-8", line)
		}
		text, _, _ = strings.Cut(" "+strings.ReplaceAll(text, "\t", " "), " #")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		name, label := text, ""
		if i := strings.IndexFunc(text, unicode.IsSpace); i >= 0 {
			name, label = text[:i], strings.Join(strings.Fields(text[i:]), " ")
		}
		network, err := networkOf(name)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		if len(label) > maxLabel || strings.ContainsFunc(label, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return nil, fmt.Errorf("line %d: what the network is called is longer than %d bytes, or has characters that cannot be seen", line, maxLabel)
		}
		label = cmp.Or(label, unlabelled)
		i, ok := index[label]
		if !ok {
			if len(l.labels) == maxLabels {
				return nil, fmt.Errorf("line %d: there are more than %d names for networks", line, maxLabels)
			}
			l.labels = append(l.labels, label)
			i = uint32(len(l.labels)) // 1 + index
			index[label] = i
		}
		n := listed{wideOf(network.Addr()), wideOf(last(network)), network.Bits(), i}
		if network.Addr().Is4() {
			n.bits += 96
		}
		nets = append(nets, n)
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", line+1, err)
	}
	if len(nets) == 0 {
		return nil, errors.New("the list names no network: leave it out of the configuration instead")
	}
	l.flatten(nets)
	return &l, nil
}

// networkOf reads a network, or an address as the network of just that.
func networkOf(text string) (netip.Prefix, error) {
	if !strings.Contains(text, "/") {
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%q is no address and no network", text)
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is no network", text)
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("%q is no network", text)
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%q has bits behind its length; did you mean %s?", text, p.Masked())
	}
	if p.Bits() == 0 {
		return netip.Prefix{}, fmt.Errorf("%q is every address", text)
	}
	return p, nil
}

// last is the last address of a network.
func last(n netip.Prefix) netip.Addr {
	b := n.Addr().AsSlice()
	for i := n.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// flatten makes ranges that follow one another out of networks that may lie within
// one another. Two networks either do, or have nothing in common.
func (l *list) flatten(nets []listed) {
	slices.SortStableFunc(nets, func(a, b listed) int {
		return cmp.Or(a.first.compare(b.first), cmp.Compare(a.bits, b.bits))
	})
	// Of the same network, the first stays.
	nets = slices.CompactFunc(nets, func(a, b listed) bool { return a.first == b.first && a.bits == b.bits })
	var open []listed // the networks that we are in, the smallest last
	begin := func(at wide, label uint32) {
		switch n := len(l.start); {
		case n > 0 && l.start[n-1] == at:
			l.label[n-1] = label
		case n == 0 || l.label[n-1] != label:
			l.start, l.label = append(l.start, at), append(l.label, label)
		}
	}
	end := func(before wide, all bool) {
		for n := len(open); n > 0 && (all || open[n-1].last.compare(before) < 0); n = len(open) {
			next, ok := open[n-1].last.next()
			open = open[:n-1]
			outer := uint32(0)
			if n > 1 {
				outer = open[n-2].label
			}
			if ok {
				begin(next, outer)
			}
		}
	}
	for _, n := range nets {
		end(n.first, false)
		begin(n.first, n.label)
		open = append(open, n)
	}
	end(wide{}, true)
	l.start, l.label = slices.Clip(l.start), slices.Clip(l.label)
}

// next is the number that follows, false if there is none.
func (a wide) next() (wide, bool) {
	a.low++
	if a.low == 0 {
		a.high++
	}
	return a, a != wide{}
}

// find is what the list calls an address; empty if it is not on it.
func (l *list) find(a netip.Addr) string {
	at := wideOf(a)
	i, exact := slices.BinarySearchFunc(l.start, at, wide.compare)
	if !exact {
		i--
	}
	if i < 0 || l.label[i] == 0 {
		return ""
	}
	return l.labels[l.label[i]-1]
}
