package eval

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
)

// Gate bounds figures of a report: a pattern of metric names, with * for a part
// between slashes, and the least and the greatest value that each may have.
type Gate struct {
	Note   string           `json:"note,omitempty"`
	Bounds map[string]Bound `json:"bounds"`
}

// Bound is inclusive; nil is no bound.
type Bound struct {
	Min *float64 `json:"min,omitempty"`
	Max *float64 `json:"max,omitempty"`
}

// Verdict of a gate: nothing broke exactly when Broken is empty.
type Verdict struct {
	Checked int      `json:"checked"` // figures that were held against bounds
	Broken  []string `json:"broken"`
}

// ParseGate reads a gate. One that bounds nothing is an error.
func ParseGate(b []byte) (*Gate, error) {
	var g Gate
	if err := strict(b, &g); err != nil {
		return nil, fmt.Errorf("gate: %w", err)
	}
	if len(g.Bounds) == 0 {
		return nil, errors.New("gate: it has no bounds and so could not fail")
	}
	for pattern, b := range g.Bounds {
		if b.Min == nil && b.Max == nil {
			return nil, fmt.Errorf("gate: %s has neither min nor max", pattern)
		}
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, fmt.Errorf("gate: %s: %w", pattern, err)
		}
	}
	return &g, nil
}

// Check holds the figures of a report against the bounds. A bound for what was not
// measured is broken, and so is every partial report.
func (g *Gate) Check(r *Report) Verdict {
	v := Verdict{Broken: []string{}}
	say := func(format string, args ...any) { v.Broken = append(v.Broken, fmt.Sprintf(format, args...)) }
	if r.Partial {
		say("the report is partial")
	}
	for _, pattern := range slices.Sorted(maps.Keys(g.Bounds)) {
		b, found := g.Bounds[pattern], false
		for _, name := range slices.Sorted(maps.Keys(r.Metrics)) {
			if ok, _ := path.Match(pattern, name); !ok {
				continue
			}
			found = true
			v.Checked++
			value := r.Metrics[name]
			if b.Min != nil && !(value >= *b.Min) {
				say("%s is %.4g, at least %.4g is wanted", name, value, *b.Min)
			}
			if b.Max != nil && !(value <= *b.Max) {
				say("%s is %.4g, at most %.4g is wanted", name, value, *b.Max)
			}
		}
		if !found {
			say("%s was not measured", pattern)
		}
	}
	return v
}
