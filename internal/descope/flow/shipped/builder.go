package shipped

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
)

// builder makes one document. Tasks are laid out in the order in which they are
// made: those of the way through the flow below each other, those beside it to the
// right of the one before them.
type builder struct {
	n     *flow.Names
	d     *flow.Document
	order []placed
	row   int // next free one of the way through
	side  int // how many stand beside the last of the way through
}

// placed is a task with its place in the grid of the layout.
type placed struct {
	task     *flow.Task
	col, row int
	owner    int // index of the task it stands beside; -1 on the way through
}

// beside is how many tasks stand beside each other to the right of the way through.
const beside = 2

func newBuilder(n *flow.Names, id, name, description string) *builder {
	b := &builder{n: n, d: &flow.Document{FlowID: id}}
	b.d.Metadata = flow.Metadata{Name: name, Description: description}
	b.d.Contents.StartTask = start
	b.d.Contents.Tasks = map[string]*flow.Task{}
	b.d.Screens = []flow.Screen{}
	b.main(&flow.Task{ID: start})
	return b
}

// main puts a task on the way through the flow.
func (b *builder) main(t *flow.Task) *flow.Task {
	if b.side > 0 {
		b.row = max(b.row, b.order[len(b.order)-1].row+1)
	}
	b.side = 0
	return b.place(t, 0, b.row, -1)
}

// aside puts a task beside the last one of the way through.
func (b *builder) aside(t *flow.Task) *flow.Task {
	at := len(b.order) - 1
	for b.order[at].owner >= 0 {
		at--
	}
	col, row := 1+b.side%beside, b.order[at].row+b.side/beside
	b.side++
	return b.place(t, col, row, at)
}

func (b *builder) place(t *flow.Task, col, row, owner int) *flow.Task {
	if b.d.Contents.Tasks[t.ID] != nil {
		panic("shipped: two tasks " + t.ID) // a mistake in a definition; every test of them meets it
	}
	t.View = flow.View{X: float64(col * 340), Y: float64(row * 180)}
	b.d.Contents.Tasks[t.ID] = t
	b.order = append(b.order, placed{t, col, row, owner})
	if owner < 0 {
		b.row = row + 1
	}
	return t
}

// edge is a way out of a task: interaction and the task it leads to.
type edge struct{ interaction, to string }

func to(t *flow.Task, edges ...edge) *flow.Task {
	for _, e := range edges {
		t.Next.Rules = append(t.Next.Rules, flow.Rule{InteractionID: e.interaction, TaskID: e.to})
	}
	return t
}

// out declares ways out of a subflow.
func (b *builder) out(task string, interactions ...string) {
	for _, i := range interactions {
		b.d.Metadata.SharedInteractions = append(b.d.Metadata.SharedInteractions, flow.SharedInteraction{ID: task + "." + i})
	}
}

func inline(v any) flow.Value { return flow.Value{Type: flow.Inline, Value: v} }

func template(key string) string { return "{{" + key + "}}" }

// argument of an automated task.
type argument struct {
	name  string
	value any
}

func action(id, name, action string, next string, args ...argument) *flow.Task {
	t := &flow.Task{ID: id, Name: name, Type: flow.TypeAutomated, Action: action, Arguments: map[string]flow.Value{}}
	for _, a := range args {
		t.Arguments[a.name] = inline(a.value)
	}
	if next != "" {
		to(t, edge{flow.Success, next})
	}
	return t
}

// pairs is a list of names and values, as actions take it.
func pairs(list ...[2]string) []flow.KeyValue {
	out := make([]flow.KeyValue, len(list))
	for i, p := range list {
		out[i] = flow.KeyValue{Key: p[0], Type: "string", Value: p[1]}
	}
	return out
}

// node is one call of the bridge. What it does not answer leads to trouble; to next only
// if there is no trouble, which is for what nobody is let in by.
type node struct {
	id, name string
	endpoint string
	payload  []field
	key      string // the answer's place below connectors
	timeout  int    // seconds
	next     string
	trouble  string
}

// field of a payload. Only constants and keys whose values nobody can type anything
// into: whether Descope escapes values in a payload is unknown.
type field struct {
	name  string
	value any
}

// bare is a template that becomes JSON by itself, and so has no quotes.
type bare string

// lists are fields whose templates become lists, in the way that names.yaml says is right.
func (b *builder) lists(fields ...field) []field {
	switch b.n.ListsInPayload {
	case flow.ListNothing:
		return nil
	case flow.ListJSON:
		for i, f := range fields {
			fields[i].value = bare(f.value.(string))
		}
	}
	return fields
}

func (b *builder) call(c node) *flow.Task {
	var payload strings.Builder
	for i, f := range c.payload {
		v, err := json.Marshal(f.value)
		if err != nil {
			panic("shipped: " + err.Error()) // constants of ours
		}
		if raw, ok := f.value.(bare); ok {
			v = []byte(raw)
		}
		payload.WriteString(map[bool]string{true: "{", false: ","}[i == 0] + strconv.Quote(f.name) + ":" + string(v))
	}
	payload.WriteString("}")
	k := b.n.Connector
	t := action(c.id, c.name, k.Action, c.next,
		argument{"connectorId", k.ID}, argument{"templateId", k.Template}, argument{"command", k.Commands["POST"]},
		argument{"args", []flow.KeyValue{
			{Key: k.Args.Endpoint, Type: "string", Value: c.endpoint},
			{Key: k.Args.Payload, Type: "string", Value: payload.String()},
			{Key: k.Args.Timeout, Type: "number", Value: c.timeout},
		}},
		argument{"async", false}, argument{"resultPath", c.key})
	t.Errors = map[string]flow.Handling{}
	for _, name := range []string{flow.ConnectorFailed, flow.RequestError} {
		if c.trouble == "" {
			t.Errors[name] = flow.Handling{Type: flow.Ignore}
			continue
		}
		t.Errors[name] = flow.Handling{Type: flow.Custom}
		to(t, edge{name, c.trouble})
	}
	b.d.References.Connectors = map[string]string{k.Name: k.ID}
	return t
}

// answer is the key of a field of a node's answer.
func answer(key, field string) string { return "connectors." + key + "." + field }

// branch of a condition: taken if all of it holds.
type branch struct {
	id, name string
	holds    []flow.Atomic
	to       string // "" if it is a way out
}

func (b *builder) condition(id, name string, branches []branch, otherwise, elseTo string) *flow.Task {
	t := &flow.Task{ID: id, Name: name, Type: flow.TypeCondition}
	for _, x := range append(branches, branch{id: flow.Else, name: otherwise, to: elseTo}) {
		t.Conditions = append(t.Conditions, flow.Branch{InteractionID: x.id, Name: x.name, Atomic: x.holds})
		if x.to != "" {
			to(t, edge{x.id, x.to})
		}
	}
	return t
}

func key(k string) flow.Value { return flow.Value{Type: flow.FromContext, Value: k} }

func test(k, operator string) flow.Atomic { return flow.Atomic{Operator: operator, Target: key(k)} }

func compare(k, operator string, value any) flow.Atomic {
	v := inline(value)
	return flow.Atomic{Operator: operator, Target: key(k), Predicate: &v}
}

// part is a component of a screen. A part with an interaction is something a person
// can do there.
type part struct {
	component string
	props     map[string]any
	does      flow.Interaction
	to        string // where it leads; "" if it is a way out
}

func (b *builder) heading(text string) part {
	return part{component: b.n.Components.Text, props: map[string]any{"children": text, "variant": "h2"}}
}

func (b *builder) text(text string) part {
	return part{component: b.n.Components.Text, props: map[string]any{"children": text, "variant": "body1"}}
}

func (b *builder) link(label, key string) part {
	return part{component: b.n.Components.Link, props: map[string]any{"children": label, "href": template(key), "target": "_blank"}}
}

func (b *builder) email() part {
	return part{component: b.n.Components.Email, props: map[string]any{"name": "email", "label": "E-mail address", "required": true}}
}

func (b *builder) code() part {
	return part{component: b.n.Components.Code, props: map[string]any{"name": "code", "digits": 6}}
}

// button is one of the variants contained, outline and link.
func (b *builder) button(variant, id, label, to string) part {
	props := map[string]any{"id": id, "data-type": "button", "children": label, "variant": variant}
	if variant != contained {
		props["formnovalidate"] = true
	}
	return part{b.n.Components.Button, props, flow.Interaction{ID: id, Type: "button", Label: label}, to}
}

const (
	contained = "contained"
	outline   = "outline"
	plain     = "link"
)

// polling asks again and again, until what it leads to comes to another screen.
func (b *builder) polling(to string) part {
	return part{b.n.Components.Polling, map[string]any{"data-type": "polling"}, flow.Interaction{ID: flow.Polling, Type: "polling"}, to}
}

// screen makes a screen of parts, and adds the place for the words of an error. What
// it shows of the context and what it asks for follow from its parts.
func (b *builder) screen(id, name string, parts ...part) *flow.Task {
	// A screen's file is found by its id alone, in all the project.
	t := &flow.Task{ID: id, Name: name, Type: flow.TypeScreen, ScreenID: b.d.FlowID + "-" + id}
	s := flow.Screen{ScreenID: t.ScreenID, Interactions: []flow.Interaction{}, Contents: map[string]*flow.Node{}}
	root := b.node(b.n.Components.Container, map[string]any{"direction": "column"})
	root.IsCanvas = true
	s.Contents[flow.Root] = root
	trouble := part{component: b.n.Components.Error, props: map[string]any{"data-type": "error-message"}}
	if at := slices.IndexFunc(parts, func(p part) bool { return p.component == b.n.Components.Button }); at >= 0 {
		parts = slices.Insert(slices.Clone(parts), at, trouble)
	} else {
		parts = append(slices.Clone(parts), trouble)
	}
	for i, p := range parts {
		k := fmt.Sprintf("n%d", i+1)
		s.Contents[k] = b.node(p.component, p.props)
		s.Contents[k].Parent = flow.Root
		root.Nodes = append(root.Nodes, k)
		if p.does.ID != "" {
			s.Interactions = append(s.Interactions, p.does)
			if p.to != "" {
				to(t, edge{p.does.ID, p.to})
			}
		}
		if name, ok := p.props["name"].(string); ok {
			t.InputKeys = append(t.InputKeys, b.n.Keys.Form+"."+name)
		}
		for _, prop := range []string{"children", "href", "src"} {
			text, _ := p.props[prop].(string)
			for _, k := range templates(text) {
				if !slices.Contains(t.ContextKeys, k) {
					t.ContextKeys = append(t.ContextKeys, k)
				}
			}
		}
	}
	b.d.Screens = append(b.d.Screens, s)
	return t
}

func (b *builder) node(component string, props map[string]any) *flow.Node {
	return &flow.Node{
		Type: flow.NodeType{ResolvedName: component}, Props: props, Nodes: []string{}, LinkedNodes: map[string]string{}, Custom: map[string]any{},
		DisplayName: component,
	}
}

// templates are the keys in a text's {{templates}}.
func templates(text string) (keys []string) {
	for {
		_, rest, ok := strings.Cut(text, "{{")
		if !ok {
			return keys
		}
		key, after, ok := strings.Cut(rest, "}}")
		if !ok {
			return keys
		}
		keys, text = append(keys, strings.TrimSpace(key)), after
	}
}
