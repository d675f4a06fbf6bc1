package screens

import (
	"fmt"
	"html"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
)

// Bounds of a screen: far more than a person could use, far less than hurts.
const (
	maxNodes = 500
	maxDepth = 30
	maxText  = 10_000 // bytes of one property
	maxImage = 500_000
)

// Render makes the HTML of a screen. An error names the node that it is about and
// says what is wrong with it.
func Render(names *flow.Names, s *flow.Screen) ([]byte, error) {
	r := renderer{components: components(names), nodes: s.Contents, seen: map[string]bool{}}
	if len(s.Contents) > maxNodes {
		return nil, fmt.Errorf("screen %s: has %d nodes; %d are allowed", s.ScreenID, len(s.Contents), maxNodes)
	}
	root, err := r.build(flow.Root, "", 0, nil)
	if err != nil {
		return nil, fmt.Errorf("screen %s: %w", s.ScreenID, err)
	}
	for _, key := range slices.Sorted(maps.Keys(s.Contents)) {
		if !r.seen[key] {
			return nil, fmt.Errorf("screen %s: node %s is nowhere on the screen", s.ScreenID, key)
		}
	}
	if root == nil {
		return nil, fmt.Errorf("screen %s: node %s is hidden", s.ScreenID, flow.Root)
	}
	markDefault(root)
	var b strings.Builder
	root.write(&b)
	return []byte(b.String()), nil
}

// Check is what keeps the screens of a flow from being shown.
func Check(names *flow.Names, doc *flow.Document) (errs []error) {
	for i := range doc.Screens {
		if _, err := Render(names, &doc.Screens[i]); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// element is one element of the page to be.
type element struct {
	tag      string
	attrs    []attr
	text     string
	children []*element

	row    bool // a container whose elements stand beside each other
	input  bool
	button string // its variant, if the form is sent by it
}

type attr struct{ name, value string }

func (e *element) set(name, value string) { e.attrs = append(e.attrs, attr{name, value}) }

// write escapes everything that came from a file. Attributes that hold a template
// need to be announced to the client, which else looks at the texts and the href of
// its own elements only.
func (e *element) write(b *strings.Builder) {
	b.WriteString("<" + e.tag)
	dynamic := false
	for _, a := range e.attrs {
		fmt.Fprintf(b, ` %s="%s"`, a.name, html.EscapeString(a.value))
		dynamic = dynamic || strings.Contains(a.value, "{{") && a.name != "href"
	}
	if dynamic {
		b.WriteString(` data-has-dynamic-attr-values="true"`)
	}
	b.WriteString(">" + html.EscapeString(e.text))
	if len(e.children) > 0 {
		b.WriteString("\n")
	}
	for _, c := range e.children {
		c.write(b)
	}
	b.WriteString("</" + e.tag + ">\n")
}

// markDefault says which button Enter presses in a form. The client presses the
// only button there is, but of several it presses none unless it is told. Without
// anything to type into, Enter is left to the button that has the focus.
func markDefault(root *element) {
	input := false
	var first *element
	var walk func(*element)
	walk = func(e *element) {
		input = input || e.input
		if e.button == "contained" && first == nil {
			first = e
		}
		for _, c := range e.children {
			walk(c)
		}
	}
	walk(root)
	if input && first != nil {
		first.set("auto-submit", "true")
	}
}

// renderer makes one screen.
type renderer struct {
	components map[string]component
	nodes      map[string]*flow.Node
	seen       map[string]bool
}

// component makes the element of a node from its properties.
type component struct {
	make     func(p *props, in *element) *element
	children bool
}

func components(n *flow.Names) map[string]component {
	c := n.Components
	return map[string]component{
		c.Container: {container, true},
		c.Text:      {text, false},
		c.Button:    {button, false},
		c.Error:     {errorMessage, false},
		c.Polling:   {polling, false},
		c.Link:      {link, false},
		c.Email:     {email, false},
		c.Input:     {input, false},
		c.Code:      {passcode, false},
		c.Image:     {image, false},
	}
}

// build makes the element of a node and of all under it; nil if it is hidden. What
// is hidden has to be a tree all the same.
func (r *renderer) build(key, parent string, depth int, in *element) (*element, error) {
	n := r.nodes[key]
	switch {
	case n == nil && parent == "":
		return nil, fmt.Errorf("there is no node %s", key)
	case n == nil:
		return nil, fmt.Errorf("node %s: node %s in it does not exist", parent, key)
	case r.seen[key]:
		return nil, fmt.Errorf("node %s is on the screen more than once", key)
	case depth > maxDepth:
		return nil, fmt.Errorf("node %s is more than %d containers deep", key, maxDepth)
	case n.Parent != "" && n.Parent != parent:
		return nil, fmt.Errorf("node %s says that it is in %s, but is in %s", key, n.Parent, parent)
	case len(n.LinkedNodes) > 0:
		return nil, fmt.Errorf("node %s: linked nodes are not supported", key)
	}
	r.seen[key] = true
	c, ok := r.components[n.Type.ResolvedName]
	switch {
	case !ok:
		return nil, fmt.Errorf("node %s: component %q is not supported", key, n.Type.ResolvedName)
	case key == flow.Root && !c.children:
		return nil, fmt.Errorf("node %s is no container", key)
	case !c.children && len(n.Nodes) > 0:
		return nil, fmt.Errorf("node %s: a %s cannot have nodes in it", key, n.Type.ResolvedName)
	}
	p := &props{values: n.Props, read: map[string]bool{}}
	e := c.make(p, in)
	if err := p.done(); err != nil {
		return nil, fmt.Errorf("node %s (%s): %w", key, n.Type.ResolvedName, err)
	}
	for _, child := range n.Nodes {
		made, err := r.build(child, key, depth+1, e)
		if err != nil {
			return nil, err
		}
		if made != nil {
			e.children = append(e.children, made)
		}
	}
	if n.Hidden {
		return nil, nil
	}
	return e, nil
}

func container(p *props, in *element) *element {
	e := &element{tag: "descope-container"}
	direction := p.choice("direction", "column", "column", "row")
	e.row = direction == "row"
	e.set("data-editor-type", "container")
	e.set("direction", direction)
	if in == nil {
		e.set("space-between", "md")
		e.set("horizontal-padding", "lg")
		e.set("vertical-padding", "lg")
	} else {
		e.set("space-between", "sm")
	}
	e.set("horizontal-alignment", "start")
	if e.row {
		e.set("vertical-alignment", "center")
	}
	return e
}

// wide fills a column; in a row there are others beside it.
func wide(e, in *element) {
	if !in.row {
		e.set("full-width", "true")
	}
}

func text(p *props, in *element) *element {
	e := &element{tag: "descope-text", text: p.templated("children")}
	variant := p.choice("variant", "body1", "h1", "h2", "h3", "subtitle1", "subtitle2", "body1", "body2")
	e.set("variant", variant)
	switch level, heading := strings.CutPrefix(variant, "h"); {
	case heading:
		e.set("mode", "primary")
		e.set("role", "heading")
		e.set("aria-level", level)
	case variant == "body2":
		e.set("mode", "secondary")
	default:
		e.set("mode", "primary")
	}
	if template.ReplaceAllString(e.text, "") == "" { // what it shows may be missing
		e.set("hide-when-empty", "true")
	}
	wide(e, in)
	return e
}

// The names of what is sent along. HTML has no capitals in names of attributes.
var sentAlong = regexp.MustCompile(`^data-descope-[a-z][a-z0-9-]{0,60}$`)

func button(p *props, in *element) *element {
	e := &element{tag: "descope-button", text: p.literal("children")}
	e.set("id", p.name("id"))
	p.dataType("button")
	e.set("data-type", "button")
	variant := p.choice("variant", "contained", "contained", "outline", "link")
	e.set("variant", variant)
	e.set("mode", "primary")
	e.set("size", "md")
	if p.boolean("formnovalidate") {
		e.set("formnovalidate", "true")
	} else {
		e.button = variant
	}
	for _, name := range slices.Sorted(maps.Keys(p.values)) {
		if strings.HasPrefix(name, "data-descope-") {
			if !sentAlong.MatchString(name) {
				p.fail("%s can have small letters, digits and hyphens only", name)
			}
			e.set(name, p.template(name, false))
		}
	}
	wide(e, in)
	return e
}

func errorMessage(p *props, in *element) *element {
	p.dataType("error-message")
	e := &element{tag: "descope-text"}
	e.set("data-type", "error-message")
	e.set("variant", "body1")
	e.set("mode", "error")
	e.set("role", "alert")
	e.set("hide-when-empty", "true")
	wide(e, in)
	return e
}

func polling(p *props, _ *element) *element {
	p.dataType("polling")
	e := &element{tag: "descope-loader-radial"}
	e.set("data-type", "polling")
	e.set("mode", "primary")
	e.set("size", "md")
	e.set("role", "progressbar")
	e.set("aria-label", "Waiting")
	return e
}

// link opens by default where the file says, and then knows nothing of this page.
func link(p *props, in *element) *element {
	e := &element{tag: "descope-link", text: p.templated("children")}
	e.set("href", p.address("href", false))
	if p.choice("target", "", "", "_self", "_blank") == "_blank" {
		e.set("target", "_blank")
		e.set("rel", "noopener noreferrer")
	}
	e.set("variant", "body1")
	e.set("mode", "primary")
	wide(e, in)
	return e
}

func field(p *props, in *element, tag string) *element {
	e := &element{tag: tag, input: true}
	e.set("name", p.name("name"))
	e.set("label", p.literal("label"))
	if p.boolean("required") {
		e.set("required", "true")
		e.set("data-errormessage-value-missing", "This is needed.")
	}
	if placeholder := p.optional("placeholder"); placeholder != "" {
		e.set("placeholder", placeholder)
	}
	e.set("bordered", "true")
	e.set("size", "md")
	e.set("label-type", "static")
	wide(e, in)
	return e
}

func email(p *props, in *element) *element {
	e := field(p, in, "descope-email-field")
	e.set("autocomplete", "username")
	e.set("data-errormessage-pattern-mismatch", "This is not an e-mail address.")
	return e
}

func input(p *props, in *element) *element { return field(p, in, "descope-text-field") }

func passcode(p *props, in *element) *element {
	e := &element{tag: "descope-passcode", input: true}
	e.set("name", p.name("name"))
	label := p.optional("label")
	if label == "" {
		label = "Code"
	}
	e.set("label", label)
	if p.values["required"] == nil || p.boolean("required") { // there is nothing else to it
		e.set("required", "true")
		e.set("data-errormessage-value-missing", "Enter the code.")
	}
	digits := strconv.Itoa(p.number("digits", 6, 4, 8))
	e.set("digits", digits)
	e.set("data-errormessage-pattern-mismatch", "The code has "+digits+" digits.")
	e.set("bordered", "true")
	e.set("size", "md")
	wide(e, in)
	return e
}

func image(p *props, _ *element) *element {
	e := &element{tag: "descope-image"}
	e.set("src", p.address("src", true))
	alt := p.template("alt", true)
	e.set("alt", alt)
	e.set("role", "img") // what the element makes of an SVG has no name
	e.set("aria-label", alt)
	return e
}

// props reads the properties of a node. The first thing that is wrong stays.
type props struct {
	values map[string]any
	read   map[string]bool
	err    error
}

func (p *props) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

// done is what was wrong, or what nobody has read.
func (p *props) done() error {
	for _, name := range slices.Sorted(maps.Keys(p.values)) {
		if !p.read[name] {
			p.fail("property %q is not supported", clip(name))
		}
	}
	return p.err
}

// raw is a text, "" if there is none.
func (p *props) raw(name string, most int) string {
	p.read[name] = true
	v, ok := p.values[name]
	if !ok || v == nil {
		return ""
	}
	s, ok := v.(string)
	switch {
	case !ok:
		p.fail("%s is no text", name)
	case len(s) > most:
		p.fail("%s has %d bytes; %d are allowed", name, len(s), most)
	case !utf8.ValidString(s):
		p.fail("%s is no text", name)
	case strings.ContainsFunc(s, func(c rune) bool { return unicode.IsControl(c) && c != '\n' && c != '\t' }):
		p.fail("%s has a control character in it", name)
	default:
		return s
	}
	return ""
}

// template as the client replaces it: no spaces around the key, which it would look for.
var (
	template = regexp.MustCompile(`\{\{[A-Za-z0-9_][A-Za-z0-9_.-]*\}\}`)
	opening  = "{{"
)

// template is a text that may have templates in it.
func (p *props) template(name string, needed bool) string {
	s := p.raw(name, maxText)
	if strings.Contains(template.ReplaceAllString(s, ""), opening) {
		p.fail("%s has a template that is not like {{key}}", name)
	}
	if needed && strings.TrimSpace(s) == "" {
		p.fail("has no %s", name)
	}
	return s
}

func (p *props) templated(name string) string { return p.template(name, true) }

// optional is a text that the client shows as it is.
func (p *props) optional(name string) string {
	s := p.raw(name, maxText)
	if strings.Contains(s, opening) {
		p.fail("%s has a template in it, which is not replaced there", name)
	}
	return s
}

func (p *props) literal(name string) string {
	s := p.optional(name)
	if strings.TrimSpace(s) == "" {
		p.fail("has no %s", name)
	}
	return s
}

// Ids and names: the client puts names into selectors as they are.
var plainName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,99}$`)

func (p *props) name(name string) string {
	s := p.raw(name, maxText)
	switch {
	case s == "":
		p.fail("has no %s", name)
	case !plainName.MatchString(s):
		p.fail("%s %q has to begin with a letter and can have letters, digits, dots, hyphens and underscores only", name, clip(s))
	}
	return s
}

func (p *props) choice(name, otherwise string, choices ...string) string {
	s := p.raw(name, maxText)
	if s == "" {
		return otherwise
	}
	if !slices.Contains(choices, s) {
		p.fail("%s %q is not supported", name, clip(s))
		return otherwise
	}
	return s
}

func (p *props) dataType(is string) { p.choice("data-type", is, is) }

func (p *props) boolean(name string) bool {
	p.read[name] = true
	switch v := p.values[name].(type) {
	case nil:
		return false
	case bool:
		return v
	default:
		p.fail("%s is neither true nor false", name)
		return false
	}
}

func (p *props) number(name string, otherwise, least, most int) int {
	p.read[name] = true
	var n float64
	switch v := p.values[name].(type) {
	case nil:
		return otherwise
	case float64:
		n = v
	case int:
		n = float64(v)
	default:
		p.fail("%s is no number", name)
		return otherwise
	}
	if n != float64(int(n)) || int(n) < least || int(n) > most {
		p.fail("%s is no whole number from %d to %d", name, least, most)
		return otherwise
	}
	return int(n)
}

var pictureData = regexp.MustCompile(`^data:image/(png|jpeg|gif|webp|svg\+xml);base64,[A-Za-z0-9+/=]*$`)

// address is where a link leads or a picture is: of the web, of this site, or what a
// template gives. Anything else could be a script.
func (p *props) address(name string, picture bool) string {
	most := maxText
	if picture {
		most = maxImage
	}
	s := p.raw(name, most)
	rest := template.ReplaceAllString(s, "")
	switch {
	case s == "":
		p.fail("has no %s", name)
		return ""
	case strings.Contains(rest, opening):
		p.fail("%s has a template that is not like {{key}}", name)
		return ""
	case template.FindStringIndex(s) != nil && template.FindStringIndex(s)[0] == 0:
		return s
	case picture && pictureData.MatchString(s):
		return s
	}
	u, err := url.Parse(template.ReplaceAllString(s, "x"))
	ok := err == nil && (u.Host != "" && (u.Scheme == "https" || u.Scheme == "http") ||
		u.Scheme == "" && u.Host == "" && strings.HasPrefix(s, "/") && !strings.HasPrefix(s, `/\`) ||
		u.Scheme == "mailto" && !picture)
	if !ok {
		p.fail("%s %q is no address of the web", name, clip(s))
	}
	return s
}

func clip(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}
