package deliveries_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/deliveries"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestShapes sends the same message in every shape, through the whole service.
func TestShapes(t *testing.T) {
	t.Parallel()
	data := map[string]any{
		"status": "failed", "reason": "face_mismatch", "result": "<!channel> & <https://evil.example|click>", "user_id": "U2abc", "score": json.Number("0.10"),
		"note": "<!channel> & <https://evil.example|click> \"quoted\"\n☂", "claims": map[string]any{"given_name": "Zoë", "list": []any{1, "two"}},
	}
	template := `{"event":"{{type}}","who":"{{data.claims.given_name}} ({{data.user_id}})","first":"{{ data.claims.list.0 }}","all":"{{data.claims}}",
		"none":"{{data.nothing.here}}","none_in":"<{{data.nothing}}>","note":"say: {{data.note}}","score":"{{data.score}}","fixed":[1,true,null,{"at":"{{timestamp}}"}],"id":"{{id}}"}`
	for _, c := range []struct {
		shape  deliveries.Shape
		url    string
		token  string
		fields func(*deliveries.Input)
		path   string
		header string // name and value
		signed bool
	}{
		{shape: deliveries.ShapeStandard, path: "/hook", url: "/hook", signed: true, header: "X-Api-Key: k1", fields: func(in *deliveries.Input) { in.Headers = map[string]string{"X-Api-Key": "k1"} }},
		{shape: deliveries.ShapeSlack, path: "/services/T0/B0/secret", url: "/services/T0/B0/secret"},
		{shape: deliveries.ShapeSplunk, path: "/services/collector/event", token: "tok", header: "Authorization: Splunk tok"},
		{shape: deliveries.ShapeDatadog, path: "/api/v2/logs", url: "/", token: "tok", header: "DD-API-KEY: tok"},
		{shape: deliveries.ShapeSegment, path: "/v1/track", token: "tok", header: "Authorization: Basic dG9rOg=="},
		{shape: deliveries.ShapeTemplate, path: "/t", url: "/t", signed: true, fields: func(in *deliveries.Input) { in.Template = template }},
	} {
		t.Run(string(c.shape), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.receiver("10.0.0.1:8088", ok)
				w.names["tool.example"] = []netip.Addr{netip.MustParseAddr("10.0.0.1")}
				_, secret := w.endpoint("http://tool.example:8088"+c.url, func(in *deliveries.Input) {
					in.Shape, in.Token = c.shape, c.token
					if c.fields != nil {
						c.fields(in)
					}
				})
				m := w.tell("verification.ended", data)
				w.drain(time.Minute)
				r := w.received("10.0.0.1:8088")
				if len(r) != 1 {
					t.Fatalf("%d requests", len(r))
				}
				if name, value, _ := strings.Cut(c.header, ": "); name != "" && r[0].header.Get(name) != value {
					t.Errorf("%s is %q, want %q", name, r[0].header.Get(name), value)
				}
				if r[0].path != c.path || r[0].header.Get("Content-Type") != "application/json" {
					t.Errorf("path %s, type %s", r[0].path, r[0].header.Get("Content-Type"))
				}
				if !c.signed {
					if r[0].header.Get("webhook-signature") != "" || secret != "" {
						t.Error("signed")
					}
				} else if err := deliveries.Verify(secret, r[0].header, r[0].body, time.Now()); err != nil {
					t.Error(err)
				}
				kept, err := json.Marshal(w.attempts(w.log()[0].ID))
				if err != nil || bytes.Contains(kept, []byte("tok\"")) || bytes.Contains(kept, []byte("dG9r")) || bytes.Contains(kept, []byte("B0/secret")) || bytes.Contains(kept, []byte(`"k1"`)) {
					t.Errorf("the log holds a credential: %s", kept)
				}
				var pretty bytes.Buffer
				if err := json.Indent(&pretty, bytes.ReplaceAll(r[0].body, []byte(deliveries.MessageID(m.ID)), []byte("msg_ID")), "", "  "); err != nil {
					t.Fatal(err)
				}
				pretty.WriteByte('\n')
				golden(t, string(c.shape)+".json", pretty.Bytes())
			})
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

func TestCheckTemplate(t *testing.T) {
	t.Parallel()
	for _, good := range []string{`"{{data}}"`, `{}`, `{"a":"{{type}}{{id}} and {{data.x-y.0}}"}`, `["{{text}}","}}"]`} {
		if p := deliveries.CheckTemplate(good); p != "" {
			t.Errorf("%s: %s", good, p)
		}
	}
	for _, bad := range []string{
		"", "{{data}}", `{"a":{{data}}}`, `{"a":"{{data"}`, `{"a":"{{secret}}"}`, `{"a":"{{data.}}"}`, `{"a":"{{data..x}}"}`, `{"a":"{{}}"}`, `{"a":"{{type.x}}"}`,
		`{"{{type}}":1}`, `{"a":"{{data.a b}}"}`, `{"a":"{{#if data}}"}`, `{} {}`, `{"a":"{{ {{data}} }}"}`,
		`["` + strings.Repeat("{{data}}", 65) + `"]`, strings.Repeat("[", 40) + strings.Repeat("]", 40), `"` + strings.Repeat("x", 17<<10) + `"`,
	} {
		if deliveries.CheckTemplate(bad) == "" {
			t.Errorf("%.60s is allowed", bad)
		}
	}
}

// TestTemplateBomb: a template that makes much of little ends the delivery for good.
func TestTemplateBomb(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.receiver("10.0.0.1:80", ok)
		w.endpoint("http://10.0.0.1/", func(in *deliveries.Input) {
			in.Shape, in.Template = deliveries.ShapeTemplate, `["`+strings.Repeat("{{data}}", 60)+`"]`
		})
		w.tell("a.b", map[string]any{"x": strings.Repeat("x", 50_000)})
		w.drain(time.Hour)
		d := w.log()[0]
		if d.State != deliveries.Failed || d.Reason != "request_too_large" || len(w.received("10.0.0.1:80")) != 0 {
			t.Errorf("%+v", d)
		}
	})
}

// FuzzTemplate holds every template that is allowed to what a body must be: JSON in which
// no value has changed what is around it.
func FuzzTemplate(f *testing.F) {
	f.Add(`{"a":"{{data.x}}","b":["{{data}}","{{text}} {{data.y.0}}"]}`, `","evil":"`)
	f.Add(`"{{data.x}}"`, "\x00\xff\u2028</script>")
	f.Add(`{"{{":"}}"}`, "{{data}}")
	f.Fuzz(func(t *testing.T, template, value string) {
		if deliveries.CheckTemplate(template) != "" {
			return
		}
		out, err := deliveries.FillTemplate(template, map[string]any{
			"type": value, "id": "msg_1", "timestamp": value, "text": value, "data": map[string]any{"x": value, "y": []any{value, nil, json.Number("1")}},
		})
		if err != nil {
			return
		}
		var before, after any
		if err := json.Unmarshal([]byte(template), &before); err != nil {
			t.Fatalf("%q is allowed: %v", template, err)
		}
		if err := json.Unmarshal(out, &after); err != nil {
			t.Fatalf("%q made %q: %v", template, out, err)
		}
		same(t, before, after)
	})
}

// same holds the result to the shape of the template.
func same(t *testing.T, before, after any) {
	switch b := before.(type) {
	case map[string]any:
		a, ok := after.(map[string]any)
		if !ok || len(a) != len(b) {
			t.Fatalf("%v became %v", before, after)
		}
		for k := range b {
			if _, ok := a[k]; !ok {
				t.Fatalf("%q is gone", k)
			}
			same(t, b[k], a[k])
		}
	case []any:
		a, ok := after.([]any)
		if !ok || len(a) != len(b) {
			t.Fatalf("%v became %v", before, after)
		}
		for i := range b {
			same(t, b[i], a[i])
		}
	case string:
		if a, ok := after.(string); !strings.Contains(b, "{{") && (!ok || a != b) {
			t.Fatalf("%q became %v", before, after)
		}
	}
}
