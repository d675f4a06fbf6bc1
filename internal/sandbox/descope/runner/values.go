package runner

import (
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// values is the context of an execution: what JSON can hold, nested by the dots of
// its keys.
type values map[string]any

// get finds a key such as connectors.kosmosIdv.session_url. Items of arrays are
// numbered from 0; whether Descope's are is unknown.
func (v values) get(key string) (any, bool) {
	var at any = map[string]any(v)
	for part := range strings.SplitSeq(key, ".") {
		switch in := at.(type) {
		case map[string]any:
			next, ok := in[part]
			if !ok {
				return nil, false
			}
			at = next
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(in) {
				return nil, false
			}
			at = in[i]
		default:
			return nil, false
		}
	}
	return at, true
}

// set puts a value under a key. What stands in the way and is no object goes.
func (v values) set(key string, value any) {
	at := map[string]any(v)
	parts := strings.Split(key, ".")
	for _, part := range parts[:len(parts)-1] {
		next, ok := at[part].(map[string]any)
		if !ok {
			next = map[string]any{}
			at[part] = next
		}
		at = next
	}
	at[parts[len(parts)-1]] = value
}

func (v values) remove(key string) {
	at := map[string]any(v)
	parts := strings.Split(key, ".")
	for _, part := range parts[:len(parts)-1] {
		next, ok := at[part].(map[string]any)
		if !ok {
			return
		}
		at = next
	}
	delete(at, parts[len(parts)-1])
}

// resolve puts the context's values in the place of {{templates}}, in strings
// however deep. What they bring is not looked into again.
func (v values) resolve(x any) any {
	switch x := x.(type) {
	case string:
		return v.text(x)
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, item := range x {
			out[k] = v.resolve(item)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, item := range x {
			out[i] = v.resolve(item)
		}
		return out
	default:
		return x
	}
}

// text resolves one string. One that is a single template takes the value with its
// type, nil if there is none; that Descope does so is inferred.
func (v values) text(s string) any {
	if !strings.Contains(s, "{{") {
		return s
	}
	if key, rest, ok := template(s); ok && rest == "" {
		value, _ := v.get(key)
		return value
	}
	var b strings.Builder
	for s != "" {
		i := strings.Index(s, "{{")
		if i < 0 {
			break
		}
		key, rest, ok := template(s[i:])
		if !ok { // never closed
			break
		}
		b.WriteString(s[:i])
		value, _ := v.get(key)
		b.WriteString(toText(value))
		s = rest
	}
	b.WriteString(s)
	return b.String()
}

// template splits a string that begins with a template.
func template(s string) (key, rest string, ok bool) {
	body, ok := strings.CutPrefix(s, "{{")
	if !ok {
		return "", "", false
	}
	key, rest, ok = strings.Cut(body, "}}")
	return strings.TrimSpace(key), rest, ok
}

// templates are the keys that a value's strings name.
func templates(x any) (keys []string) {
	switch x := x.(type) {
	case string:
		for {
			i := strings.Index(x, "{{")
			if i < 0 {
				return keys
			}
			key, rest, ok := template(x[i:])
			if !ok {
				return keys
			}
			keys, x = append(keys, key), rest
		}
	case map[string]any:
		for _, item := range x {
			keys = append(keys, templates(item)...)
		}
	case []any:
		for _, item := range x {
			keys = append(keys, templates(item)...)
		}
	}
	return keys
}

// The conversions below are those of the evaluator of conditions in Descope's
// published web component (realtime-conditions), which says that it mirrors the
// server's.

func toText(x any) string {
	switch x := x.(type) {
	case nil:
		return ""
	case string:
		return x
	case bool:
		return strconv.FormatBool(x)
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return ""
		}
		return strconv.FormatFloat(x, 'f', -1, 64)
	case []any: // as JavaScript joins them
		parts := make([]string, len(x))
		for i, item := range x {
			parts[i] = toText(item)
		}
		return strings.Join(parts, ",")
	default: // the evaluator makes all objects the same text, by which any two are equal
		b, err := json.Marshal(x)
		if err != nil {
			return ""
		}
		return string(b)
	}
}

func toFloat(x any) (float64, bool) {
	switch x := x.(type) {
	case float64:
		return x, !math.IsNaN(x) && !math.IsInf(x, 0)
	case bool:
		if x {
			return 1, true
		}
		return 0, true
	case string:
		f, err := strconv.ParseFloat(strings.TrimSpace(x), 64)
		return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
	}
	return 0, false
}

func toBool(x any) (value, ok bool) {
	switch x := x.(type) {
	case bool:
		return x, true
	case string:
		return x == "true", x == "true" || x == "false"
	case float64:
		return x != 0, true
	}
	return false, false
}

func toList(x any) ([]any, bool) {
	switch x := x.(type) {
	case []any:
		return x, true
	case string:
		var list []any
		for item := range strings.SplitSeq(x, ",") {
			list = append(list, item)
		}
		return list, true
	}
	return nil, false
}

func isEmpty(x any) bool {
	switch x := x.(type) {
	case nil:
		return true
	case string:
		return x == ""
	case []any:
		return len(x) == 0
	case map[string]any:
		return len(x) == 0
	}
	return false
}

// same is JavaScript's === for what JSON can hold, except that two objects or lists
// are the same if they hold the same.
func same(a, b any) bool { return reflect.DeepEqual(a, b) }

// plain makes of any value what JSON makes of it, so that contexts hold nothing else.
func plain(x any) (any, error) {
	b, err := json.Marshal(x)
	if err != nil {
		return nil, err
	}
	var out any
	err = json.Unmarshal(b, &out)
	return out, err
}
