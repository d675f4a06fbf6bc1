// Screenstest is what test/e2e/screens.test.mjs runs: the flow runner and the pages
// of the local Descope, with people and connectors that do as they are told, and on
// another origin a page with Descope's web component on it. The flow has every
// component that a screen can have.
//
//	screenstest WEBDIR
//
// It writes {"page", "descope", "elsewhere"} to its output when it is up, and ends
// when its input does.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"image"
	"image/color"
	"image/png"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner"
	rt "github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner/runnertest"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/screens"
)

const (
	projectID = "P2kosmoscopescreenstestAAAAA"
	flowID    = "every-component"
	polls     = 2 // that find nothing new
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return fmt.Errorf("usage: screenstest WEBDIR")
	}
	pages, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	api, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	page, base := "http://"+pages.Addr().String(), "http://"+api.Addr().String()

	names := flow.DefaultNames()
	connectors := &rt.Connectors{Answer: func(n int, c runner.Call) (any, error) {
		if n == 1 {
			picture, err := checkers()
			return map[string]any{"session_url": page + "/elsewhere?a=1&b=%22", "picture": picture, "for": `<b>"you" & {{user}}</b>`}, err
		}
		if n <= 1+polls {
			return map[string]any{"status": "pending"}, nil
		}
		return map[string]any{"status": "done"}, nil
	}}
	flows, err := runner.New(runner.Options{Names: names, Accounts: rt.NewAccounts(), Connectors: connectors})
	if err != nil {
		return err
	}
	for _, p := range flows.Import(document(names)) {
		return fmt.Errorf("%s", p)
	}
	shown, err := screens.New(screens.Options{ProjectID: projectID, Names: names, Flows: flows.List, WebDir: os.Args[1]})
	if err != nil {
		return err
	}
	h, err := descope.New(descope.Options{
		ProjectID: projectID, BaseURL: base, Origins: []string{page}, Runner: flows, Screens: shown,
		Browser: func(r *http.Request) project.Browser {
			return project.Browser{Addr: netip.MustParseAddr("192.0.2.1"), UserAgent: r.UserAgent()}
		},
	})
	if err != nil {
		return err
	}
	site := http.NewServeMux()
	site.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = login.Execute(w, map[string]string{"Base": base, "Project": projectID, "Flow": flowID})
	})
	site.HandleFunc("GET /elsewhere", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, `<!doctype html><html lang="en"><title>Elsewhere</title><h1>Elsewhere</h1>`)
	})
	site.HandleFunc("GET /favicon.ico", func(http.ResponseWriter, *http.Request) {})

	failed := make(chan error, 2)
	go func() { failed <- http.Serve(pages, site) }()
	go func() { failed <- http.Serve(api, h) }()
	if err := json.NewEncoder(os.Stdout).Encode(map[string]string{"page": page, "descope": base, "elsewhere": page + "/elsewhere"}); err != nil {
		return err
	}
	go func() { _, err := io.Copy(io.Discard, os.Stdin); failed <- err }()
	return <-failed
}

var login = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in</title>
<style>
:root { color-scheme: light dark; }
body { margin: 0; background: #f5f6f8; }
h1 { font: 600 1.125rem system-ui, sans-serif; }
main { max-width: 26rem; margin: 2rem auto; padding: 0 1rem; }
descope-wc { border: 1px solid #d6dce4; border-radius: .625rem; overflow: hidden; background: #fff; }
@media (prefers-color-scheme: dark) { body { background: #12161c; } descope-wc { background: #1a2029; border-color: #343e4c; } }
</style>
<script src="{{.Base}}/vendor/descope-web-component.js"></script>
<main><h1>Shop</h1><descope-wc project-id="{{.Project}}" flow-id="{{.Flow}}" base-url="{{.Base}}" base-cdn-url="{{.Base}}" theme="os"></descope-wc></main>
<script>
const element = document.querySelector("descope-wc");
globalThis.seen = [];
for (const name of ["ready", "success", "error"]) {
  element.addEventListener(name, (e) => seen.push({ name, detail: e.detail }));
}
</script>
</html>
`))

// checkers is a picture such as a QR code is.
func checkers() (string, error) {
	m := image.NewGray(image.Rect(0, 0, 256, 256))
	for i := range m.Pix {
		if x, y := i%256/32, i/256/32; (x+y)%2 == 0 {
			m.Set(i%256, i/256, color.White)
		}
	}
	var b bytes.Buffer
	err := png.Encode(&b, m)
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes()), err
}

// document is the flow: sign in by a code, then wait for a connector.
func document(n *flow.Names) *flow.Document {
	a := n.Actions
	doc := rt.Flow(flowID,
		rt.To(rt.Screen("1", "form.email", "form.nickname"), "continue", "2", "later", "1"),
		rt.To(rt.Do("2", a.OTPSignUpOrIn), "success", "3"),
		rt.To(rt.Screen("3", "sentTo.maskedEmail", "form.code"), "verify", "4", "resend", "2"),
		rt.To(rt.Do("4", a.OTPVerify), "success", "5"),
		rt.To(rt.Call("5", "session", map[string]any{}), "success", "6"),
		rt.To(rt.Screen("6", "connectors.session"), "go", "7"),
		rt.To(rt.Screen("7"), "polling", "8", "cancel", "6"),
		rt.To(rt.Call("8", "result", map[string]any{}), "success", "9"),
		rt.To(rt.If("9", "connectors.result.status", n.Operators.Equal, "pending"), "yes", "7", "ELSE", "10"),
		rt.Do("10", a.End),
	)
	c := n.Components
	contents := map[string]map[string]*flow.Node{
		"SC1": screen(n,
			node(c.Text, "children", "Sign in", "variant", "h1"),
			node(c.Text, "children", "Enter your e-mail address. We send you a code.", "variant", "body1"),
			node(c.Email, "name", "email", "label", "E-mail address", "required", true),
			node(c.Input, "name", "nickname", "label", "Name on the badge", "placeholder", "Ada"),
			node(c.Error, "data-type", "error-message"),
			node(c.Button, "id", "continue", "data-type", "button", "children", "Continue", "variant", "contained"),
			node(c.Button, "id", "later", "data-type", "button", "children", "Not now", "variant", "link", "formnovalidate", true, "data-descope-reason", "later"),
		),
		"SC3": screen(n,
			node(c.Text, "children", "Enter the code", "variant", "h2"),
			node(c.Text, "children", "We sent it to {{sentTo.maskedEmail}}.", "variant", "body1"),
			node(c.Code, "name", "code", "digits", 6),
			node(c.Error, "data-type", "error-message"),
			node(c.Button, "id", "verify", "data-type", "button", "children", "Continue", "variant", "contained"),
			node(c.Button, "id", "resend", "data-type", "button", "children", "Send another code", "variant", "link", "formnovalidate", true),
		),
		"SC6": screen(n,
			node(c.Text, "children", "Prove that it is you", "variant", "h2"),
			node(c.Text, "children", "Open this on your phone, {{connectors.session.for}}.", "variant", "subtitle1"),
			node(c.Image, "src", "{{connectors.session.picture}}", "alt", "Code for your phone"),
			node(c.Link, "children", "Or open it here", "href", "{{connectors.session.session_url}}", "target", "_blank"),
			node(c.Text, "children", "It takes about a minute.", "variant", "body2"),
			node(c.Button, "id", "go", "data-type", "button", "children", "I am done", "variant", "contained"),
		),
		"SC7": screen(n,
			node(c.Text, "children", "One moment", "variant", "h2"),
			node(c.Polling, "data-type", "polling"),
			node(c.Text, "children", "This page goes on by itself.", "variant", "body1"),
			node(c.Button, "id", "cancel", "data-type", "button", "children", "Back", "variant", "outline"),
		),
	}
	// One row of two.
	six := contents["SC6"]
	six["row"] = node(c.Container, "direction", "row")
	six["row"].Nodes = []string{"left", "right"}
	six["left"] = node(c.Text, "children", "Have ready:", "variant", "subtitle2")
	six["right"] = node(c.Text, "children", "your passport", "variant", "body1")
	six[flow.Root].Nodes = append(six[flow.Root].Nodes[:4:4], append([]string{"row"}, six[flow.Root].Nodes[4:]...)...)
	for i := range doc.Screens {
		doc.Screens[i].Contents = contents[doc.Screens[i].ScreenID]
	}
	return doc
}

func screen(n *flow.Names, nodes ...*flow.Node) map[string]*flow.Node {
	m := map[string]*flow.Node{flow.Root: node(n.Components.Container, "direction", "column")}
	for i, child := range nodes {
		key := fmt.Sprint("n", i+1)
		m[key] = child
		m[flow.Root].Nodes = append(m[flow.Root].Nodes, key)
	}
	return m
}

func node(component string, props ...any) *flow.Node {
	n := &flow.Node{Type: flow.NodeType{ResolvedName: component}, Props: map[string]any{}}
	for i := 0; i < len(props); i += 2 {
		n.Props[props[i].(string)] = props[i+1]
	}
	return n
}
