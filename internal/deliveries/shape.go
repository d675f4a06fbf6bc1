package deliveries

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// standard is the body of shape standard.
type standard struct {
	Type      string         `json:"type"`
	Timestamp time.Time      `json:"timestamp"` // of what happened, not of the attempt
	Text      string         `json:"text,omitempty"`
	Data      map[string]any `json:"data"`
}

// request is what is sent, but for its signature.
type request struct {
	URL    string
	Header http.Header
	Body   []byte
	Sign   bool // receivers of this shape can check signatures
}

// makeRequest puts a message into the shape that an endpoint expects. target is where
// it goes in full.
func makeRequest(e *Endpoint, target string, secrets *EndpointSecrets, m *Message, body []byte) (*request, error) {
	r := &request{URL: target, Header: http.Header{}, Body: body}
	for name, value := range secrets.Headers {
		r.Header.Set(name, value)
	}
	var said standard
	raw, err := decodeJSON(body)
	values, ok := raw.(map[string]any)
	if err != nil || !ok {
		return nil, fmt.Errorf("deliveries: a message's body cannot be read")
	}
	if err := json.Unmarshal(body, &said); err != nil {
		return nil, fmt.Errorf("deliveries: a message's body cannot be read")
	}
	said.Data, _ = values["data"].(map[string]any) // with its numbers as they were written
	id := MessageID(m.ID)
	switch e.Shape {
	case ShapeStandard:
		r.Sign = true
	case ShapeTemplate:
		values["id"], r.Sign = id, true
		r.Body, err = FillTemplate(e.Template, values)
	case ShapeSlack:
		r.Body, err = encode(slack(said, id))
	case ShapeSplunk:
		r.URL = withPath(target, "/services/collector/event")
		r.Body, err = encode(splunk(said, id))
	case ShapeDatadog:
		r.URL = withPath(target, "/api/v2/logs")
		r.Body, err = encode(datadog(said, id))
	case ShapeSegment:
		r.URL = withPath(target, "/v1/track")
		r.Body, err = encode(segment(said, m, id))
	default:
		err = fmt.Errorf("deliveries: shape %q is not known", e.Shape)
	}
	return r, err
}

// withPath adds the path that a tool listens at where the URL names none.
func withPath(target, path string) string {
	u, err := url.Parse(target)
	if err != nil || u.Path != "" && u.Path != "/" {
		return target
	}
	u.Path = path
	return u.String()
}

func (s standard) sentence() string {
	if s.Text != "" {
		return s.Text
	}
	return s.Type
}

// told are members of data that say how something ended, in words of ours. Slack shows
// these and no others: what else is there may be personal, and a channel has many readers.
var told = []string{"status", "result", "match_result", "decision", "reason"}

// slackEscape is what Slack asks for in text ("Formatting text for app surfaces"): with
// it nothing becomes a link, or calls a channel together.
var slackEscape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// slack is for incoming webhooks: text for notifications, blocks for the channel. Slack
// takes 3000 characters in a section.
func slack(s standard, id string) map[string]any {
	text := func(kind, t string) map[string]any { return map[string]any{"type": kind, "text": t} }
	sentence := slackEscape.Replace(cut(s.sentence(), 500)) // an escape is five for one
	blocks := []any{map[string]any{"type": "section", "text": text("mrkdwn", sentence)}}
	var fields []any
	for _, name := range told {
		if v, ok := s.Data[name].(string); ok && v != "" {
			fields = append(fields, text("mrkdwn", "*"+strings.ReplaceAll(name, "_", " ")+"*\n"+slackEscape.Replace(cut(v, 200))))
		}
	}
	if len(fields) > 0 {
		blocks = append(blocks, map[string]any{"type": "section", "fields": fields})
	}
	foot := s.Type + " · " + s.Timestamp.UTC().Format(time.RFC3339) + " · " + id
	blocks = append(blocks, map[string]any{"type": "context", "elements": []any{text("mrkdwn", slackEscape.Replace(foot))}})
	return map[string]any{"text": sentence, "blocks": blocks, "unfurl_links": false, "unfurl_media": false}
}

// splunk is the event of the HTTP Event Collector: time is in seconds since the epoch.
func splunk(s standard, id string) map[string]any {
	return map[string]any{
		"time": json.Number(fmt.Sprintf("%d.%03d", s.Timestamp.Unix(), s.Timestamp.Nanosecond()/1e6)),
		"host": product, "source": product, "sourcetype": "_json", "event": whole(s, id),
		"fields": map[string]any{"type": s.Type},
	}
}

// datadog is one log of the intake v2, which takes a list.
func datadog(s standard, id string) []any {
	return []any{map[string]any{
		"ddsource": product, "service": product, "ddtags": "type:" + s.Type, "status": "info",
		"timestamp": s.Timestamp, "message": s.sentence(), product: whole(s, id),
	}}
}

// segment is a track call, which needs to say about whom: the customer's user id if it is
// told, else a name that means nothing elsewhere.
func segment(s standard, m *Message, id string) map[string]any {
	out := map[string]any{
		"event": s.Type, "messageId": id, "timestamp": s.Timestamp,
		"context": map[string]any{"library": map[string]any{"name": product, "version": "1"}},
	}
	properties := map[string]any{}
	maps.Copy(properties, s.Data)
	if s.Text != "" && properties["text"] == nil {
		properties["text"] = s.Text
	}
	out["properties"] = properties
	switch user, _ := s.Data["user_id"].(string); {
	case user != "":
		out["userId"] = user
	case m.Subject != "":
		out["anonymousId"] = m.Subject
	default:
		out["anonymousId"] = id
	}
	return out
}

const product = "kosmoscope"

func whole(s standard, id string) map[string]any {
	out := map[string]any{"id": id, "type": s.Type, "timestamp": s.Timestamp, "data": s.Data}
	if s.Text != "" {
		out["text"] = s.Text
	}
	return out
}

// cut shortens to at most n characters.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
