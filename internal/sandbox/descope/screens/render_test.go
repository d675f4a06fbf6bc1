package screens_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/screens"
)

var update = flag.Bool("update", false, "write the golden files anew")

func node(component string, props ...any) *flow.Node {
	n := &flow.Node{Type: flow.NodeType{ResolvedName: component}, Props: map[string]any{}}
	for i := 0; i < len(props); i += 2 {
		n.Props[props[i].(string)] = props[i+1]
	}
	return n
}

// screen puts nodes n1, n2... in a column.
func screen(id string, nodes ...*flow.Node) *flow.Screen {
	s := &flow.Screen{ScreenID: id, Contents: map[string]*flow.Node{flow.Root: node("Container", "direction", "column")}}
	for i, n := range nodes {
		key := fmt.Sprint("n", i+1)
		n.Parent = flow.Root
		s.Contents[key] = n
		s.Contents[flow.Root].Nodes = append(s.Contents[flow.Root].Nodes, key)
	}
	return s
}

// fields has a form with everything that can be in one.
func fields() *flow.Screen {
	return screen("SCfields",
		node("Text", "children", `Sign in to "Candles" & more`, "variant", "h1"),
		node("Text", "children", "{{user.name}}", "variant", "body2"),
		node("EmailInput", "name", "email", "label", "E-mail address", "required", true),
		node("TextInput", "name", "nickname", "label", `A "name"`, "required", false, "placeholder", "Ada <3"),
		node("Passcode", "name", "code", "digits", 6.0),
		node("ErrorMessage", "data-type", "error-message"),
		node("Button", "id", "later", "data-type", "button", "children", "Not now", "variant", "link", "formnovalidate", true),
		node("Button", "id", "go", "data-type", "button", "children", "Continue", "variant", "contained", "data-descope-why", "a {{form.email}}", "data-descope-b", "1"),
	)
}

// wait has the rest, and a row.
func wait() *flow.Screen {
	s := screen("SCwait",
		node("Container", "direction", "row"),
		node("Image", "src", "{{connectors.k.qr}}", "alt", "Code for {{user.name}}"),
		node("Image", "src", "/logo.png?a=1&b=2", "alt", "Logo"),
		node("PollingLoader", "data-type", "polling"),
		node("Link", "children", "Open {{connectors.k.name}}", "href", "{{connectors.k.session_url}}", "target", "_blank"),
		node("Link", "children", "Help", "href", "https://help.example/?a=1&b=2"),
		node("Container"),
		node("Button", "id", "back", "children", "Back", "variant", "outline"),
	)
	s.Contents["n1"].Nodes = []string{"a", "b"}
	s.Contents["a"] = node("Text", "children", "One", "variant", "subtitle1")
	s.Contents["b"] = node("Button", "id", "two", "children", "Two")
	s.Contents["n7"].Hidden = true // with what is in it
	s.Contents["n7"].Nodes = []string{"secret"}
	s.Contents["secret"] = node("Text", "children", "Nobody sees this")
	return s
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for _, s := range []*flow.Screen{fields(), wait()} {
		got, err := screens.Render(flow.DefaultNames(), s)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join("testdata", s.ScreenID+".html")
		if *update {
			if err := os.WriteFile(name, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s is now\n%s\nwant\n%s", name, got, want)
		}
	}
}

// What is wrong with a screen is said with its place.
func TestRefused(t *testing.T) {
	t.Parallel()
	with := func(n *flow.Node) *flow.Screen { return screen("SC", n) }
	change := func(f func(m map[string]*flow.Node)) *flow.Screen {
		s := screen("SC", node("Text", "children", "x"), node("Container"))
		f(s.Contents)
		return s
	}
	deep := screen("SC")
	for i, at := 0, flow.Root; i < 40; i++ {
		key := fmt.Sprint("c", i)
		deep.Contents[key] = node("Container")
		deep.Contents[at].Nodes = []string{key}
		at = key
	}
	many := screen("SC")
	for i := range 501 {
		many.Contents[fmt.Sprint(i)] = node("Text", "children", "x")
	}
	for name, tt := range map[string]struct {
		s    *flow.Screen
		want string
	}{
		"nothing":           {&flow.Screen{ScreenID: "SC"}, "there is no node ROOT"},
		"root no container": {&flow.Screen{ScreenID: "SC", Contents: map[string]*flow.Node{"ROOT": node("Text", "children", "x")}}, "node ROOT is no container"},
		"root hidden":       {change(func(m map[string]*flow.Node) { m["ROOT"].Hidden = true }), "node ROOT is hidden"},
		"missing":           {change(func(m map[string]*flow.Node) { m["ROOT"].Nodes = append(m["ROOT"].Nodes, "n9") }), "node ROOT: node n9 in it does not exist"},
		"null":              {change(func(m map[string]*flow.Node) { m["n1"] = nil }), "node n1 in it does not exist"},
		"cycle":             {change(func(m map[string]*flow.Node) { m["n2"].Nodes = []string{"ROOT"} }), "node ROOT is on the screen more than once"},
		"twice":             {change(func(m map[string]*flow.Node) { m["n2"].Nodes = []string{"n1"} }), "node n1 is on the screen more than once"},
		"hidden cycle":      {change(func(m map[string]*flow.Node) { m["n2"].Hidden, m["n2"].Nodes = true, []string{"n2"} }), "node n2 is on the screen more than once"},
		"nowhere":           {change(func(m map[string]*flow.Node) { m["z"] = node("Text", "children", "x") }), "node z is nowhere on the screen"},
		"other parent":      {change(func(m map[string]*flow.Node) { m["n1"].Parent = "n2" }), "node n1 says that it is in n2, but is in ROOT"},
		"linked":            {change(func(m map[string]*flow.Node) { m["n2"].LinkedNodes = map[string]string{"a": "n1"} }), "node n2: linked nodes"},
		"text with nodes":   {change(func(m map[string]*flow.Node) { m["n1"].Nodes = []string{"n2"} }), "node n1: a Text cannot have nodes in it"},
		"deep":              {deep, "is more than 30 containers deep"},
		"many":              {many, "has 502 nodes"},
		"component":         {with(node("Captcha")), `node n1: component "Captcha" is not supported`},
		"property":          {with(node("Text", "children", "x", "onclick", "alert(1)")), `node n1 (Text): property "onclick" is not supported`},
		"no text":           {with(node("Text")), "has no children"},
		"text a number":     {with(node("Text", "children", 1.0)), "children is no text"},
		"text long":         {with(node("Text", "children", strings.Repeat("x", 10_001))), "10001 bytes"},
		"text broken":       {with(node("Text", "children", "\xff")), "children is no text"},
		"text with NUL":     {with(node("Text", "children", "a\x00b")), "control character"},
		"template":          {with(node("Text", "children", "Hello {{ user.name }}")), "children has a template that is not like {{key}}"},
		"template open":     {with(node("Text", "children", "Hello {{user.name")), "children has a template that is not like {{key}}"},
		"variant":           {with(node("Text", "children", "x", "variant", "h9")), `variant "h9" is not supported`},
		"direction":         {with(node("Container", "direction", "diagonal")), `direction "diagonal" is not supported`},
		"button no id":      {with(node("Button", "children", "x")), "has no id"},
		"button id":         {with(node("Button", "children", "x", "id", `a" onclick="`)), "has to begin with a letter"},
		"button template":   {with(node("Button", "children", "{{x}}", "id", "a")), "which is not replaced there"},
		"button data-type":  {with(node("Button", "children", "x", "id", "a", "data-type", "biometrics")), `data-type "biometrics" is not supported`},
		"button bool":       {with(node("Button", "children", "x", "id", "a", "formnovalidate", "true")), "formnovalidate is neither true nor false"},
		"button constant":   {with(node("Button", "children", "x", "id", "a", "data-descope-Why", "x")), "small letters"},
		"button attribute":  {with(node("Button", "children", "x", "id", "a", `data-descope-x" y="`, "x")), "small letters"},
		"field no name":     {with(node("EmailInput", "label", "x")), "has no name"},
		"field no label":    {with(node("TextInput", "name", "x", "label", " ")), "has no label"},
		"digits":            {with(node("Passcode", "name", "x", "digits", 6.5)), "digits is no whole number from 4 to 8"},
		"digits many":       {with(node("Passcode", "name", "x", "digits", 1e300)), "digits is no whole number from 4 to 8"},
		"digits text":       {with(node("Passcode", "name", "x", "digits", "6")), "digits is no number"},
		"link script":       {with(node("Link", "children", "x", "href", " javascript:alert(1)")), "is no address of the web"},
		"link data":         {with(node("Link", "children", "x", "href", "data:text/html,x")), "is no address of the web"},
		"link other host":   {with(node("Link", "children", "x", "href", "//evil.example")), "is no address of the web"},
		"link half":         {with(node("Link", "children", "x", "href", "javascript:{{x}}")), "is no address of the web"},
		"link target":       {with(node("Link", "children", "x", "href", "/", "target", "_top")), `target "_top" is not supported`},
		"image script":      {with(node("Image", "src", "data:text/html;base64,AAAA", "alt", "x")), "is no address of the web"},
		"image no alt":      {with(node("Image", "src", "/x.png", "alt", "")), "has no alt"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := screens.Render(flow.DefaultNames(), tt.s)
			if err == nil || !strings.HasPrefix(err.Error(), "screen SC: ") || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %q, %v; want an error with %q", got, err, tt.want)
			}
		})
	}
}

// The flows that are shipped can be shown, each screen of them.
func TestShippedFlows(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob("../../../../integrations/flows/*.json")
	for _, file := range files {
		doc, err := readDocument(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range screens.Check(flow.DefaultNames(), doc) {
			t.Errorf("%s: %v", filepath.Base(file), err)
		}
	}
	if len(files) == 0 {
		t.Error("no flow was found")
	}
}

// Enter presses the button that goes on, if there is something to type into, and no
// other one.
func TestDefaultButton(t *testing.T) {
	t.Parallel()
	skip := node("Button", "id", "skip", "children", "Skip", "variant", "contained", "formnovalidate", true)
	cancel := node("Button", "id", "cancel", "children", "Cancel", "variant", "outline")
	ok := node("Button", "id", "ok", "children", "OK", "variant", "contained")
	name := node("TextInput", "name", "x", "label", "X")
	for _, tt := range []struct {
		s    *flow.Screen
		want int
	}{
		{screen("SC", name, skip, cancel, ok), 1},
		{screen("SC", name, skip, cancel), 0},
		{screen("SC", cancel, ok), 0},
	} {
		got, err := screens.Render(flow.DefaultNames(), tt.s)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(got), `auto-submit="true"`); n != tt.want || n == 1 && !strings.Contains(string(got), `<descope-button id="ok" data-type="button" variant="contained" mode="primary" size="md" full-width="true" auto-submit="true">`) {
			t.Errorf("%d buttons are the default, want %d:\n%s", n, tt.want, got)
		}
	}
}

// Nothing that a file can hold gets out of the attribute or the element it is put in.
func FuzzRender(f *testing.F) {
	f.Add("Text", "children", `</descope-text><script>alert(1)</script>`)
	f.Add("Text", "children", "<!-- {{a}} &amp; &#x3c;img src=x onerror=y>")
	f.Add("Button", "data-descope-x", `"><svg onload=alert(1)>`)
	f.Add("Button", `data-descope-x onclick=alert(1) y`, "z")
	f.Add("Link", "href", "java\nscript:alert(1)")
	f.Add("Link", "href", "https://a.example/{{b}}\"' x")
	f.Add("Image", "src", "https://a.example/\" onerror=\"x")
	f.Add("EmailInput", "label", "</title><plaintext>")
	f.Add("TextInput", "placeholder", "{{x}}")
	f.Add("Passcode", "name", "a b")
	names := flow.DefaultNames()
	f.Fuzz(func(t *testing.T, component, prop, value string) {
		base := map[string]*flow.Node{
			"Text":       node("Text", "children", "x"),
			"Button":     node("Button", "children", "x", "id", "b"),
			"Link":       node("Link", "children", "x", "href", "/"),
			"Image":      node("Image", "src", "/x.png", "alt", "x"),
			"EmailInput": node("EmailInput", "name", "x", "label", "x"),
			"TextInput":  node("TextInput", "name", "x", "label", "x"),
			"Passcode":   node("Passcode", "name", "x"),
		}
		n := base[component]
		if n == nil {
			n = node(component)
		}
		plain, _ := screens.Render(names, screen("SC", n))
		n.Props[prop] = value
		got, err := screens.Render(names, screen("SC", n))
		if err != nil || plain == nil {
			return
		}
		before, after := shape(t, plain), shape(t, got)
		if len(before) != len(after) {
			t.Fatalf("other elements: %v, were %v\n%s", after, before, got)
		}
		for i, e := range after {
			if e.Data != before[i].Data {
				t.Fatalf("element %s, was %s", e.Data, before[i].Data)
			}
			for _, a := range e.Attr {
				switch name := a.Key; {
				case strings.HasPrefix(name, "on") || name == "style" || name == "srcdoc":
					t.Fatalf("attribute %s\n%s", name, got)
				case (name == "href" || name == "src") && !strings.HasPrefix(a.Val, "{{") &&
					strings.HasPrefix(strings.ToLower(strings.Map(visible, a.Val)), "javascript:"):
					t.Fatalf("address %q", a.Val)
				case name == prop && a.Val != value && component != "Button":
					t.Fatalf("%s is %q, want %q", name, a.Val, value)
				}
			}
		}
	})
}

func visible(r rune) rune {
	if r <= ' ' {
		return -1
	}
	return r
}

// shape are the elements that a browser makes of a piece of HTML.
func shape(t *testing.T, piece []byte) (all []*html.Node) {
	t.Helper()
	roots, err := html.ParseFragment(strings.NewReader(string(piece)), &html.Node{Type: html.ElementNode, Data: "template", DataAtom: atom.Template})
	if err != nil {
		t.Fatal(err)
	}
	for _, root := range roots {
		for n := range root.Descendants() {
			if n.Type == html.CommentNode {
				t.Fatalf("a comment in\n%s", piece)
			}
			if n.Type == html.ElementNode {
				all = append(all, n)
			}
		}
	}
	return all
}
