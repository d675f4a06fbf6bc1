package flow

import "encoding/json"

// Document is an exported flow, as POST /v2/mgmt/flow/export gives it and
// POST /v2/mgmt/flow/import takes it. Keys we do not know are dropped on reading.
type Document struct {
	FlowID     string     `json:"flowId,omitempty"` // no underscore: the browser splits on it
	Metadata   Metadata   `json:"metadata"`
	Contents   Contents   `json:"contents"`
	Screens    []Screen   `json:"screens"`
	References References `json:"references"`
}

// Metadata describes a flow. SharedInteractions are the ways out of a flow that is
// made to be a subflow: its host names them as TASK.INTERACTION.
type Metadata struct {
	Name               string              `json:"name"`
	Description        string              `json:"description,omitempty"`
	ComponentsVersion  string              `json:"componentsVersion,omitempty"`
	Disabled           bool                `json:"disabled,omitempty"`
	Fingerprint        bool                `json:"fingerprint,omitempty"`
	Widget             bool                `json:"widget,omitempty"`
	SharedInteractions []SharedInteraction `json:"sharedInteractions,omitempty"`
	Management         bool                `json:"management,omitempty"`
}

// SharedInteraction is a way out of a subflow.
type SharedInteraction struct {
	ID   string `json:"id"` // TASK.INTERACTION
	Type string `json:"type,omitempty"`
}

// Contents are the tasks by id. StartTask is the id of the task without a type,
// "start" in every export seen.
type Contents struct {
	StartTask string           `json:"startTask"`
	Tasks     map[string]*Task `json:"tasks"`
}

// Kinds of tasks, by Task.Type.
const (
	TypeStart     = ""
	TypeAutomated = "automated"
	TypeScreen    = "screen"
	TypeCondition = "condition"
	TypeSubflow   = "flow"
)

// Interactions that are not ids of buttons or of branches.
const (
	Success = "success" // automated tasks
	Else    = "ELSE"    // conditions
	Polling = "polling" // screens with a polling element
	Submit  = "submit"  // the way back from a redirect
)

// Task is one step of a flow.
type Task struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
	Type string `json:"type,omitempty"`
	View View   `json:"view"`
	Next Next   `json:"next"`

	// Automated tasks. A subflow has the argument flowId.
	Action    string              `json:"action,omitempty"`
	Arguments map[string]Value    `json:"arguments,omitempty"`
	Errors    map[string]Handling `json:"errorHandlingV2,omitempty"` // by name of the error

	// Screens. ContextKeys are what of the context the browser may see.
	ScreenID    string   `json:"screenId,omitempty"`
	InputKeys   []string `json:"inputKeys,omitempty"`
	ContextKeys []string `json:"contextKeys,omitempty"`

	// Conditions, in their order; the last one is ELSE and has no atomic conditions.
	Conditions []Branch `json:"conditions,omitempty"`
}

// View is where the flow builder draws a task.
type View struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
}

// Next says which task follows which interaction.
type Next struct {
	Rules []Rule `json:"rules"`
}

// Rule is one edge.
type Rule struct {
	InteractionID string `json:"interactionId"` // "" after start
	TaskID        string `json:"taskId"`
}

// To is the task that follows an interaction; "" if none does.
func (t *Task) To(interaction string) string {
	for _, r := range t.Next.Rules {
		if r.InteractionID == interaction {
			return r.TaskID
		}
	}
	return ""
}

// Value is an argument, a condition's target or its predicate. Type "inline" is
// the value itself, whose strings may hold {{templates}}; "context" names a key of
// the context.
type Value struct {
	Type  string `json:"type"`
	Value any    `json:"value"`
}

// Inline and FromContext are the two types of Value.
const (
	Inline      = "inline"
	FromContext = "context"
)

// Handling is what happens after an error of an automated task. What a custom
// handling looks like in an export is inferred: a rule whose interaction is the name
// of the error.
type Handling struct {
	Type    string `json:"errorHandlingType"` // automatic, ignore, custom
	Message string `json:"errorMessage,omitempty"`
}

// Ways of handling an error.
const (
	Automatic = "automatic" // back to the last screen, which shows the message
	Ignore    = "ignore"    // go on as if all were well
	Custom    = "custom"    // another task, by the rule of the error's name
)

// Names of errors of a connector task. Which failure is which is inferred:
// request_error is what HTTP came to (no answer, too late, no 2xx, no JSON),
// ConnectorFailed that the connector could not be run at all.
const (
	ConnectorFailed = "ConnectorFailed"
	RequestError    = "request_error"
)

// Branch is one way out of a condition: taken if all of its atomic conditions
// hold. That several mean "and" is inferred; "or" is several branches to one task.
type Branch struct {
	InteractionID string   `json:"interactionId"`
	Name          string   `json:"name,omitempty"`
	Atomic        []Atomic `json:"atomicConditions,omitempty"`
}

// Atomic compares one key of the context.
type Atomic struct {
	Operator  string `json:"operator"`
	Target    Value  `json:"target"`
	Predicate *Value `json:"predicate,omitempty"`
}

// Screen is one screen. Contents are what the screen editor keeps: nodes by key,
// with ROOT on top.
type Screen struct {
	ScreenID     string           `json:"screenId"`
	Interactions []Interaction    `json:"interactions"`
	Contents     map[string]*Node `json:"contents"`
}

// Interaction is something a person can do on a screen.
type Interaction struct {
	ID    string `json:"id"`
	Type  string `json:"type,omitempty"` // button, polling
	Label string `json:"label,omitempty"`
}

// Node is one component of a screen.
type Node struct {
	Type        NodeType          `json:"type"`
	Props       map[string]any    `json:"props"`
	Parent      string            `json:"parent,omitempty"`
	Nodes       []string          `json:"nodes"`
	LinkedNodes map[string]string `json:"linkedNodes"`
	Custom      map[string]any    `json:"custom"`
	DisplayName string            `json:"displayName,omitempty"`
	Hidden      bool              `json:"hidden"`
	IsCanvas    bool              `json:"isCanvas"`
}

// NodeType names a component.
type NodeType struct {
	ResolvedName string `json:"resolvedName"`
}

// Root is the key of the node on top.
const Root = "ROOT"

// References are what a flow needs to exist in the project, by name. The ids are
// those of the project it was exported from.
type References struct {
	Connectors       map[string]string `json:"connectors,omitempty"`
	Roles            map[string]string `json:"roles,omitempty"`
	OAuth            []string          `json:"oauth,omitempty"`
	UserAttributes   []string          `json:"userAttributes,omitempty"`
	TenantAttributes []string          `json:"tenantAttributes,omitempty"`
	Omitted          []string          `json:"omitted,omitempty"`
}

// Arg is an argument's value; nil if there is none.
func (t *Task) Arg(name string) any { return t.Arguments[name].Value }

// KeyValue is one of the "args" of a connector task.
type KeyValue struct {
	Key   string `json:"key"`
	Type  string `json:"type,omitempty"`
	Value any    `json:"value"`
}

// ConnectorArgs reads the argument "args" of a connector task.
func (t *Task) ConnectorArgs() (map[string]any, error) {
	b, err := json.Marshal(t.Arg("args"))
	if err != nil {
		return nil, err
	}
	var list []KeyValue
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, err
	}
	m := make(map[string]any, len(list))
	for _, kv := range list {
		m[kv.Key] = kv.Value
	}
	return m, nil
}
