package signal

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// Bounds of a list that is given as a parameter.
const (
	maxList = 100
	maxText = 200
)

// All lists the signals, in the order in which people read them.
func All() []Signal {
	return []Signal{
		newDevice, unfamiliarIP, geoAnomaly, impossibleTravel, sensitiveScope, velocity, dormantAccount, unusualHour, anonymiser,
		descopeRisk, recentProofing,
	}
}

// ByName finds a signal.
func ByName(name string) (Signal, bool) {
	for _, s := range All() {
		if s.Name == name {
			return s, true
		}
	}
	return Signal{}, false
}

// Complete checks settings as JSON gives them (float64, []any of string) and fills in the
// defaults of those that are missing. The error is a sentence for whoever wrote them.
func (s Signal) Complete(given map[string]any) (Params, error) {
	p := Params{}
	for name := range given {
		if !slices.ContainsFunc(s.Params, func(d Param) bool { return d.Name == name }) {
			return nil, fmt.Errorf("%s has no setting %q", s.Name, name)
		}
	}
	for _, d := range s.Params {
		v, ok := given[d.Name]
		if !ok || v == nil {
			if d.Kind == List {
				p[d.Name] = slices.Clone(d.List)
			} else {
				p[d.Name] = d.Number
			}
			continue
		}
		var err error
		if d.Kind == List {
			p[d.Name], err = list(v)
		} else {
			p[d.Name], err = d.number(v)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %s %w", s.Name, d.Name, err)
		}
	}
	return p, nil
}

func (d Param) number(v any) (float64, error) {
	n, ok := v.(float64)
	if i, is := v.(int); is {
		n, ok = float64(i), true
	}
	if !ok || !finite(n) {
		return 0, errors.New("must be a number")
	}
	if n < d.Min || n > d.Max {
		return 0, fmt.Errorf("must be from %s to %s", plain(d.Min), plain(d.Max))
	}
	return n, nil
}

// plain writes a number without an exponent.
func plain(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

func list(v any) ([]string, error) {
	out := []string{}
	switch l := v.(type) {
	case []string:
		out = append(out, l...)
	case []any:
		for _, e := range l {
			s, ok := e.(string)
			if !ok {
				return nil, errors.New("must be a list of texts")
			}
			out = append(out, s)
		}
	default:
		return nil, errors.New("must be a list of texts")
	}
	if len(out) > maxList {
		return nil, fmt.Errorf("must have at most %d items", maxList)
	}
	for _, s := range out {
		if s == "" || len(s) > maxText {
			return nil, fmt.Errorf("must have items of 1 to %d bytes", maxText)
		}
	}
	return out, nil
}

func (p Params) number(name string) float64 { n, _ := p[name].(float64); return n }
func (p Params) list(name string) []string  { l, _ := p[name].([]string); return l }
