// Package geo tells where an address is: country, city and coordinates, which autonomous
// system it belongs to, and whether the operator has it on a list of anonymisers. It knows
// so from two packed tables that are part of the program, and from files of the operator's,
// which win (see Atlas). Nothing is asked of anybody.
//
// An answer is a guess about a network, not about a person. Whatever cannot be told
// is told as such (false, or Place.HasCoordinates unset): a private or unknown address
// must never count against somebody (reference/stack.md section 6).
//
// The tables are made by the program in pack out of data that is under CC BY 4.0: a page
// that shows what comes from here must show what Atlas.Sources says, with its links.
// README.md says which data it is, and how to make it anew.
//
// The packed file of places is gzip over the following. Numbers are unsigned varints of
// encoding/binary unless it says otherwise; a text is its length and its bytes.
//
//	"kosmoscope geo 1\n"
//	days from 1970-01-01 to the date of the data; text: attribution; text: its address
//	number of countries; two letters of each
//	number of city names; the length of each; the bytes of all
//	number of places; one column each of country (one byte), city name,
//	  latitude and longitude in tenths of a degree (signed), radius in km (0: no coordinates)
//	IPv4, then IPv6: number of ranges, length of the widths, the widths, length of the places, the places
//
// Ranges begin at the lowest address of the family and follow one another without a
// gap. A width counts addresses (IPv4) or /64 networks (IPv6). It is odd<<shift; its
// first byte is shift | form<<6, where form 0, 1, 2 stands for the odd part 1, 3, 5, and
// form 3 for 7 + 2 times the number that follows. The place of a range is 0 where
// nothing is known, else 1 + the place's index. Places are in order of how often they
// are named, so that the frequent ones are short.
//
// That of AS numbers is made in the same way of:
//
//	"kosmoscope as 1\n"
//	days from 1970-01-01 to the date of the data; number of credits; two texts each: credit, its address
//	number of ASs; the number of each; the length of the name of each; the bytes of all names
//	IPv4, then IPv6: as above, of ASs
package geo
