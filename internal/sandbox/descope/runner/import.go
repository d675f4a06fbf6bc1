package runner

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
)

// Problem is something about a flow that does not run here as it should. A flow
// with a Fatal one is refused.
type Problem struct {
	Flow  string `json:"flow"`
	Place string `json:"place"` // such as: task 7 "Is risk high?"; empty if it is the whole flow
	Text  string `json:"text"`
	Fatal bool   `json:"fatal"`
}

func (p Problem) String() string {
	s := "flow " + p.Flow + ": "
	if p.Place != "" {
		s += p.Place + ": "
	}
	return s + p.Text
}

// Refused reports whether any problem keeps a flow out.
func Refused(problems []Problem) bool {
	return slices.ContainsFunc(problems, func(p Problem) bool { return p.Fatal })
}

// compiled is a flow that was taken in. It is never changed.
type compiled struct {
	doc     *flow.Document
	version int
	screens map[string]*flow.Screen
	fields  map[string]map[string]bool // by screen, the names of its inputs
}

// Version is a number that changes with a flow's content, as the version that the
// browser learns from config.json and sends along.
func Version(doc *flow.Document) int {
	b, err := json.Marshal(doc)
	if err != nil {
		return 1
	}
	h := fnv.New32a()
	_, _ = h.Write(b)
	return int(h.Sum32()&0x3fffffff) + 1
}

// Import takes in a flow, also in the place of one of the same id, whose executions
// end with ErrVersion. What is wrong with it comes back in the order of its tasks;
// see Refused.
func (r *Runner) Import(doc *flow.Document) []Problem {
	c, err := compile(doc, r.opt.Version)
	if err != nil {
		return []Problem{{Flow: doc.FlowID, Text: "is no flow: " + err.Error(), Fatal: true}}
	}
	problems := r.check(c)
	if !Refused(problems) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if old := r.flows[c.doc.FlowID]; old == nil || old.version != c.version || !reflect.DeepEqual(old.doc, c.doc) {
			r.flows[c.doc.FlowID] = c
		}
	}
	return problems
}

// compile copies a document by way of JSON, so that its values are what JSON knows.
func compile(doc *flow.Document, version func(*flow.Document) int) (*compiled, error) {
	b, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	c := &compiled{doc: new(flow.Document), screens: map[string]*flow.Screen{}, fields: map[string]map[string]bool{}}
	if err := json.Unmarshal(b, c.doc); err != nil {
		return nil, err
	}
	c.version = version(c.doc)
	for i := range c.doc.Screens {
		s := &c.doc.Screens[i]
		c.screens[s.ScreenID] = s
		names := map[string]bool{}
		for _, node := range s.Contents {
			if node == nil {
				continue
			}
			if name, ok := node.Props["name"].(string); ok && name != "" {
				names[name] = true
			}
		}
		c.fields[s.ScreenID] = names
	}
	return c, nil
}

// List are the flows by id. They are not to be changed.
func (r *Runner) List() []*flow.Document {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var docs []*flow.Document
	for _, id := range slices.Sorted(maps.Keys(r.flows)) {
		docs = append(docs, r.flows[id].doc)
	}
	return docs
}

// Problems are those of all flows as they are now: a flow that another calls may
// have come after it.
func (r *Runner) Problems() []Problem {
	r.mu.RLock()
	flows := maps.Clone(r.flows)
	r.mu.RUnlock()
	var problems []Problem
	for _, id := range slices.Sorted(maps.Keys(flows)) {
		problems = append(problems, r.check(flows[id])...)
	}
	return problems
}

// Export is a flow as it was imported.
func (r *Runner) Export(id string) (*flow.Document, error) {
	c := r.flow(id)
	if c == nil {
		return nil, ErrNoFlow
	}
	return c.doc, nil
}

// Delete forgets a flow; its executions end with ErrVersion.
func (r *Runner) Delete(id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.flows[id] == nil {
		return ErrNoFlow
	}
	delete(r.flows, id)
	return nil
}

func (r *Runner) flow(id string) *compiled {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.flows[id]
}

// A flow's id becomes part of URLs and of execution ids.
var flowID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]{0,99}$`)

// inspection collects what is wrong with a flow.
type inspection struct {
	*Runner
	*compiled
	place    string
	problems []Problem
}

func (i *inspection) add(fatal bool, format string, args ...any) {
	i.problems = append(i.problems, Problem{i.doc.FlowID, i.place, fmt.Sprintf(format, args...), fatal})
}

func (i *inspection) fatal(format string, args ...any) { i.add(true, format, args...) }
func (i *inspection) warn(format string, args ...any)  { i.add(false, format, args...) }

func (r *Runner) check(c *compiled) []Problem {
	i := &inspection{Runner: r, compiled: c}
	switch {
	case c.doc.FlowID == "":
		i.fatal("has no flowId")
	case strings.Contains(c.doc.FlowID, "_"):
		i.fatal("its id has an underscore, by which the browser splits what it comes back with")
	case !flowID.MatchString(c.doc.FlowID):
		i.fatal("its id may have letters, digits, dots and hyphens only, and no more than 100")
	}
	if len(c.doc.Contents.Tasks) == 0 {
		i.fatal("has no tasks")
		return i.problems
	}
	if s := c.doc.Contents.Tasks[c.doc.Contents.StartTask]; s == nil {
		i.fatal("its start task %q does not exist", c.doc.Contents.StartTask)
	} else if len(s.Next.Rules) == 0 {
		i.fatal("nothing follows its start")
	}
	ids := slices.SortedFunc(maps.Keys(c.doc.Contents.Tasks), byNumber)
	for _, id := range ids {
		t := c.doc.Contents.Tasks[id]
		i.place = "task " + id
		if t == nil {
			i.fatal("is null")
			continue
		}
		if t.Name != "" {
			i.place += fmt.Sprintf(" %q", t.Name)
		}
		i.task(id, t)
	}
	for n := range c.doc.Screens {
		s := &c.doc.Screens[n]
		i.place = "screen " + s.ScreenID
		i.screen(s)
	}
	i.place = ""
	if r.opt.Screens != nil {
		for _, err := range r.opt.Screens(c.doc) {
			i.fatal("%s", err)
		}
	}
	for _, shared := range c.doc.Metadata.SharedInteractions {
		task := i.doc.Contents.Tasks[beforeDot(shared.ID, i.doc.Contents.Tasks)]
		if task == nil {
			i.warn("its shared interaction %q is that of no task", shared.ID)
		}
	}
	return i.problems
}

// byNumber sorts ids of tasks as people count: 2 before 10.
func byNumber(a, b string) int {
	if len(a) != len(b) && a != "" && b != "" && a[0] >= '0' && a[0] <= '9' && b[0] >= '0' && b[0] <= '9' {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// beforeDot is the task in TASK.INTERACTION; both may have dots.
func beforeDot(shared string, tasks map[string]*flow.Task) string {
	for at := strings.LastIndex(shared, "."); at >= 0; at = strings.LastIndex(shared[:at], ".") {
		if tasks[shared[:at]] != nil {
			return shared[:at]
		}
	}
	return ""
}

func (i *inspection) task(id string, t *flow.Task) {
	if t.ID != "" && t.ID != id {
		i.fatal("calls itself %q", t.ID)
	}
	if strings.Contains(id, "_") {
		i.fatal("its id has an underscore, by which the browser splits what it comes back with")
	}
	for _, rule := range t.Next.Rules {
		if i.doc.Contents.Tasks[rule.TaskID] == nil {
			i.fatal("%q leads to task %q, which does not exist", rule.InteractionID, rule.TaskID)
		}
	}
	if i.doc.Metadata.Management {
		i.managed(t)
	}
	switch t.Type {
	case flow.TypeStart:
		if id != i.doc.Contents.StartTask {
			i.fatal("has no type, and is not the start")
		}
	case flow.TypeScreen:
		if i.screens[t.ScreenID] == nil {
			i.fatal("its screen %q is not in the file", t.ScreenID)
		}
	case flow.TypeCondition:
		i.condition(t)
	case flow.TypeSubflow:
		sub := toText(t.Arg(i.opt.Names.Arguments.Subflow))
		switch {
		case sub == "":
			i.fatal("names no flow to call")
		case i.flow(sub) == nil && sub != i.doc.FlowID:
			i.warn("calls flow %q, which is not here", sub)
		}
		i.leadsOn(t)
	case flow.TypeAutomated:
		i.automated(id, t)
	default:
		i.fatal("tasks of type %q are not supported", t.Type)
	}
}

func (i *inspection) leadsOn(t *flow.Task) {
	if len(t.Next.Rules) == 0 {
		i.warn("nothing follows it")
	}
}

func (i *inspection) condition(t *flow.Task) {
	otherwise := false
	for _, b := range t.Conditions {
		if b.InteractionID == flow.Else {
			otherwise = true
		} else if len(b.Atomic) == 0 {
			i.warn("branch %q compares nothing and is never taken", b.Name)
		}
		if t.To(b.InteractionID) == "" && !i.shared(t.ID, b.InteractionID) {
			i.warn("branch %q leads nowhere", cmpOr(b.Name, b.InteractionID))
		}
		for _, a := range b.Atomic {
			if i.operators[a.Operator] == nil {
				i.fatal("operator %q is not supported", a.Operator)
			}
			i.operand(a.Target)
			if a.Predicate != nil {
				i.operand(*a.Predicate)
				if a.Operator == i.opt.Names.Operators.Matches && a.Predicate.Type == flow.Inline && len(templates(a.Predicate.Value)) == 0 {
					if _, err := regexp.Compile(toText(a.Predicate.Value)); err != nil {
						i.fatal("%q is no regular expression that can be used", toText(a.Predicate.Value))
					}
				}
			}
		}
	}
	if !otherwise {
		i.fatal("has no branch %s", flow.Else)
	}
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (i *inspection) shared(task, interaction string) bool {
	return slices.ContainsFunc(i.doc.Metadata.SharedInteractions, func(s flow.SharedInteraction) bool { return s.ID == task+"."+interaction })
}

func (i *inspection) operand(v flow.Value) {
	keys := templates(v.Value)
	switch v.Type {
	case flow.Inline:
	case flow.FromContext:
		key, ok := v.Value.(string)
		if !ok || key == "" {
			i.fatal("compares a key of the context, and does not name it")
			return
		}
		keys = []string{key}
	default:
		i.fatal("values of type %q are not supported", v.Type)
	}
	for _, key := range keys {
		if slices.ContainsFunc(riskKeys, func(p string) bool { return strings.HasPrefix(key, p) }) && !slices.Contains(i.knownRisks, key) {
			i.fatal("nothing here ever tells %s", key)
		}
	}
}

func (i *inspection) automated(id string, t *flow.Task) {
	n := i.opt.Names
	for name, h := range t.Errors {
		switch h.Type {
		case flow.Automatic, flow.Ignore, "":
		case flow.Custom:
			if t.To(name) == "" && !i.shared(id, name) {
				i.warn("error %s is to be handled by another task, and none follows it", name)
			}
		default:
			i.fatal("error handling %q is not supported", h.Type)
		}
	}
	for name, v := range t.Arguments {
		if v.Type != flow.Inline && v.Type != flow.FromContext {
			i.fatal("argument %s: values of type %q are not supported", name, v.Type)
		}
	}
	if _, ok := i.actions[t.Action]; !ok {
		i.fatal("action %q is not supported", t.Action)
		return
	}
	if t.Action != n.Actions.End && t.To(flow.Success) == "" && !i.shared(id, flow.Success) && !sendsAway(n, t.Action) {
		i.warn("nothing follows its success")
	}
	switch t.Action {
	case n.Connector.Action:
		name, ok := i.connector(t)
		switch {
		case !ok:
			i.fatal("connector %q is not among the flow's references", toText(t.Arg("connectorId")))
		case !i.opt.Connectors.Known(name):
			i.fatal("the project has no connector named %q", name)
		}
		if template := toText(t.Arg("templateId")); template != n.Connector.Template {
			i.fatal("connectors of type %q are not supported", template)
		}
		command := toText(t.Arg("command"))
		if !slices.Contains(slices.Collect(maps.Values(n.Connector.Commands)), command) {
			i.fatal("command %q of connector %q is not supported", command, name)
		}
		if _, err := t.ConnectorArgs(); err != nil {
			i.fatal("its args are no list of keys and values")
		}
	case n.Actions.ExternalAuth:
		i.exchange(t, n.Actions.ExternalAuthEnd)
		if toText(t.Arg(n.Arguments.ExternalAuthURL)) == "" {
			i.fatal("its argument %s names no address to go to", n.Arguments.ExternalAuthURL)
		}
	case n.Actions.OAuthStart, n.Actions.OAuthSignIn, n.Actions.OAuthSignUp, n.Actions.SAMLStart:
		i.federated(t)
	case n.Actions.CustomClaims:
		list, err := pairs(t.Arg(n.Arguments.CustomClaims))
		if err != nil {
			i.fatal("its claims are no list of keys and values")
		}
		if len(list) > maxClaims {
			i.fatal("has %d custom claims; %d are allowed", len(list), maxClaims)
		}
		for _, kv := range list {
			if err := claimKey(kv.Key); err != nil {
				i.fatal("%s", err)
			}
		}
	case n.Actions.UpdateUser:
		for _, arg := range []string{n.Arguments.UserAttributes, n.Arguments.UserProperties} {
			if _, err := pairs(t.Arg(arg)); err != nil {
				i.fatal("its argument %s is no list of keys and values", arg)
			}
		}
	}
}

func (i *inspection) screen(s *flow.Screen) {
	if s.ScreenID == "" {
		i.fatal("has no screenId")
	}
	for _, key := range slices.Sorted(maps.Keys(s.Contents)) {
		node := s.Contents[key]
		if node == nil {
			i.warn("node %s is null", key)
		} else if !i.components[node.Type.ResolvedName] {
			i.warn("component %q (node %s) is not supported", node.Type.ResolvedName, key)
		}
	}
}

// connector is the name of the connector of a task, by the flow's references.
func (c *compiled) connector(t *flow.Task) (name string, ok bool) {
	id := toText(t.Arg("connectorId"))
	for name, ref := range c.doc.References.Connectors {
		if ref == id {
			return name, true
		}
	}
	return "", false
}

// pairs reads an argument that is a list of keys and values; nil is an empty one.
func pairs(x any) (list []flow.KeyValue, err error) {
	b, err := json.Marshal(x)
	if err == nil {
		err = json.Unmarshal(b, &list)
	}
	return list, err
}
