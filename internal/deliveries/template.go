package deliveries

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// A template is a JSON document. In its strings, but not in the names of its members,
// {{path}} stands for a part of what is told:
//
//	{{id}} {{type}} {{timestamp}} {{text}} {{data}} {{data.status}} {{data.items.0.name}}
//
// A string that is nothing but one placeholder becomes that value, whatever it is
// ("{{data}}" is an object, and null if there is no such thing). Within other text a
// placeholder becomes text: a string as it is, nothing for null, any other value as
// JSON. The result is encoded as JSON anew, so no value can end the string it is in.
// There is nothing else: no conditions, no loops, no code.
const (
	maxTemplate     = 16 << 10 // bytes
	maxPlaceholders = 64
	maxDepth        = 32
	maxBody         = 256 << 10 // of a request
)

var errBody = errors.New("deliveries: the body would be larger than 256 KB")

// CheckTemplate says in a sentence what is wrong with a template; "" if nothing is.
func CheckTemplate(t string) (problem string) {
	_, err := parseTemplate(t)
	if err != nil {
		return err.Error()
	}
	return ""
}

// FillTemplate makes a body of a template and what the placeholders stand for: id, type,
// timestamp, text and data.
func FillTemplate(t string, values map[string]any) ([]byte, error) {
	parsed, err := parseTemplate(t)
	if err != nil {
		return nil, err
	}
	filled, err := walk(parsed, 0, func(s string) (any, error) { return fillString(s, values) })
	if err != nil {
		return nil, err
	}
	out, err := encode(filled)
	if err == nil && len(out) > maxBody {
		return nil, errBody
	}
	return out, err
}

// parseTemplate returns the document, all of which was looked at.
func parseTemplate(t string) (any, error) {
	if t == "" {
		return nil, errors.New("a template is needed")
	}
	if len(t) > maxTemplate {
		return nil, errors.New("the template is longer than 16 KB")
	}
	doc, err := decodeJSON([]byte(t))
	if err != nil {
		return nil, errors.New("the template is not JSON; placeholders stand within quotes")
	}
	count := 0
	_, err = walk(doc, 0, func(s string) (any, error) {
		return nil, split(s, func(string) error { return nil }, func(path string) error {
			if count++; count > maxPlaceholders {
				return fmt.Errorf("the template has more than %d placeholders", maxPlaceholders)
			}
			return checkPath(path)
		})
	})
	return doc, err
}

// walk makes a copy of a document in which fn has replaced every string.
func walk(v any, depth int, fn func(string) (any, error)) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("the template is nested deeper than %d", maxDepth)
	}
	switch v := v.(type) {
	case string:
		return fn(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			var err error
			if out[i], err = walk(v[i], depth+1, fn); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, member := range v {
			if strings.Contains(name, "{{") {
				return nil, errors.New("placeholders cannot stand in the name of a member")
			}
			var err error
			if out[name], err = walk(member, depth+1, fn); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return v, nil
}

// split tells the parts of a string, in order.
func split(s string, text, placeholder func(string) error) error {
	for {
		before, rest, ok := strings.Cut(s, "{{")
		if before != "" {
			if err := text(before); err != nil {
				return err
			}
		}
		if !ok {
			return nil
		}
		path, after, ok := strings.Cut(rest, "}}")
		if !ok {
			return errors.New("a placeholder that starts with {{ does not end with }}")
		}
		if err := placeholder(strings.TrimSpace(path)); err != nil {
			return err
		}
		s = after
	}
}

func checkPath(path string) error {
	first, rest, deeper := strings.Cut(path, ".")
	switch first {
	case "id", "type", "timestamp", "text":
		if deeper {
			return fmt.Errorf("{{%s}} has no parts", first)
		}
		return nil
	case "data":
	default:
		return errors.New("a placeholder is one of id, type, timestamp, text, data, or data. and names with dots between")
	}
	if !deeper {
		return nil
	}
	for name := range strings.SplitSeq(rest, ".") {
		if name == "" || len(name) > 100 || strings.ContainsFunc(name, func(r rune) bool { return !wordRune(r) }) {
			return errors.New("the names in a placeholder are letters, digits, _ and -")
		}
	}
	return nil
}

func wordRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-'
}

func fillString(s string, values map[string]any) (any, error) {
	var whole any // the value of the one placeholder
	var b strings.Builder
	parts, only := 0, false
	err := split(s, func(text string) error {
		parts++
		b.WriteString(text)
		return nil
	}, func(path string) error {
		parts++
		whole, only = at(values, path), true
		switch v := whole.(type) {
		case nil:
		case string:
			b.WriteString(v)
		default:
			text, err := encode(v)
			if err != nil {
				return err
			}
			b.Write(text)
		}
		if b.Len() > maxBody {
			return errBody
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if parts == 1 && only {
		return whole, nil
	}
	return b.String(), nil
}

// at is the value at a path; nil if there is none.
func at(values map[string]any, path string) any {
	var v any = values
	for name := range strings.SplitSeq(path, ".") {
		switch in := v.(type) {
		case map[string]any:
			v = in[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(in) {
				return nil
			}
			v = in[i]
		default:
			return nil
		}
	}
	return v
}

// decodeJSON reads one document, in which numbers stay as they were written.
func decodeJSON(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("deliveries: more than one JSON document")
	}
	return v, nil
}

// encode writes JSON without escapes for HTML, which no receiver expects.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
