package deliveries

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxEndpoints = 500 // of a tenant
	maxName      = 100 // characters
	maxEvents    = 50
	maxHeaders   = 10
	maxValue     = 2048 // bytes of a header or token
)

// Problem is one thing that is wrong with what was entered.
type Problem struct {
	Field   string `json:"field"`   // of Input, as its JSON names it
	Message string `json:"message"` // a sentence that says what to do
}

// Input is an endpoint as somebody enters it.
type Input struct {
	Name         string   `json:"name"`
	URL          string   `json:"url"` // what Endpoint.URL shows of a saved one keeps that one
	Events       []string `json:"events"`
	Shape        Shape    `json:"shape"`
	Template     string   `json:"template"`
	AllowPrivate bool     `json:"allow_private"`
	Disabled     bool     `json:"disabled"`
	// Token is the tool's: Splunk's HEC token, Datadog's API key, Segment's write key. Never
	// shown again; "" keeps what is saved.
	Token string `json:"token,omitempty"`
	// Headers are further credentials, of shapes standard and template. nil keeps what is
	// saved, and so does the value "" of one name.
	Headers map[string]string `json:"headers,omitempty"`
	// Signing is "hmac" or "ed25519", for a new endpoint of shape standard or template.
	Signing string `json:"signing,omitempty"`
	Version int64  `json:"version"` // of what was changed
}

// Shapes are all shapes.
func Shapes() []Shape {
	return []Shape{ShapeStandard, ShapeSlack, ShapeSplunk, ShapeDatadog, ShapeSegment, ShapeTemplate}
}

// Signs reports whether requests of a shape are signed: where the receiver is somebody's
// own program.
func (s Shape) Signs() bool { return s == ShapeStandard || s == ShapeTemplate }

// TakesToken reports whether a shape is of a tool that has a token of its own.
func (s Shape) TakesToken() bool { return s == ShapeSplunk || s == ShapeDatadog || s == ShapeSegment }

var (
	typePattern   = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)
	headerPattern = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")
)

func typeName(t string) bool { return len(t) <= 100 && typePattern.MatchString(t) }

// ours are headers that we set, or that say how a request is cut up on the wire.
var ours = []string{
	"host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade",
	"expect", "user-agent", "proxy-authorization", "proxy-connection",
}

// Check says what is wrong with a new endpoint.
func (s *Service) Check(in Input) []Problem { return check(in, nil, &EndpointSecrets{}) }

// check says what is wrong with an endpoint, which is saved already or nil.
func check(in Input, saved *Endpoint, secrets *EndpointSecrets) (out []Problem) {
	add := func(field, problem string) {
		if problem != "" {
			out = append(out, Problem{field, problem})
		}
	}
	add("name", checkName(in.Name))
	if !slices.Contains(Shapes(), in.Shape) {
		add("shape", "the shape is one of standard, slack, splunk_hec, datadog, segment, template")
	}
	full := target(in, saved, secrets)
	if problem := CheckURL(full, in.AllowPrivate); problem != "" {
		add("url", problem)
	} else if strings.Contains(full, hidden) {
		add("url", "this URL is shortened; enter it in full")
	}
	// Who may change an address must not learn by that the credentials that are hidden.
	moved := saved != nil && origin(full) != origin(target(Input{URL: saved.URL}, saved, secrets))
	if len(in.Events) > maxEvents {
		add("events", fmt.Sprintf("at most %d events; use a prefix, as verification.*", maxEvents))
	}
	for _, e := range in.Events[:min(len(in.Events), maxEvents)] {
		if e != "*" && !typeName(strings.TrimSuffix(e, ".*")) {
			add("events", "an event is words of letters, digits, _ and - with dots between; .* at the end stands for all that begin so")
			break
		}
	}
	if in.Shape == ShapeTemplate {
		add("template", CheckTemplate(in.Template))
	} else if in.Template != "" {
		add("template", "only shape template has a template")
	}
	switch {
	case !in.Shape.TakesToken():
		if in.Token != "" {
			add("token", "this shape has no token; use headers")
		}
	case in.Token == "" && (saved == nil || saved.Shape != in.Shape || len(secrets.Headers) == 0):
		add("token", "the tool's token is needed")
	case in.Token == "" && moved:
		add("token", "the address is another one: enter the token again")
	default:
		add("token", checkValue(in.Token))
	}
	out = append(out, checkHeaders(in, saved, secrets, moved)...)
	switch {
	case in.Signing == "":
	case !in.Shape.Signs():
		add("signing", "requests of this shape are not signed")
	case in.Signing != "hmac" && in.Signing != "ed25519":
		add("signing", "signing is hmac or ed25519")
	}
	return out
}

func checkName(name string) string {
	switch {
	case strings.TrimSpace(name) == "":
		return "a name is needed"
	case utf8.RuneCountInString(name) > maxName || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Sprintf("a name is at most %d printable characters", maxName)
	}
	return ""
}

func checkValue(v string) string {
	if len(v) > maxValue || strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' }) || strings.TrimSpace(v) != v {
		return "a token or header is at most 2048 characters of ASCII, without spaces around it"
	}
	return ""
}

func checkHeaders(in Input, saved *Endpoint, secrets *EndpointSecrets, moved bool) (out []Problem) {
	add := func(problem string) { out = append(out, Problem{"headers", problem}) }
	if len(in.Headers) > 0 && !in.Shape.Signs() {
		add("this shape has no headers of its own")
		return out
	}
	if len(in.Headers) > maxHeaders {
		add(fmt.Sprintf("at most %d headers", maxHeaders))
		return out
	}
	if in.Headers == nil && moved && in.Shape.Signs() && saved.Shape.Signs() && len(secrets.Headers) > 0 {
		add("the address is another one: enter the headers again")
	}
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(in.Headers)) {
		lower := strings.ToLower(name)
		_, kept := secrets.Headers[name]
		switch value := in.Headers[name]; {
		case !headerPattern.MatchString(name):
			add("a header's name is letters, digits and -")
		case slices.Contains(ours, lower) || strings.HasPrefix(lower, "webhook-"):
			add("the header " + name + " is ours to set")
		case seen[lower]:
			add("the header " + name + " is there twice")
		case value == "" && (!kept || saved == nil || !saved.Shape.Signs()):
			add("the header " + name + " needs a value")
		case value == "" && moved:
			add("the address is another one: enter the header " + name + " again")
		case checkValue(value) != "":
			add(checkValue(value))
		}
		seen[lower] = true
	}
	return out
}

// origin is the part of a URL that says who is there.
func origin(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + strings.ToLower(u.Host)
}

// target is where an endpoint goes in full.
func target(in Input, saved *Endpoint, secrets *EndpointSecrets) string {
	if saved != nil && in.URL == saved.URL && secrets.URL != "" {
		return secrets.URL
	}
	return in.URL
}
