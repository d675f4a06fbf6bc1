package signal

import "github.com/kosmoscope/kosmoscope/internal/risk"

// Signal is one kind of risk fact.
type Signal struct {
	Name   string  // as policies and reasons name it
	Title  string  // for people, as "New device"
	Help   string  // when it fires, and when it cannot tell; a sentence or two
	Asks   string  // ends the sentence "Ask for a face when ...", as "the device is new"
	Weight float64 // points that it adds to a score if a policy says nothing else; negative if it lowers
	// Lowers says that firing is good news. Where such a signal cannot tell, it has not fired.
	Lowers bool
	Unit   string // of Reading.Value, as "km/h"; empty if there is none
	Params []Param
	// Bind takes the parameters, complete and checked (see Complete), and gives the reader.
	Bind func(p Params) func(o *risk.Observation) risk.Reading
}

// Param is one setting of a signal.
type Param struct {
	Name, Title, Help string
	Kind              Kind
	Unit              string  // of a number
	Number            float64 // default, if it is a number
	Min, Max          float64
	List              []string // default, if it is a list
}

// Kind is what a parameter is made of.
type Kind string

// Kinds of parameters.
const (
	Number Kind = "number"
	List   Kind = "list"
)

// Params are settings by name: float64 or []string.
type Params map[string]any
