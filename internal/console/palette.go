package console

import (
	"github.com/kosmoscope/kosmoscope/internal/risk/policy"
	"github.com/kosmoscope/kosmoscope/internal/risk/signal"
)

// paletteSignal is a signal as the editor offers it.
type paletteSignal struct {
	Name   string         `json:"name"`
	Title  string         `json:"title"`
	Help   string         `json:"help"`
	Asks   string         `json:"asks"`
	Weight float64        `json:"weight"`
	Lowers bool           `json:"lowers"`
	Unit   string         `json:"unit"`
	Params []paletteParam `json:"params"`
}

// paletteParam has a number with its bounds, or a list.
type paletteParam struct {
	Name   string      `json:"name"`
	Title  string      `json:"title"`
	Help   string      `json:"help"`
	Kind   signal.Kind `json:"kind"`
	Unit   string      `json:"unit"`
	Number *float64    `json:"number,omitempty"`
	Min    *float64    `json:"min,omitempty"`
	Max    *float64    `json:"max,omitempty"`
	List   []string    `json:"list,omitzero"`
}

// palette is what the editor can use. It does not change while the program runs.
func palette() any {
	all := signal.All()
	signals := make([]paletteSignal, 0, len(all))
	for i := range all {
		s := &all[i]
		params := make([]paletteParam, 0, len(s.Params))
		for j := range s.Params {
			p := &s.Params[j]
			shown := paletteParam{Name: p.Name, Title: p.Title, Help: p.Help, Kind: p.Kind, Unit: p.Unit}
			if p.Kind == signal.List {
				shown.List = append([]string{}, p.List...)
			} else {
				shown.Number, shown.Min, shown.Max = &p.Number, &p.Min, &p.Max
			}
			params = append(params, shown)
		}
		signals = append(signals, paletteSignal{
			Name: s.Name, Title: s.Title, Help: s.Help, Asks: s.Asks, Weight: s.Weight, Lowers: s.Lowers, Unit: s.Unit, Params: params,
		})
	}
	return map[string]any{
		"signals": signals,
		"presets": policy.Presets(),
		"limits": map[string]any{
			"nodes": policy.MaxNodes, "edges": policy.MaxEdges, "expression": policy.MaxExpression,
			"weight": policy.MaxWeight, "score": policy.MaxScore, "bytes": policy.MaxBytes,
		},
		"expression": map[string]any{"variables": policy.Variables()},
	}
}
