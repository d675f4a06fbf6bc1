package in

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Limits of one element.
const (
	maxElement = 64 << 10 // bytes
	maxDepth   = 32
	maxAction  = 128  // bytes
	maxText    = 1024 // bytes
	maxIDs     = 100  // login ids, Descope tenants
	maxKept    = 4096 // bytes of an element that cannot be read
)

// wire is an event as the Audit Webhook sends it; other fields may come, too. How the
// times are written is not settled (reference/descope.md 6.2).
type wire struct {
	Action            string          `json:"action"`
	ActorID           string          `json:"actorId"`
	UserID            string          `json:"userId"`
	Occurred          json.RawMessage `json:"occurred"`
	OccurredFormatted string          `json:"occurred_formatted"`
	Device            string          `json:"device"`
	Method            string          `json:"method"`
	Geo               string          `json:"geo"`
	RemoteAddress     string          `json:"remoteAddress"`
	Type              string          `json:"type"`
	LoginIDs          []string        `json:"loginIds"`
	ExternalIDs       []string        `json:"externalIds"` // what audit search calls them
	Tenants           []string        `json:"tenants"`
	Data              map[string]any  `json:"data"`
}

// Decode reads the body of a request with events: an array of objects or one object. An
// element that cannot be read is not an error but comes back with Refused set, and with
// what it was and what is wrong with it in its data: whoever sent it would send it again,
// and hold up the others. An error says that the body is no list at all (invalid) or has
// more than hooks.MaxAccept elements (too_large).
func Decode(body []byte) ([]hooks.Told, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, proof.Invalid("", "the body is empty; send a JSON array of events")
	}
	parts, err := split(body)
	if err != nil {
		return nil, err
	}
	told := make([]hooks.Told, len(parts))
	for i, p := range parts {
		if problem := read(p, &told[i]); problem != "" {
			told[i] = refused(p.raw, &told[i], problem)
		}
	}
	return told, nil
}

// part is one element of the array, and how deep it is nested.
type part struct {
	raw   []byte
	depth int
}

// split finds the borders of the elements without reading them: what is wrong inside of
// one, reading it shows.
func split(body []byte) ([]part, error) {
	rest := bytes.TrimLeft(body, " \t\r\n")
	if rest[0] == '{' {
		end, depth := element(rest, 0)
		if end < 0 || len(bytes.TrimSpace(rest[end:])) > 0 {
			return nil, proof.Invalid("", "the body is not one well-formed JSON value")
		}
		return []part{{rest[:end], depth}}, nil
	}
	if rest[0] != '[' {
		return nil, proof.Invalid("", "the body must be a JSON array of events, or one event as an object")
	}
	var parts []part
	at := 1
	for {
		if len(parts) == 0 && len(rest) > at { // an array of nothing
			if t := bytes.TrimLeft(rest[at:], " \t\r\n"); len(t) > 0 && t[0] == ']' && len(bytes.TrimSpace(t[1:])) == 0 {
				return nil, nil
			}
		}
		end, depth := element(rest, at)
		if end < 0 || end == len(rest) {
			return nil, proof.Invalid(fmt.Sprintf("[%d]", len(parts)), "element %d does not end, or the array does not", len(parts))
		}
		if len(parts) == hooks.MaxAccept {
			return nil, &proof.Error{
				Code: proof.CodeTooLarge, Reason: proof.ReasonTooLarge, Field: fmt.Sprintf("[%d]", hooks.MaxAccept),
				Message: fmt.Sprintf("more than %d events in one request", hooks.MaxAccept),
			}
		}
		parts = append(parts, part{bytes.TrimSpace(rest[at:end]), depth})
		if rest[end] == ']' {
			if len(bytes.TrimSpace(rest[end+1:])) > 0 {
				return nil, proof.Invalid("", "there is something after the array")
			}
			return parts, nil
		}
		at = end + 1
	}
}

// element returns where the one ends that begins at at: at a comma or a bracket that is
// not its own, or after its last brace if it is not in an array (at is 0). -1: nowhere.
func element(b []byte, at int) (end, deepest int) {
	depth := 0
	for i := at; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
			if i >= len(b) {
				return -1, deepest
			}
		case '{', '[':
			depth++
			deepest = max(deepest, depth)
		case '}', ']':
			if depth == 0 {
				if b[i] == '}' {
					return -1, deepest
				}
				return i, deepest
			}
			if depth--; depth == 0 && at == 0 {
				return i + 1, deepest
			}
		case ',':
			if depth == 0 {
				return i, deepest
			}
		}
	}
	return -1, deepest
}

// read reads one element, and says what is wrong with it if it cannot be evaluated.
func read(p part, into *hooks.Told) (problem string) {
	switch {
	case len(p.raw) > maxElement:
		return fmt.Sprintf("is larger than %d bytes", maxElement)
	case p.depth > maxDepth:
		return "is nested too deeply"
	case len(p.raw) == 0 || p.raw[0] != '{':
		return "is not an object"
	}
	var w wire
	if json.Unmarshal(p.raw, &w) != nil {
		if problem = w.lenient(p.raw); problem != "" {
			into.Content.UserID, into.Content.LoginIDs = w.who()
			return problem
		}
	}
	if len(w.LoginIDs) == 0 {
		w.LoginIDs = w.ExternalIDs
	}
	if problem = w.bounded(); problem != "" {
		into.Content.UserID, into.Content.LoginIDs = w.who()
		return problem
	}
	into.Action = w.Action
	into.Content = hooks.Content{
		UserID: w.UserID, LoginIDs: w.LoginIDs, ActorID: w.ActorID, Method: w.Method, Device: w.Device, Geo: w.Geo,
		RemoteAddress: w.RemoteAddress, Tenants: w.Tenants, Type: w.Type, Data: w.Data,
	}
	var ok bool
	if into.OccurredAt, ok = occurred(w.Occurred, w.OccurredFormatted); !ok {
		return "must have occurred: milliseconds since 1970 as a number or as text, or a time as in RFC 3339"
	}
	return ""
}

// who is it about, as far as that is not too large to keep.
func (w *wire) who() (user string, logins []string) {
	if len(w.UserID) <= maxText {
		user = w.UserID
	}
	for _, id := range w.LoginIDs {
		if len(id) <= maxText && len(logins) < maxIDs {
			logins = append(logins, id)
		}
	}
	return user, logins
}

// bounded says what is missing or too large.
func (w *wire) bounded() string {
	switch {
	case w.Action == "":
		return "has no action"
	case len(w.Action) > maxAction || strings.ContainsFunc(w.Action, unicode.IsControl):
		w.Action = ""
		return fmt.Sprintf("has an action of more than %d bytes, or with control characters", maxAction)
	case len(w.LoginIDs) > maxIDs || len(w.Tenants) > maxIDs:
		return fmt.Sprintf("has more than %d login ids or tenants", maxIDs)
	}
	for _, s := range []string{w.ActorID, w.UserID, w.Device, w.Method, w.Geo, w.RemoteAddress, w.Type} {
		if len(s) > maxText {
			return fmt.Sprintf("has a field of more than %d bytes", maxText)
		}
	}
	for _, list := range [][]string{w.LoginIDs, w.Tenants} {
		for _, s := range list {
			if len(s) > maxText {
				return fmt.Sprintf("has an id of more than %d bytes", maxText)
			}
		}
	}
	return ""
}

// lenient reads an element whose fields are not all of the types that we know. One that
// only describes is left out then; one that says what happened, when, or to whom, is not
// to be guessed.
func (w *wire) lenient(raw []byte) (problem string) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return "is not well-formed JSON"
	}
	*w = wire{Occurred: fields["occurred"]}
	for name, into := range map[string]*string{
		"occurred_formatted": &w.OccurredFormatted, "device": &w.Device, "method": &w.Method, "geo": &w.Geo, "remoteAddress": &w.RemoteAddress, "type": &w.Type,
	} {
		if json.Unmarshal(orNull(fields[name]), into) != nil {
			*into = ""
		}
	}
	for _, f := range []struct {
		name string
		into *string
	}{{"action", &w.Action}, {"actorId", &w.ActorID}, {"userId", &w.UserID}} {
		if json.Unmarshal(orNull(fields[f.name]), f.into) != nil {
			return "has " + f.name + " that is not a string"
		}
	}
	for _, f := range []struct {
		name string
		into *[]string
	}{{"loginIds", &w.LoginIDs}, {"externalIds", &w.ExternalIDs}, {"tenants", &w.Tenants}} {
		var one string
		switch {
		case json.Unmarshal(orNull(fields[f.name]), f.into) == nil:
		case json.Unmarshal(fields[f.name], &one) == nil:
			*f.into = []string{one}
		default:
			return "has " + f.name + " that is not a list of strings"
		}
	}
	if json.Unmarshal(orNull(fields["data"]), &w.Data) != nil {
		var v any
		_ = json.Unmarshal(fields["data"], &v)
		w.Data = map[string]any{"value": v}
	}
	return ""
}

func orNull(raw json.RawMessage) json.RawMessage {
	if raw == nil {
		return json.RawMessage("null")
	}
	return raw
}

// Descope is younger than the first, and the second is far away: in another unit than
// milliseconds a time is outside of them.
const firstMS, lastMS = 1_000_000_000_000, 10_000_000_000_000 // 2001-09-09, 2286-11-20

// occurred reads when it happened, to the millisecond.
func occurred(raw json.RawMessage, formatted string) (time.Time, bool) {
	s := string(raw)
	if len(raw) > 0 && raw[0] == '"' {
		if json.Unmarshal(raw, &s) != nil {
			return time.Time{}, false
		}
	}
	if s == "" || s == "null" {
		s = formatted
	}
	s = strings.TrimSpace(s)
	ms, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		if f, ferr := strconv.ParseFloat(s, 64); ferr == nil && f >= firstMS && f < lastMS {
			ms = int64(f)
		} else if t, terr := time.Parse(time.RFC3339, s); terr == nil {
			ms = t.UnixMilli()
		}
	}
	if ms < firstMS || ms >= lastMS {
		return time.Time{}, false
	}
	return time.UnixMilli(ms).UTC(), true
}

// refused is what is kept of an element that cannot be evaluated. What could be read of
// who it is about stays beside, so that it goes when that person is erased.
func refused(raw []byte, read *hooks.Told, problem string) hooks.Told {
	data := map[string]any{"problem": "the event " + problem}
	if len(raw) > maxKept { // what is cut off still tells two such events apart
		data["sha256"] = fmt.Sprintf("%x", sha256.Sum256(raw))
		raw = raw[:maxKept]
	}
	data["element"] = strings.ToValidUTF8(string(raw), "\uFFFD")
	return hooks.Told{
		Action: read.Action, Refused: proof.ReasonInvalidRequest,
		Content: hooks.Content{UserID: read.Content.UserID, LoginIDs: read.Content.LoginIDs, Data: data},
	}
}
