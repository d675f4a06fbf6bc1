package kosmos

import (
	"fmt"
	"strings"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/seal"
)

// sealer is a seal.Sealer whose places are table, column and row.
type sealer struct{ seal.Sealer }

func newSealer(key []byte) (sealer, error) {
	s, err := seal.New(key)
	return sealer{s}, err
}

func (s sealer) seal(place string, plain []byte) []byte { return s.Seal(place, plain) }

func (s sealer) open(place string, sealed []byte) ([]byte, error) {
	plain, err := s.Open(place, sealed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", column(place), err)
	}
	return plain, nil
}

// column is the place without the row, which an error must not tell: that of a
// session is the bearer part of its link.
func column(place string) string {
	table, rest, _ := strings.Cut(place, "/")
	name, _, _ := strings.Cut(rest, "/")
	return table + "." + name
}
