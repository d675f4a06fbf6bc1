package shipped_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/descope/flow/shipped"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner"
	rt "github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner/runnertest"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/screens"
)

const root = "../../../.."

// The committed files are what the definitions and names.yaml make. To mend:
// kosmoscope flows build.
func TestInStep(t *testing.T) {
	t.Parallel()
	files, err := shipped.Files(flow.DefaultNames(), filepath.Join(root, "integrations/flows"), filepath.Join(root, "docs/images"))
	if err != nil {
		t.Fatal(err)
	}
	differ, err := shipped.Differ(files)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range differ {
		t.Error(d)
	}
}

func TestDiffer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files, err := shipped.Files(flow.DefaultNames(), filepath.Join(dir, "flows"), filepath.Join(dir, "images"))
	if err != nil {
		t.Fatal(err)
	}
	if differ, err := shipped.Differ(files); err != nil || len(differ) != len(files) {
		t.Fatalf("of nothing %d of %d files differ, %v", len(differ), len(files), err)
	}
	if err := shipped.Write(files); err != nil {
		t.Fatal(err)
	}
	if differ, err := shipped.Differ(files); err != nil || len(differ) > 0 {
		t.Fatalf("what was written differs: %v %v", differ, err)
	}
	at := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	b, err := os.ReadFile(at("flows/kosmos-step-up.json"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"flows/kosmos-step-up.json": append(b, ' '), "flows/of-yesterday.json": b, "images/flow-of-yesterday.svg": b, "images/other.svg": b, "flows/README.md": b,
	} {
		if err := os.WriteFile(at(name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(at("images/flow-kosmos-step-up.svg")); err != nil {
		t.Fatal(err)
	}
	differ, err := shipped.Differ(files)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		at("flows/kosmos-step-up.json") + " differs", at("flows/of-yesterday.json") + " is not made by this program",
		at("images/flow-kosmos-step-up.svg") + " is missing", at("images/flow-of-yesterday.svg") + " is not made by this program",
	}
	if !slices.Equal(differ, want) {
		t.Fatalf("got %q, want %q", differ, want)
	}
}

func TestFilesAreTheSameEveryTime(t *testing.T) {
	t.Parallel()
	one, err := shipped.Files(flow.DefaultNames(), "a", "b")
	if err != nil {
		t.Fatal(err)
	}
	two, err := shipped.Files(flow.DefaultNames(), "a", "b")
	if err != nil || !reflect.DeepEqual(one, two) {
		t.Fatalf("two builds differ (%v)", err)
	}
}

// All flows import together, and their screens render, without a single complaint.
func TestImport(t *testing.T) {
	t.Parallel()
	names := flow.DefaultNames()
	r, err := runner.New(runner.Options{Names: names, Accounts: rt.NewAccounts(), Connectors: &bridge{name: names.Connector.Name}, Federation: &rt.Providers{}})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all() {
		b, err := f.JSON()
		if err != nil {
			t.Fatal(err)
		}
		d := new(flow.Document)
		if err := json.Unmarshal(b, d); err != nil {
			t.Fatal(err)
		}
		if p := r.Import(d); runner.Refused(p) {
			t.Error(p)
		}
		for _, err := range screens.Check(names, d) {
			t.Errorf("%s: %v", f.FlowID, err)
		}
	}
	for _, p := range r.Problems() {
		t.Error(p)
	}
	if len(r.List()) != 14 {
		t.Fatalf("%d flows", len(r.List()))
	}
}

// other are names of a Descope that is spelled otherwise in everything that our files
// take from the table.
func other(t *testing.T) *flow.Names {
	t.Helper()
	n := flow.DefaultNames()
	var change func(v reflect.Value)
	change = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Struct:
			for _, f := range v.Fields() {
				change(f)
			}
		case reflect.String:
			v.SetString("x" + v.String())
		case reflect.Map:
			for _, k := range v.MapKeys() {
				v.SetMapIndex(k, reflect.ValueOf("x"+v.MapIndex(k).String()))
			}
		}
	}
	change(reflect.ValueOf(n).Elem())
	n.ListsInPayload = flow.ListJSON
	return n
}

// One corrected table makes every file anew, and the local Descope with the same
// table runs them.
func TestAllNamesComeFromTheTable(t *testing.T) {
	t.Parallel()
	names := other(t)
	r, err := runner.New(runner.Options{Names: names, Accounts: rt.NewAccounts(), Connectors: &bridge{name: names.Connector.Name}, Federation: &rt.Providers{}})
	if err != nil {
		t.Fatal(err)
	}
	d := flow.DefaultNames()
	old := map[string]bool{}
	for _, group := range []any{d.Actions, d.Operators, d.Components, d.Arguments} {
		for _, f := range reflect.ValueOf(group).Fields() {
			old[f.String()] = true
		}
	}
	for _, f := range shipped.Flows(names) {
		if p := r.Import(f.Document); len(p) > 0 && runner.Refused(p) {
			t.Error(p)
		}
		for id, task := range f.Contents.Tasks {
			if task.Action != "" && old[task.Action] {
				t.Errorf("%s: task %s has action %s", f.FlowID, id, task.Action)
			}
			for arg := range task.Arguments {
				if old[arg] {
					t.Errorf("%s: task %s has argument %s", f.FlowID, id, arg)
				}
			}
			for _, b := range task.Conditions {
				for _, a := range b.Atomic {
					if old[a.Operator] || a.Predicate != nil && a.Predicate.Type != flow.Inline {
						t.Errorf("%s: task %s compares by %+v", f.FlowID, id, a)
					}
				}
			}
		}
		for _, s := range f.Screens {
			for k, node := range s.Contents {
				if old[node.Type.ResolvedName] {
					t.Errorf("%s: screen %s, node %s is a %s", f.FlowID, s.ScreenID, k, node.Type.ResolvedName)
				}
			}
		}
		b, err := f.JSON()
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range reflect.ValueOf(d.Keys).Fields() {
			if s := k.String(); strings.Contains(s, ".") && (bytes.Contains(b, []byte(`"`+s)) || bytes.Contains(b, []byte("{{"+s))) {
				t.Errorf("%s names the key %s", f.FlowID, s)
			}
		}
	}
	for _, p := range r.Problems() {
		t.Error(p)
	}
}

// props are the components of the contract with the renderer, and what they may have.
var props = map[string][]string{
	"Container": {"direction"}, "Text": {"children", "variant"}, "ErrorMessage": {"data-type"}, "PollingLoader": {"data-type"},
	"Button": {"id", "data-type", "children", "variant", "formnovalidate"}, "Link": {"children", "href", "target"},
	"EmailInput": {"name", "label", "required"}, "Passcode": {"name", "digits"},
}

func TestDocuments(t *testing.T) {
	t.Parallel()
	screens := map[string]string{}
	for _, f := range all() {
		if strings.Contains(f.FlowID, "_") || f.Metadata.Name == "" || f.Metadata.Description == "" {
			t.Errorf("%s: id, name and description", f.FlowID)
		}
		if federated := strings.Contains(f.FlowID, "federated"); federated == (f.References.Connectors["1Kosmos Bridge"] != "") {
			t.Errorf("%s: a federated flow has no connector, and all others have", f.FlowID)
		}
		shared := map[string]bool{}
		for _, s := range f.Metadata.SharedInteractions {
			shared[s.ID] = true
		}
		byID := map[string]*flow.Screen{}
		for i := range f.Screens {
			s := &f.Screens[i]
			if other := screens[s.ScreenID]; other != "" {
				t.Errorf("screen %s is in %s and %s, and a project has one file for it", s.ScreenID, other, f.FlowID)
			}
			screens[s.ScreenID] = f.FlowID
			byID[s.ScreenID] = s
		}
		places := map[flow.View]string{}
		for id, task := range f.Contents.Tasks {
			if strings.Contains(id, "_") {
				t.Errorf("%s: task %s: the browser splits by underscores", f.FlowID, id)
			}
			if at := places[task.View]; at != "" {
				t.Errorf("%s: tasks %s and %s are drawn at one place", f.FlowID, at, id)
			}
			places[task.View] = id
			if task.Type == flow.TypeScreen {
				screen(t, f, task, byID[task.ScreenID], shared)
			}
		}
		if missing := unreachable(f.Document, nil); len(missing) > 0 {
			t.Errorf("%s: nothing leads to %v", f.FlowID, missing)
		}
	}
}

func screen(t *testing.T, f shipped.Flow, task *flow.Task, s *flow.Screen, shared map[string]bool) {
	t.Helper()
	place := f.FlowID + ": screen " + task.ID
	want := map[string]bool{}
	for _, k := range slices.Sorted(maps.Keys(s.Contents)) {
		node := s.Contents[k]
		allowed, ok := props[node.Type.ResolvedName]
		if !ok {
			t.Errorf("%s: no component %s", place, node.Type.ResolvedName)
		}
		for p := range node.Props {
			if !slices.Contains(allowed, p) {
				t.Errorf("%s: a %s has no property %s", place, node.Type.ResolvedName, p)
			}
		}
		if (k == flow.Root) != (node.Parent == "") || k != flow.Root && !slices.Contains(s.Contents[flow.Root].Nodes, k) {
			t.Errorf("%s: node %s hangs nowhere", place, k)
		}
		for _, p := range []string{"children", "href"} {
			text, _ := node.Props[p].(string)
			for part := range strings.SplitSeq(text, "{{") {
				if key, _, ok := strings.Cut(part, "}}"); ok && !slices.Contains(task.ContextKeys, key) {
					t.Errorf("%s shows %s and does not say so", place, key)
				}
			}
		}
		switch node.Type.ResolvedName {
		case "Button":
			want[node.Props["id"].(string)] = true
		case "PollingLoader":
			want[flow.Polling] = true
		case "EmailInput", "Passcode":
			if !slices.Contains(task.InputKeys, "form."+node.Props["name"].(string)) {
				t.Errorf("%s asks for %s and does not say so", place, node.Props["name"])
			}
		}
	}
	if len(want) == 0 {
		t.Errorf("%s: there is no way on", place)
	}
	for _, i := range s.Interactions {
		if !want[i.ID] {
			t.Errorf("%s: nothing on it does %s", place, i.ID)
		}
		delete(want, i.ID)
		if (task.To(i.ID) == "") != shared[task.ID+"."+i.ID] {
			t.Errorf("%s: %s leads nowhere, or twice", place, i.ID)
		}
	}
	for id := range want {
		t.Errorf("%s: %s is no interaction", place, id)
	}
	for _, r := range task.Next.Rules {
		if !slices.ContainsFunc(s.Interactions, func(i flow.Interaction) bool { return i.ID == r.InteractionID }) {
			t.Errorf("%s: nobody can %s", place, r.InteractionID)
		}
	}
}

// unreachable are the tasks that nothing leads to, if the edges in without are not there.
func unreachable(d *flow.Document, without func(t *flow.Task, interaction string) bool) (ids []string) {
	seen := map[string]bool{d.Contents.StartTask: true}
	for list := []string{d.Contents.StartTask}; len(list) > 0; list = list[1:] {
		task := d.Contents.Tasks[list[0]]
		for _, r := range task.Next.Rules {
			if !seen[r.TaskID] && (without == nil || !without(task, r.InteractionID)) {
				seen[r.TaskID] = true
				list = append(list, r.TaskID)
			}
		}
	}
	for id := range d.Contents.Tasks {
		if !seen[id] {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Without its one good word no flow comes to an end, to writing anything, or to a
// stepped-up session: whatever else happens, nobody gets in.
func TestOnlyTheGoodWordLeadsOn(t *testing.T) {
	t.Parallel()
	for _, f := range all() {
		good := func(task *flow.Task, interaction string) bool {
			if task.Type != flow.TypeCondition {
				return false
			}
			for _, b := range task.Conditions {
				if b.InteractionID != interaction {
					continue
				}
				for _, a := range b.Atomic {
					key := a.Target.Value.(string)
					if a.Operator == "is-true" && (key == "idpResponse.idpOIDCClaims.face_matched" || key == "idpResponse.idpSAMLAttributes.face_matched") {
						return true
					}
					if a.Predicate == nil {
						continue
					}
					if a.Operator == "equal" && a.Predicate.Value == "verified" && key == "idpResponse.idpOIDCClaims.idv_status" {
						return true
					}
					if a.Operator == "equal" && (key == "connectors.kosmosIdvResult.status" && a.Predicate.Value == "verified" || key == "connectors.kosmosStepUpResult.match_result" && a.Predicate.Value == "match" || key == "connectors.kosmosRisk.decision" && a.Predicate.Value == "allow" ||
						(key == "connectors.kosmosPreLogin.action" || key == "connectors.kosmosPostRegistration.action") && a.Predicate.Value == "continue") {
						return true
					}
				}
			}
			return false
		}
		gone := unreachable(f.Document, good)
		for id, task := range f.Contents.Tasks {
			n := flow.DefaultNames().Actions
			if slices.Contains([]string{n.End, n.UpdateUser, n.CustomClaims, n.StepUp, n.GenerateJWT}, task.Action) && !slices.Contains(gone, id) {
				t.Errorf("%s: task %s %q is reached without verified, match, allow or continue", f.FlowID, id, task.Name)
			}
			if strings.Contains(asks(t, task), `"outcome":"success"`) && !slices.Contains(gone, id) {
				t.Errorf("%s: task %s %q is reached without match, allow or continue", f.FlowID, id, task.Name)
			}
		}
		for _, s := range f.Metadata.SharedInteractions {
			id, way, _ := strings.Cut(s.ID, ".")
			if (way == "verified" || way == "match" || way == "not-needed") && !slices.Contains(gone, id) {
				t.Errorf("%s: the way out %s is reached without it", f.FlowID, s.ID)
			}
		}
		for id, task := range f.Contents.Tasks { // and what does not answer leads to a screen
			endpoint, _, _ := strings.Cut(asks(t, task), " ")
			for name, h := range task.Errors {
				to := f.Contents.Tasks[task.To(name)]
				ok := h.Type == flow.Custom && to != nil && to.Type == flow.TypeScreen
				switch endpoint {
				case "/risk": // to the step-up, whose own trouble is a screen
					to, _, _ := strings.Cut(asks(t, to), " ")
					ok = h.Type == flow.Custom && to == "/stepup"
				case "/hooks/pre-login": // to the sign-in after which the face is asked for
					ok = h.Type == flow.Custom && task.To(name) == "110"
				case "/hooks/post-registration": // to node 1Kosmos IDV
					to, _, _ := strings.Cut(asks(t, to), " ")
					ok = h.Type == flow.Custom && to == "/idv"
				case "": // what would tell whether there is an account, before the code
					ok = ok || f.FlowID == "kosmos-pre-login" && slices.Contains([]string{"2", "100", "110"}, id) && h.Type == flow.Ignore && to == nil
				case "/risk/outcome": // which nothing hangs on: see above where a success is told
					ok = h.Type == flow.Ignore && to == nil
				}
				if !ok {
					t.Errorf("%s: task %s: %s is not handled", f.FlowID, id, name)
				}
			}
			if task.Action == "connector" && len(task.Errors) != 2 {
				t.Errorf("%s: task %s handles %d errors", f.FlowID, id, len(task.Errors))
			}
		}
	}
}

// asks is a node's endpoint and payload; empty if it is none.
func asks(t *testing.T, task *flow.Task) string {
	t.Helper()
	if task == nil || task.Action != "connector" {
		return ""
	}
	args, err := task.ConnectorArgs()
	if err != nil {
		t.Fatal(err)
	}
	return args["endpoint"].(string) + " " + args["payload"].(string)
}

// A payload has constants of ours and keys that nobody can type anything into; each of
// those, but for lists where the table says so, stands between quotes. A hook is told an
// address, behind a guard: see TestTypedAddresses.
func TestPayloads(t *testing.T) {
	t.Parallel()
	safe := regexp.MustCompile(`^(user\.userId|ipAddress|user\.fingerprint\.knownDevice|user\.verifiedEmail|unauthUser\.userId|user\.lastAuth\.(ips|countries)|riskInfo\.\w+|connectors\.kosmos\w+\.(session_id|challenge_id|decision_id|reason))$`)
	for lists, want := range map[string]string{
		flow.ListText: `"last_countries":"{{user.lastAuth.countries}}","last_ips":"{{user.lastAuth.ips}}"}`,
		flow.ListJSON: `"last_countries":{{user.lastAuth.countries}},"last_ips":{{user.lastAuth.ips}}}`, flow.ListNothing: `"risk_score":"{{riskInfo.riskScore}}"}`,
	} {
		n := flow.DefaultNames()
		n.ListsInPayload = lists
		for _, f := range shipped.Flows(n) {
			for id, task := range f.Contents.Tasks {
				asked := asks(t, task)
				for part := range strings.SplitSeq(asked, "{{") {
					if key, _, ok := strings.Cut(part, "}}"); ok && !safe.MatchString(key) && !(strings.HasPrefix(asked, "/hooks/") && slices.Contains(addresses, key)) {
						t.Errorf("%s: task %s tells %s", f.FlowID, id, key)
					}
				}
				if strings.HasPrefix(asked, "/risk {") && !strings.HasSuffix(asked, want) {
					t.Errorf("%s: task %s with lists as %s: %s", f.FlowID, id, lists, asked)
				}
			}
		}
	}
}

func TestPictures(t *testing.T) {
	t.Parallel()
	for _, f := range all() {
		picture := f.Picture()
		d := xml.NewDecoder(bytes.NewReader(picture))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", f.FlowID, err)
			}
		}
		for id, task := range f.Contents.Tasks {
			if task.Type != "" && task.Action != "logged-in" && !bytes.Contains(picture, []byte(" "+id+"</text>")) {
				t.Errorf("%s: task %s is not in the picture", f.FlowID, id)
			}
		}
		if !bytes.Contains(picture, []byte("prefers-color-scheme:dark")) {
			t.Errorf("%s: unreadable at night", f.FlowID)
		}
	}
}
