package risk

import (
	"encoding/json"
	"fmt"
)

// Tri is a fact that is true, false, or cannot be told.
type Tri int8

// The zero value says that it cannot be told.
const (
	Unknown Tri = 0
	Yes     Tri = 1
	No      Tri = -1
)

// TriOf is Yes or No.
func TriOf(b bool) Tri {
	if b {
		return Yes
	}
	return No
}

func (t Tri) String() string {
	switch t {
	case Yes:
		return "yes"
	case No:
		return "no"
	}
	return "unknown"
}

// MarshalJSON writes true, false or null.
func (t Tri) MarshalJSON() ([]byte, error) {
	switch t {
	case Yes:
		return []byte("true"), nil
	case No:
		return []byte("false"), nil
	}
	return []byte("null"), nil
}

// UnmarshalJSON reads true, false or null.
func (t *Tri) UnmarshalJSON(b []byte) error {
	var v *bool
	if err := json.Unmarshal(b, &v); err != nil {
		return fmt.Errorf("risk: a fact must be true, false or null: %w", err)
	}
	*t = Unknown
	if v != nil {
		*t = TriOf(*v)
	}
	return nil
}
