package signal

import (
	"fmt"
	"math"
	"strings"

	"github.com/kosmoscope/kosmoscope/internal/risk"
)

func reading(name string, o risk.Outcome, format string, args ...any) risk.Reading {
	return risk.Reading{Signal: name, Outcome: o, Evidence: sentence(format, args)}
}

func measured(name string, o risk.Outcome, value float64, format string, args ...any) risk.Reading {
	return risk.Reading{Signal: name, Outcome: o, Evidence: sentence(format, args), Value: &value}
}

func sentence(format string, args []any) string {
	if len(args) == 0 {
		return format
	}
	return fmt.Sprintf(format, args...)
}

// finite is whether n is a number that JSON can say.
func finite(n float64) bool { return !math.IsNaN(n) && !math.IsInf(n, 0) }

// noAddress says why nothing can be told from an address; empty if there is a public one.
func noAddress(o *risk.Observation) string {
	switch o.Address {
	case risk.AddressPublic:
		return ""
	case risk.AddressPrivate:
		return "The login came from a private address, which is nowhere in particular."
	case risk.AddressBad:
		return "The address that was given is none."
	}
	return "No address was given."
}

func place(city, country string) string {
	switch {
	case city != "" && country != "":
		return city + ", " + country
	case country != "":
		return country
	}
	return "an unknown place"
}

func network(o *risk.Observation) string {
	switch {
	case o.ASN != 0 && o.ASName != "":
		return fmt.Sprintf("%s (%s, AS%d)", o.IP, o.ASName, o.ASN)
	case o.ASN != 0:
		return fmt.Sprintf("%s (AS%d)", o.IP, o.ASN)
	}
	return o.IP
}

// and joins a few words, and counts the rest.
func and(words []string) string {
	const most = 6
	if len(words) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(words[:most], ", "), len(words)-most)
	}
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}
