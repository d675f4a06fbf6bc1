package descope

import (
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"
)

// fields is a JSON object of Descope's. What of it is of another type than ours counts as
// not told, so that one odd field does not hide the others.
type fields map[string]json.RawMessage

// raw finds a field; Descope's own documents differ in case (reference/descope.md 5.3).
func (f fields) raw(name string) json.RawMessage {
	if v, ok := f[name]; ok {
		return v
	}
	for k, v := range f {
		if strings.EqualFold(k, name) {
			return v
		}
	}
	return nil
}

func (f fields) text(name string) (s string) {
	_ = json.Unmarshal(f.raw(name), &s)
	return s
}

func (f fields) flag(name string) (b bool) {
	_ = json.Unmarshal(f.raw(name), &b)
	return b
}

// texts is a list of texts, without what in it is none; nil if nothing is left.
func (f fields) texts(name string) (list []string) {
	var items []any
	_ = json.Unmarshal(f.raw(name), &items)
	for _, item := range items {
		if s, ok := item.(string); ok && s != "" {
			list = append(list, s)
		}
	}
	return list
}

// object is an object; nil if there is nothing in it.
func (f fields) object(name string) (m map[string]any) {
	_ = json.Unmarshal(f.raw(name), &m)
	if len(m) == 0 {
		return nil
	}
	return m
}

// number takes numbers and strings of them: both are documented for times.
func (f fields) number(name string) (int64, bool) {
	var n json.Number
	if json.Unmarshal(f.raw(name), &n) != nil {
		return 0, false
	}
	v, err := n.Int64()
	return v, err == nil
}

// seconds is a time of unix seconds; zero if there is none.
func (f fields) seconds(name string) time.Time {
	if n, ok := f.number(name); ok && n > 0 && n < 1e12 {
		return time.Unix(n, 0).UTC()
	}
	return time.Time{}
}

// millis is a time of unix milliseconds; zero if there is none.
func (f fields) millis(name string) time.Time {
	if n, ok := f.number(name); ok && n > 0 && n < 1e15 {
		return time.UnixMilli(n).UTC()
	}
	return time.Time{}
}

// word reports whether s can be an id or a name: text of one line and at most so many bytes.
func word(s string, most int) bool {
	return s != "" && len(s) <= most && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
