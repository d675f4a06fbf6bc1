package flow_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/kosmoscope/kosmoscope/integrations"
	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
)

func file(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }

func TestReadDir(t *testing.T) {
	t.Parallel()
	docs, err := flow.ReadDir(fstest.MapFS{
		"b.json": file(`{"flowId":"second","metadata":{"name":"B"}}`), "a.json": file(`{"metadata":{"name":"A"},"unheardOf":{"x":1}}`),
		"c.dots.json": file(`{}`), "notes.txt": file("{"), "sub/d.json": file("{"), "e.json.bak": file("{"),
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range docs {
		got = append(got, d.FlowID)
	}
	if want := []string{"a", "second", "c.dots"}; !slices.Equal(got, want) || docs[0].Metadata.Name != "A" {
		t.Fatalf("got %v, want %v, by the order of the files' names", got, want)
	}
	if docs, err := flow.ReadDir(fstest.MapFS{}); err != nil || len(docs) != 0 {
		t.Fatalf("%v, %v", docs, err)
	}
}

func TestReadDirNamesTheFileThatIsWrong(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"broken": `{"flowId":`, "empty": ``, "list": `[]`, "wrong kind": `{"contents":{"tasks":{"1":{"next":"2"}}}}`, "two": `{}{}`,
	} {
		docs, err := flow.ReadDir(fstest.MapFS{"a.json": file(`{}`), "bad.json": file(content)})
		if err == nil || !strings.HasPrefix(err.Error(), "bad.json: ") || docs != nil {
			t.Errorf("%s: %v, %v", name, docs, err)
		}
	}
	if _, err := flow.ReadDir(fstest.MapFS{"dir.json/x": file("")}); err == nil || !strings.Contains(err.Error(), "dir.json") {
		t.Errorf("a folder: %v", err)
	}
}

// names is names.yaml as it is.
func names(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("names.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestReadNames(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "live.yaml")
	read := func(old, replacement string) (*flow.Names, error) {
		t.Helper()
		all := names(t)
		if strings.Count(all, old) != 1 {
			t.Fatalf("%q is %d times in names.yaml", old, strings.Count(all, old))
		}
		if err := os.WriteFile(path, []byte(strings.Replace(all, old, replacement, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		return flow.ReadNames(path)
	}
	n, err := read("step_up: step-up ", "step_up: stepUp ")
	if err != nil || n.Actions.StepUp != "stepUp" {
		t.Fatalf("%v, %v", n, err)
	}
	want := flow.DefaultNames()
	want.Actions.StepUp = "stepUp"
	if !reflect.DeepEqual(n, want) {
		t.Fatalf("more than one name changed: %+v", n)
	}
	if n, err = read("lists_in_payload: text\n", "lists_in_payload: json\n"); err != nil || n.ListsInPayload != flow.ListJSON {
		t.Fatalf("%v, %v", n, err)
	}
	for name, c := range map[string][3]string{
		"unknown field":      {"  step_up: step-up ", "  stepup: step-up ", "stepup"},
		"unknown section":    {"\noperators: ", "\noperator: ", "operator"},
		"wrong lists":        {"lists_in_payload: text\n", "lists_in_payload: xml\n", `lists_in_payload is "text", "json" or "nothing"`},
		"without lists":      {"lists_in_payload: text\n", "", `lists_in_payload is "text", "json" or "nothing"`},
		"a list, not a name": {"  end: logged-in ", "  end: [logged-in] ", "cannot construct"},
	} {
		n, err := read(c[0], c[1])
		if err == nil || n != nil || !strings.HasPrefix(err.Error(), path+": ") || !strings.Contains(err.Error(), c[2]) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n, err := flow.ReadNames(filepath.Join(t.TempDir(), "none.yaml")); n != nil || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := flow.ReadNames(path); err == nil || n != nil {
		t.Errorf("an empty file: %+v", n)
	}
}

// A name that is empty would match what has none, and is a name forgotten in the file.
func TestDefaultNamesHaveNoEmptyValue(t *testing.T) {
	t.Parallel()
	count := 0
	var walk func(at string, v reflect.Value)
	walk = func(at string, v reflect.Value) {
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				walk(at+"."+v.Type().Field(i).Name, v.Field(i))
			}
		case reflect.Map:
			if v.Len() == 0 {
				t.Errorf("%s is empty", at)
			}
			for it := v.MapRange(); it.Next(); {
				walk(at+"."+it.Key().String(), it.Value())
			}
		case reflect.String:
			count++
			if s := v.String(); strings.TrimSpace(s) == "" || s != strings.TrimSpace(s) {
				t.Errorf("%s is %q", at, s)
			}
		default:
			t.Errorf("%s is a %s, which this test does not know", at, v.Kind())
		}
	}
	walk("names", reflect.ValueOf(*flow.DefaultNames()))
	if count < 70 {
		t.Errorf("only %d names were looked at", count)
	}
}

// Names that one thing goes by are told apart.
func TestDefaultNamesDiffer(t *testing.T) {
	t.Parallel()
	n := flow.DefaultNames()
	for section, v := range map[string]any{"actions": n.Actions, "operators": n.Operators, "keys": n.Keys, "components": n.Components, "args": n.Connector.Args} {
		seen := map[string]string{}
		s := reflect.ValueOf(v)
		for i := range s.NumField() {
			name := s.Field(i).String()
			if other := seen[name]; other != "" {
				t.Errorf("%s: %s and %s are both %q", section, other, s.Type().Field(i).Name, name)
			}
			seen[name] = s.Type().Field(i).Name
		}
	}
	// What callers get is theirs to change.
	n.Actions.End, n.Connector.Commands["GET"] = "changed", "changed"
	if again := flow.DefaultNames(); again.Actions.End == "changed" || again.Connector.Commands["GET"] == "changed" {
		t.Error("a change of one's own names changed everybody's")
	}
}

// Nothing of what we ship is lost on the way through a Document: keys that it does
// not know would be dropped.
func TestDocumentKeepsWhatWeShip(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(integrations.Flows(), "*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, name := range files {
		want, err := fs.ReadFile(integrations.Flows(), name)
		if err != nil {
			t.Fatal(err)
		}
		d := new(flow.Document)
		if err := json.Unmarshal(want, d); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got bytes.Buffer
		enc := json.NewEncoder(&got)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(d); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			a, b := strings.Split(got.String(), "\n"), strings.Split(string(want), "\n")
			for i := range min(len(a), len(b)) {
				if a[i] != b[i] {
					t.Errorf("%s, line %d: got %s, want %s", name, i+1, a[i], b[i])
					break
				}
			}
			t.Errorf("%s: %d bytes became %d", name, len(want), got.Len())
		}
	}
}

func TestTask(t *testing.T) {
	t.Parallel()
	task := &flow.Task{
		Next: flow.Next{Rules: []flow.Rule{{InteractionID: "go", TaskID: "2"}, {InteractionID: "go", TaskID: "3"}, {TaskID: "4"}}},
		Arguments: map[string]flow.Value{"args": {Type: flow.Inline, Value: []any{
			map[string]any{"key": "endpoint", "type": "string", "value": "/idv"}, map[string]any{"key": "payload", "value": map[string]any{"a": "{{b}}"}},
		}}},
	}
	for interaction, want := range map[string]string{"go": "2", "": "4", "elsewhere": ""} {
		if got := task.To(interaction); got != want {
			t.Errorf("%q leads to %q, want %q", interaction, got, want)
		}
	}
	args, err := task.ConnectorArgs()
	if want := map[string]any{"endpoint": "/idv", "payload": map[string]any{"a": "{{b}}"}}; err != nil || !reflect.DeepEqual(args, want) {
		t.Errorf("%v, %v", args, err)
	}
	if task.Arg("none") != nil {
		t.Error("an argument that is not there has a value")
	}
	if args, err := new(flow.Task).ConnectorArgs(); err != nil || len(args) != 0 {
		t.Errorf("no arguments: %v, %v", args, err)
	}
	for _, wrong := range []any{"text", map[string]any{"endpoint": "/"}, []any{"text"}, func() {}} {
		task.Arguments["args"] = flow.Value{Value: wrong}
		if args, err := task.ConnectorArgs(); err == nil {
			t.Errorf("%T: %v", wrong, args)
		}
	}
}
