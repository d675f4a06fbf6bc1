package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxDepth is how deep a document nests: {"nodes":[{"params":{"x":[...]}}]} is five.
const maxDepth = 8

// maxProblems is how many problems are told at once; a person mends no more in one go.
const maxProblems = 100

// Parse reads a document strictly: names that this program does not know, names that
// come twice, numbers that are none, and anything after the end are problems. The
// document is nil if there are any. It is not checked yet; see Document.Check.
func Parse(raw []byte) (*Document, []Problem) {
	if len(raw) > MaxBytes {
		return nil, []Problem{{Code: "too_big", Message: fmt.Sprintf("The document has %d bytes; at most %d are read. Take parts out.", len(raw), MaxBytes)}}
	}
	if !utf8.Valid(raw) {
		return nil, []Problem{{Code: "bad_json", Message: "The document is not UTF-8. Save it as UTF-8."}}
	}
	r := reader{dec: json.NewDecoder(bytes.NewReader(raw))}
	r.dec.UseNumber()
	if err := r.value(place{level: levelDocument}, 0); err != nil {
		return nil, []Problem{{Code: "bad_json", Message: fmt.Sprintf("The document is not JSON as it is expected, at byte %d: %s.", r.dec.InputOffset(), plain(err))}}
	}
	if _, err := r.dec.Token(); !errors.Is(err, io.EOF) {
		r.add(Problem{Code: "bad_json", Message: fmt.Sprintf("Something follows after the end of the document, at byte %d. Remove it.", r.dec.InputOffset())})
	}
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	d := r.decode(raw)
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	return d, nil
}

// plain is an error of encoding/json without the name of the package.
func plain(err error) string {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "it ends too early"
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

// reader walks a document token by token, for what encoding/json lets pass: names that
// come twice, in another case, or that nobody knows.
type reader struct {
	dec      *json.Decoder
	problems []Problem
}

type level int

const (
	levelDocument level = iota
	levelNodes
	levelNode
	levelEdges
	levelEdge
	levelFree // a value whose names are free
)

// place is where in the document something stands.
type place struct {
	level level
	node  string // id of the node, if it came before what is wrong
	at    string // in words, for a node or an edge
}

var names = map[level][]string{
	levelDocument: {"format", "name", "description", "nodes", "edges", "otherwise"},
	levelNode:     {"id", "type", "label", "signal", "params", "unknown", "op", "value", "expression", "weight", "how", "decision", "x", "y"},
	levelEdge:     {"from", "to"},
}

func (r *reader) add(p Problem) {
	if len(r.problems) < maxProblems {
		r.problems = append(r.problems, p)
	}
}

// value reads one value and looks at the names in it.
func (r *reader) value(p place, depth int) error {
	t, err := r.dec.Token()
	if err != nil {
		return err
	}
	open, ok := t.(json.Delim)
	if !ok {
		if p.level == levelDocument {
			return errors.New("a policy is an object, in { }")
		}
		return nil
	}
	if depth++; depth > maxDepth {
		return errors.New("it nests too deep")
	}
	if open == '[' {
		if p.level == levelDocument {
			return errors.New("a policy is an object, in { }")
		}
		if err := r.list(p, depth); err != nil {
			return err
		}
	} else if err := r.object(p, depth); err != nil {
		return err
	}
	_, err = r.dec.Token() // the closing one; the decoder checks that it fits
	return err
}

func (r *reader) list(p place, depth int) error {
	for i := 0; r.dec.More(); i++ {
		item := place{level: levelFree, node: p.node}
		switch p.level {
		case levelNodes:
			if i == MaxNodes {
				return fmt.Errorf("there are more than %d nodes; take some out", MaxNodes)
			}
			item = place{level: levelNode, at: fmt.Sprintf("node number %d", i+1)}
		case levelEdges:
			if i == MaxEdges {
				return fmt.Errorf("there are more than %d edges; take some out", MaxEdges)
			}
			item = place{level: levelEdge, at: fmt.Sprintf("edge number %d", i+1)}
		}
		if err := r.value(item, depth); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) object(p place, depth int) error {
	seen := map[string]bool{}
	for r.dec.More() {
		t, err := r.dec.Token()
		if err != nil {
			return err
		}
		name, ok := t.(string)
		if !ok {
			return errors.New("a name is missing")
		}
		if seen[name] {
			r.add(Problem{Node: p.node, Field: clip(name), Code: "duplicate_field", Message: fmt.Sprintf("%q stands twice%s. Remove one.", clip(name), p.in())})
		}
		seen[name] = true
		if known := names[p.level]; known != nil && !slices.Contains(known, name) {
			r.add(Problem{Node: p.node, Field: clip(name), Code: "unknown_field", Message: fmt.Sprintf(
				"%q%s is not a name that is known here. Remove it, or is the document from a newer version of the program?", clip(name), p.in())})
		}
		inner := place{level: levelFree, node: p.node}
		if p.level == levelDocument && name == "nodes" {
			inner.level = levelNodes
		}
		if p.level == levelDocument && name == "edges" {
			inner.level = levelEdges
		}
		if err := r.value(inner, depth); err != nil {
			return err
		}
	}
	return nil
}

// in is where something stands, to end a sentence with.
func (p place) in() string {
	if p.at == "" {
		return ""
	}
	return " in " + p.at
}

// decode reads the fields one by one, so that all that have a wrong type are told.
func (r *reader) decode(raw []byte) *Document {
	var top struct {
		Format      json.RawMessage `json:"format"`
		Name        json.RawMessage `json:"name"`
		Description json.RawMessage `json:"description"`
		Nodes       json.RawMessage `json:"nodes"`
		Edges       json.RawMessage `json:"edges"`
		Otherwise   json.RawMessage `json:"otherwise"`
	}
	if err := json.Unmarshal(raw, &top); err != nil {
		r.add(Problem{Code: "bad_json", Message: fmt.Sprintf("The document is not JSON: %s.", plain(err))})
		return nil
	}
	d := &Document{}
	var nodes, edges []json.RawMessage
	for _, f := range []struct {
		name string
		raw  json.RawMessage
		into any
	}{
		{"format", top.Format, &d.Format}, {"name", top.Name, &d.Name}, {"description", top.Description, &d.Description},
		{"otherwise", top.Otherwise, &d.Otherwise}, {"nodes", top.Nodes, &nodes}, {"edges", top.Edges, &edges},
	} {
		if f.raw != nil {
			r.typed(json.Unmarshal(f.raw, f.into), "", f.name, "")
		}
	}
	d.Nodes, d.Edges = make([]Node, len(nodes)), make([]Edge, len(edges))
	for i, n := range nodes {
		r.typed(json.Unmarshal(n, &d.Nodes[i]), d.Nodes[i].ID, "", fmt.Sprintf(" in node number %d", i+1))
	}
	for i, e := range edges {
		r.typed(json.Unmarshal(e, &d.Edges[i]), "", "", fmt.Sprintf(" in edge number %d", i+1))
	}
	return d
}

// typed tells a value of a wrong type.
func (r *reader) typed(err error, node, field, in string) {
	if err == nil {
		return
	}
	p := Problem{Node: clip(node), Field: field, Code: "bad_type", Message: fmt.Sprintf("A value%s cannot be read: %s.", in, clip(plain(err)))}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if wrong.Field != "" {
			p.Field = wrong.Field
		}
		name := p.Field
		if name == "" {
			name = "This"
		} else {
			name = fmt.Sprintf("%q", name)
		}
		if number, ok := strings.CutPrefix(wrong.Value, "number "); ok {
			p.Code = "bad_number"
			p.Message = fmt.Sprintf("%s%s is %s, which is no number that fits here. Give another one.", name, in, clip(number))
		} else {
			p.Message = fmt.Sprintf("%s%s must be %s, not %s.", name, in, kindOf(wrong), article(wrong.Value))
		}
	}
	r.add(p)
}

func kindOf(e *json.UnmarshalTypeError) string {
	switch e.Type.Kind().String() {
	case "string":
		return "a text"
	case "slice":
		return "a list"
	case "struct", "map":
		return "an object"
	}
	return "a number"
}

func article(json string) string {
	switch json {
	case "string":
		return "a text"
	case "array":
		return "a list"
	case "object":
		return "an object"
	case "bool":
		return "true or false"
	}
	return "a " + json
}

// clip keeps what somebody else wrote short enough for a message.
func clip(s string) string { return clipTo(s, 80) }

func clipTo(s string, most int) string {
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "..."
}
