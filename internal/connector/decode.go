package connector

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const maxDepth = 8

// parse reads a body as one JSON object. Values are nil, bool, json.Number,
// string, []any and map[string]any. Unlike encoding/json into structs it minds
// case, refuses duplicate names, and keeps null apart from missing until a reader
// says that they mean the same.
func parse(body []byte) (map[string]any, error) {
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return nil, proof.Invalid("", "the body is empty; send a JSON object")
	case !utf8.Valid(body):
		return nil, proof.Invalid("", "the body is not valid UTF-8")
	case !json.Valid(body):
		return nil, proof.Invalid("", "the body is not one well-formed JSON value")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	v, err := value(dec, "", 0)
	if err != nil {
		return nil, err
	}
	fields, ok := v.(map[string]any)
	if !ok {
		return nil, proof.Invalid("", "the body must be a JSON object, not %s", kind(v))
	}
	return fields, nil
}

func value(dec *json.Decoder, path string, depth int) (any, error) {
	tok, err := dec.Token()
	if err != nil {
		return nil, proof.Invalid(path, "the body is not one well-formed JSON value")
	}
	delim, ok := tok.(json.Delim)
	if !ok {
		return tok, nil
	}
	if depth++; depth > maxDepth {
		return nil, proof.Invalid(path, "the body is nested too deeply")
	}
	if delim == '[' {
		list := []any{}
		for dec.More() {
			v, err := value(dec, path+"["+strconv.Itoa(len(list))+"]", depth)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = dec.Token()
		return list, err
	}
	fields := map[string]any{}
	for dec.More() {
		tok, err := dec.Token()
		name, ok := tok.(string)
		if err != nil || !ok {
			return nil, proof.Invalid(path, "the body is not one well-formed JSON value")
		}
		at := join(path, name)
		if _, twice := fields[name]; twice {
			return nil, proof.Invalid(at, "%s is given twice", at)
		}
		if fields[name], err = value(dec, at, depth); err != nil {
			return nil, err
		}
	}
	_, err = dec.Token()
	return fields, err
}

// join makes a field path. Names come from outside: long and odd ones are cut and
// quoted so that the message stays readable.
func join(path, name string) string {
	if !plainName(name) {
		if r := []rune(name); len(r) > 40 {
			name = string(r[:40]) + "…"
		}
		name = strconv.QuoteToGraphic(name)
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

// plainName is what keys look like that a flow can address by a dotted path.
func plainName(s string) bool {
	bad := strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-')
	})
	return s != "" && len(s) <= 64 && bad < 0
}

func kind(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case json.Number:
		return "a number"
	case string:
		return "a string"
	case []any:
		return "a list"
	}
	return "an object"
}

// absent says whether a value counts as not given: Descope's templates turn what
// they cannot resolve into null or "".
func absent(v any) bool { return v == nil || v == "" }

// reader takes the fields of one object out of the map, one after the other. The
// first thing that is wrong stays; finish reports it, or a field that nobody
// asked for.
type reader struct {
	path   string
	fields map[string]any
	known  []string
	err    error
}

func (r *reader) fail(at, format string, args ...any) {
	if r.err == nil {
		r.err = proof.Invalid(at, "%s %s", at, fmt.Sprintf(format, args...))
	}
}

func (r *reader) get(name string) (v any, at string, given bool) {
	r.known = append(r.known, name)
	v = r.fields[name]
	return v, join(r.path, name), !absent(v)
}

// text reads a string of at most limit bytes; absent is "".
func (r *reader) text(name string, limit int) string {
	v, at, given := r.get(name)
	if !given {
		return ""
	}
	return r.check(at, v, limit)
}

func (r *reader) check(at string, v any, limit int) string {
	return r.checkBut(at, v, limit, unicode.IsControl)
}

func (r *reader) checkBut(at string, v any, limit int, unwanted func(rune) bool) string {
	s, ok := v.(string)
	switch {
	case !ok:
		r.fail(at, "must be a string, not %s", kind(v))
	case len(s) > limit:
		r.fail(at, "must be at most %d bytes long", limit)
	case strings.ContainsRune(s, utf8.RuneError):
		r.fail(at, "is not valid Unicode")
	case strings.ContainsFunc(s, unwanted):
		r.fail(at, "must not hold control characters")
	default:
		return s
	}
	return ""
}

// lines reads a text that a person is to read, of at most limit bytes; it may
// have line breaks. Characters that make a page show a text in another order than
// it is stored in (UAX #9: embeddings and overrides) are refused, because what
// the person agrees to is what they see.
func (r *reader) lines(name string, limit int) string {
	v, at, given := r.get(name)
	if !given {
		return ""
	}
	return r.checkBut(at, v, limit, func(c rune) bool {
		return unicode.IsControl(c) && c != '\n' && c != '\r' || c >= '\u202a' && c <= '\u202e'
	})
}

// token reads a code or an id: no blanks, nothing that needs quoting.
func (r *reader) token(name string, limit int) string {
	s := r.text(name, limit)
	for _, c := range s {
		if c >= utf8.RuneSelf || !plainName(string(c)) && c != '.' && c != ':' {
			r.fail(join(r.path, name), "must be letters, digits, '_', '-', '.' or ':'")
			return ""
		}
	}
	return s
}

// yes reads a boolean, which Descope's templates send as a string; absent is false.
func (r *reader) yes(name string) bool {
	v, at, given := r.get(name)
	switch {
	case !given || v == false || v == "false":
		return false
	case v == true || v == "true":
		return true
	}
	r.fail(at, "must be true or false")
	return false
}

// seconds reads a whole number of them, which Descope's templates send as a
// string; absent is zero.
func (r *reader) seconds(name string) time.Duration {
	v, at, given := r.get(name)
	if !given {
		return 0
	}
	var digits string
	switch v := v.(type) {
	case json.Number:
		digits = v.String()
	case string:
		digits = v
	default:
		r.fail(at, "must be a number, not %s", kind(v))
		return 0
	}
	n, err := strconv.ParseUint(digits, 10, 31)
	if err != nil || n == 0 {
		r.fail(at, "must be a whole number of seconds, 1 or more, in digits")
		return 0
	}
	return time.Duration(n) * time.Second
}

// oneOf reads one of the given words.
func (r *reader) oneOf(name string, words ...string) string {
	v, at, given := r.get(name)
	if !given {
		return ""
	}
	return r.word(at, v, words)
}

func (r *reader) word(at string, v any, words []string) string {
	s, ok := v.(string)
	if !ok {
		r.fail(at, "must be a string, not %s", kind(v))
	} else if !slices.Contains(words, s) {
		r.fail(at, "must be one of %s", strings.Join(words, ", "))
	}
	return s
}

// listOf reads a list of distinct words, or a single one. Absent items are
// skipped; a list of nothing is absent.
func (r *reader) listOf(name string, words ...string) (out []string) {
	list, _ := r.list(name)
	for _, item := range list {
		if w := r.word(item.at, item.v, words); !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}

// item is one of a list, and where it stands.
type item struct {
	at string
	v  any
}

// list reads a list, of which absent items are left out, or one string as a list of it
// alone. n is how many items were given, absent ones too; -1 if the whole is absent or none.
func (r *reader) list(name string) (out []item, n int) {
	v, at, given := r.get(name)
	if !given {
		return nil, -1
	}
	items, ok := v.([]any)
	if !ok {
		if _, ok := v.(string); !ok {
			r.fail(at, "must be a list of strings or a string, not %s", kind(v))
			return nil, -1
		}
		return []item{{at, v}}, 1
	}
	for i, v := range items {
		if !absent(v) {
			out = append(out, item{fmt.Sprintf("%s[%d]", at, i), v})
		}
	}
	return out, len(items)
}

// object reads a nested object; what is absent reads like an empty one.
func (r *reader) object(name string) *reader {
	v, at, given := r.get(name)
	if !given {
		return &reader{path: at}
	}
	fields, ok := v.(map[string]any)
	if !ok {
		r.fail(at, "must be an object, not %s", kind(v))
	}
	return &reader{path: at, fields: fields}
}

// texts reads an object of strings; keys are plain names.
func (r *reader) texts(name string, count, limit int) map[string]string {
	in := r.object(name)
	if len(in.fields) > count {
		r.fail(in.path, "must have at most %d entries", count)
		return nil
	}
	out := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(in.fields)) {
		at := join(in.path, key)
		if !plainName(key) {
			r.fail(at, "must be named with 1 to 64 letters, digits, '_' or '-'")
		}
		if v := in.fields[key]; !absent(v) {
			out[key] = r.check(at, v, limit)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// date reads a day of the calendar as YYYY-MM-DD.
func (r *reader) date(name string) string {
	s := r.text(name, 64)
	if s == "" {
		return ""
	}
	if t, err := time.Parse(time.DateOnly, s); err != nil || t.Year() < 1 {
		r.fail(join(r.path, name), "must be a date such as 1990-12-31")
	}
	return s
}

// url reads an absolute http or https URL. Whether the caller may use it is the
// core's business.
func (r *reader) url(name string) string {
	s := r.text(name, 2048)
	if s == "" {
		return ""
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.Fragment != "" {
		r.fail(join(r.path, name), "must be an absolute https URL without user and fragment")
	}
	return s
}

// finish reports what was wrong, in this object or in the nested ones.
func (r *reader) finish(nested ...*reader) error {
	for _, name := range slices.Sorted(maps.Keys(r.fields)) {
		if !slices.Contains(r.known, name) {
			at := join(r.path, name)
			return proof.Invalid(at, "%s is not a field of this request; known: %s", at, strings.Join(r.known, ", "))
		}
	}
	if r.err != nil {
		return r.err
	}
	for _, n := range nested {
		if err := n.finish(); err != nil {
			return err
		}
	}
	return nil
}
