package httpsig

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Token is a structured-field token (RFC 9651 section 3.3.4), which is not the
// same as a string with the same text.
type Token string

// Param is one parameter. Value is a string, Token, int64, bool or []byte.
type Param struct {
	Name  string
	Value any
}

// Component names one covered part of a message, e.g. "@method" or
// "content-type", with its parameters in order.
type Component struct {
	Name   string
	Params []Param
}

// Input is one member of Signature-Input: what is covered, and the parameters
// of the signature in the order in which they were received.
type Input struct {
	Components []Component
	Params     []Param
}

// Covers reports whether a component with that name and without parameters is covered.
func (in Input) Covers(name string) bool {
	for _, c := range in.Components {
		if c.Name == name && len(c.Params) == 0 {
			return true
		}
	}
	return false
}

// Text returns a string parameter, and whether it is there with that type.
func (in Input) Text(name string) (string, bool) {
	for _, p := range in.Params {
		if p.Name == name {
			s, ok := p.Value.(string)
			return s, ok
		}
	}
	return "", false
}

// Int returns an integer parameter, and whether it is there with that type.
func (in Input) Int(name string) (int64, bool) {
	for _, p := range in.Params {
		if p.Name == name {
			n, ok := p.Value.(int64)
			return n, ok
		}
	}
	return 0, false
}

// Has reports whether the parameter is there, whatever its type.
func (in Input) Has(name string) bool {
	for _, p := range in.Params {
		if p.Name == name {
			return true
		}
	}
	return false
}

// String is the strict serialization of RFC 9421 section 2.3, as it stands in
// Signature-Input after the label and in the @signature-params line.
func (in Input) String() string {
	var b strings.Builder
	b.WriteByte('(')
	for i, c := range in.Components {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(c.String())
	}
	b.WriteByte(')')
	writeParams(&b, in.Params)
	return b.String()
}

// String is the component identifier as it stands in the signature base.
func (c Component) String() string {
	var b strings.Builder
	writeItem(&b, c.Name)
	writeParams(&b, c.Params)
	return b.String()
}

func writeParams(b *strings.Builder, ps []Param) {
	for _, p := range ps {
		b.WriteByte(';')
		b.WriteString(p.Name)
		if p.Value == true {
			continue
		}
		b.WriteByte('=')
		writeItem(b, p.Value)
	}
}

func writeItem(b *strings.Builder, v any) {
	switch v := v.(type) {
	case string:
		b.WriteByte('"')
		for i := range len(v) {
			if v[i] == '"' || v[i] == '\\' {
				b.WriteByte('\\')
			}
			b.WriteByte(v[i])
		}
		b.WriteByte('"')
	case Token:
		b.WriteString(string(v))
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case bool:
		if v {
			b.WriteString("?1")
		} else {
			b.WriteString("?0")
		}
	case []byte:
		b.WriteByte(':')
		b.WriteString(base64.StdEncoding.EncodeToString(v))
		b.WriteByte(':')
	default:
		panic(fmt.Sprintf("httpsig: %T is not a structured-field value", v))
	}
}

// Limits keep the work that an unauthenticated header can cause small.
const (
	maxFieldBytes = 16 << 10
	maxMembers    = 8
	maxComponents = 32
	maxParams     = 16
)

var errSyntax = errors.New("not a valid structured field")

// member is one member of a dictionary: an inner list or an item, with parameters.
type member struct {
	name  string
	list  []Component // for inner lists
	inner bool
	value any // for items
	param []Param
}

// parseDictionary reads a dictionary (RFC 9651 section 4.2.2). Of two members
// with one name, RFC 9651 keeps the last; here that is an error, because a
// message that says two things is not to be trusted.
func parseDictionary(lines []string) ([]member, error) {
	s := strings.Join(lines, ", ")
	if len(s) > maxFieldBytes {
		return nil, errSyntax
	}
	p := &parser{s: strings.Trim(s, " ")}
	var out []member
	for !p.done() {
		m := member{value: true}
		var err error
		if m.name, err = p.key(); err != nil {
			return nil, err
		}
		for _, o := range out {
			if o.name == m.name {
				return nil, errSyntax
			}
		}
		if p.take('=') {
			if p.peek() == '(' {
				m.inner = true
				m.value = nil
				m.list, err = p.innerList()
			} else {
				m.value, err = p.item()
			}
			if err != nil {
				return nil, err
			}
		}
		if m.param, err = p.params(); err != nil {
			return nil, err
		}
		if out = append(out, m); len(out) > maxMembers {
			return nil, errSyntax
		}
		p.ows()
		if p.done() {
			return out, nil
		}
		if !p.take(',') {
			return nil, errSyntax
		}
		p.ows()
		if p.done() {
			return nil, errSyntax // trailing comma
		}
	}
	return out, nil
}

type parser struct {
	s string
	i int
}

func (p *parser) done() bool { return p.i >= len(p.s) }

func (p *parser) peek() byte {
	if p.done() {
		return 0
	}
	return p.s[p.i]
}

func (p *parser) take(c byte) bool {
	if p.peek() != c || p.done() {
		return false
	}
	p.i++
	return true
}

func (p *parser) ows() {
	for p.peek() == ' ' || p.peek() == '\t' {
		p.i++
	}
}

func (p *parser) sp() {
	for p.peek() == ' ' {
		p.i++
	}
}

func lower(c byte) bool { return 'a' <= c && c <= 'z' }
func upper(c byte) bool { return 'A' <= c && c <= 'Z' }
func digit(c byte) bool { return '0' <= c && c <= '9' }

func (p *parser) key() (string, error) {
	start := p.i
	if c := p.peek(); !lower(c) && c != '*' {
		return "", errSyntax
	}
	for c := p.peek(); lower(c) || digit(c) || c == '_' || c == '-' || c == '.' || c == '*'; c = p.peek() {
		p.i++
	}
	return p.s[start:p.i], nil
}

func (p *parser) innerList() ([]Component, error) {
	p.take('(')
	list := []Component{}
	for {
		p.sp()
		if p.take(')') {
			return list, nil
		}
		v, err := p.item()
		if err != nil {
			return nil, err
		}
		name, ok := v.(string) // component identifiers are strings (RFC 9421 section 2)
		if !ok {
			return nil, errSyntax
		}
		ps, err := p.params()
		if err != nil {
			return nil, err
		}
		if list = append(list, Component{Name: name, Params: ps}); len(list) > maxComponents {
			return nil, errSyntax
		}
		if c := p.peek(); c != ' ' && c != ')' {
			return nil, errSyntax
		}
	}
}

func (p *parser) params() ([]Param, error) {
	var out []Param
	for p.take(';') {
		p.sp()
		name, err := p.key()
		if err != nil {
			return nil, err
		}
		v := any(true)
		if p.take('=') {
			if v, err = p.item(); err != nil {
				return nil, err
			}
		}
		for _, o := range out {
			if o.Name == name {
				return nil, errSyntax
			}
		}
		if out = append(out, Param{name, v}); len(out) > maxParams {
			return nil, errSyntax
		}
	}
	return out, nil
}

func (p *parser) item() (any, error) {
	switch c := p.peek(); {
	case c == '"':
		return p.str()
	case c == ':':
		return p.bytes()
	case c == '?':
		p.i++
		switch {
		case p.take('1'):
			return true, nil
		case p.take('0'):
			return false, nil
		}
		return nil, errSyntax
	case c == '-' || digit(c):
		return p.integer()
	case lower(c) || upper(c) || c == '*':
		start := p.i
		for c := p.peek(); !p.done() && (lower(c) || upper(c) || digit(c) || strings.IndexByte("!#$%&'*+-.^_`|~:/", c) >= 0); c = p.peek() {
			p.i++
		}
		return Token(p.s[start:p.i]), nil
	}
	return nil, errSyntax
}

func (p *parser) str() (any, error) {
	p.i++
	var b strings.Builder
	for !p.done() {
		c := p.s[p.i]
		p.i++
		switch {
		case c == '"':
			return b.String(), nil
		case c == '\\':
			if n := p.peek(); n != '"' && n != '\\' {
				return nil, errSyntax
			}
			b.WriteByte(p.s[p.i])
			p.i++
		case c < 0x20 || c > 0x7e:
			return nil, errSyntax
		default:
			b.WriteByte(c)
		}
	}
	return nil, errSyntax
}

func (p *parser) bytes() (any, error) {
	p.i++
	end := strings.IndexByte(p.s[p.i:], ':')
	if end < 0 {
		return nil, errSyntax
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(p.s[p.i : p.i+end])
	if err != nil {
		return nil, errSyntax
	}
	p.i += end + 1
	return raw, nil
}

// integer reads an integer of at most 15 digits. Decimals are not used by RFC
// 9421 and are refused.
func (p *parser) integer() (any, error) {
	start := p.i
	p.take('-')
	first := p.i
	for digit(p.peek()) {
		p.i++
	}
	if n := p.i - first; n == 0 || n > 15 || p.peek() == '.' {
		return nil, errSyntax
	}
	n, err := strconv.ParseInt(p.s[start:p.i], 10, 64)
	if err != nil {
		return nil, errSyntax
	}
	return n, nil
}
