package connector_test

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kosmoscope/kosmoscope/internal/connector"
	"github.com/kosmoscope/kosmoscope/internal/hooks/in"
)

const committed = "../../docs/openapi.json"

func TestOpenAPIIsCommitted(t *testing.T) {
	doc, err := connector.OpenAPI(in.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(committed, doc, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(committed)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(doc, want) {
		t.Error("docs/openapi.json is not what the program serves; run this test with -update")
	}
	h := handler(t, &core{}, nil)
	for path, kind := range map[string]string{"/descope/v1/openapi.json": "application/openapi+json", "/descope/v1/openapi.yaml": "application/openapi+yaml"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != 200 || w.Header().Get("Content-Type") != kind || !strings.Contains(w.Body.String(), "3.1.0") {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
		if strings.HasSuffix(path, "json") && !bytes.Equal(w.Body.Bytes(), doc) {
			t.Error("another document is served")
		}
	}
}

// schema finds a schema in the document by following names.
func schema(t *testing.T, reg huma.Registry, doc map[string]any, path ...string) *huma.Schema {
	t.Helper()
	node := any(doc)
	for _, p := range path {
		node = node.(map[string]any)[p]
	}
	return load(t, reg, node)
}

// load turns a JSON schema of the document into huma's, so that huma's validator
// can work with it. Only the keywords that the document uses are known; another
// one is an error.
func load(t *testing.T, reg huma.Registry, node any) *huma.Schema {
	t.Helper()
	s := &huma.Schema{}
	for k, v := range node.(map[string]any) {
		n, _ := v.(float64)
		count := int(n)
		switch k {
		case "type":
			if list, ok := v.([]any); ok {
				s.Type, s.Nullable = list[0].(string), true
			} else {
				s.Type = v.(string)
			}
		case "$ref":
			s.Ref = v.(string)
		case "format":
			s.Format = v.(string)
			if s.Format == "double" || s.Format == "int32" {
				s.Format = ""
			}
		case "enum":
			s.Enum = v.([]any)
		case "items":
			s.Items = load(t, reg, v)
		case "properties":
			s.Properties = map[string]*huma.Schema{}
			for name, p := range v.(map[string]any) {
				s.Properties[name] = load(t, reg, p)
			}
		case "additionalProperties":
			if b, ok := v.(bool); ok {
				s.AdditionalProperties = b
			} else {
				s.AdditionalProperties = load(t, reg, v)
			}
		case "required":
			for _, r := range v.([]any) {
				s.Required = append(s.Required, r.(string))
			}
		case "oneOf":
			for _, o := range v.([]any) {
				s.OneOf = append(s.OneOf, load(t, reg, o))
			}
		case "minLength":
			s.MinLength = &count
		case "maxLength":
			s.MaxLength = &count
		case "minimum":
			s.Minimum = &n
		case "maximum":
			s.Maximum = &n
		case "pattern":
			s.Pattern = v.(string)
		case "maxProperties":
			s.MaxProperties = &count
		case "minItems":
			s.MinItems = &count
		case "maxItems":
			s.MaxItems = &count
		case "description", "examples":
		default:
			t.Fatalf("keyword %q", k)
		}
	}
	s.PrecomputeMessages()
	return s
}

// nodes are the paths of Descope's nodes.
var nodes = []string{"/descope/v1/idv", "/descope/v1/idv/result", "/descope/v1/stepup", "/descope/v1/stepup/result", riskPath, outcomePath}

func openAPI(t *testing.T) (huma.Registry, map[string]any) {
	t.Helper()
	raw, err := connector.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	reg := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	for name, s := range doc["components"].(map[string]any)["schemas"].(map[string]any) {
		reg.Map()[name] = load(t, reg, s)
	}
	return reg, doc
}

func valid(reg huma.Registry, s *huma.Schema, v any) []error {
	res := &huma.ValidateResult{}
	huma.Validate(reg, s, huma.NewPathBuffer(nil, 0), huma.ModeWriteToServer, v, res)
	return res.Errors
}

func unjson(t *testing.T, raw []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestAnswersFitTheDocument holds every golden answer against the schema that the
// document promises.
func TestAnswersFitTheDocument(t *testing.T) {
	reg, doc := openAPI(t)
	ref := func(name string) *huma.Schema { return reg.Map()[name] }
	files, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".json") {
			continue
		}
		raw, err := os.ReadFile("testdata/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		name := "Result"
		switch kind, _, _ := strings.Cut(strings.TrimSuffix(f.Name(), ".json"), "_"); kind {
		case "start":
			name = "Verification"
		case "stepup":
			name = "Challenge"
		case "challenge":
			name = "ChallengeResult"
		case "problem":
			name = "Problem"
		case "risk":
			name = "Decision"
		case "outcome":
			name = "DecisionOutcome"
		}
		if errs := valid(reg, ref(name), unjson(t, raw)); len(errs) > 0 {
			t.Errorf("%s is no %s: %v", f.Name(), name, errs)
		}
		seen++
	}
	if seen < 43 {
		t.Errorf("only %d golden answers", seen)
	}
	// The check must be able to fail.
	if errs := valid(reg, ref("Result"), map[string]any{"status": "great"}); len(errs) == 0 {
		t.Error("the validator accepts anything")
	}
	if errs := valid(reg, ref("ChallengeResult"), map[string]any{"match_result": "great"}); len(errs) == 0 {
		t.Error("the validator accepts any challenge")
	}
	if errs := valid(reg, ref("Decision"), map[string]any{"decision": "great"}); len(errs) == 0 {
		t.Error("the validator accepts any decision")
	}
	// Every code that this door can answer is in the document.
	for _, path := range nodes {
		responses := doc["paths"].(map[string]any)[path].(map[string]any)["post"].(map[string]any)["responses"].(map[string]any)
		for _, code := range []string{"200", "400", "401", "413", "415", "429", "500", "502", "503"} {
			if responses[code] == nil {
				t.Errorf("%s: %s is not described", path, code)
			}
		}
	}
}

// TestRequestsFitTheDocument sends bodies to the decoder and to the described
// schema. What the schema refuses the decoder must refuse, and what the decoder
// takes the schema must take; the decoder may be stricter (dates, URLs, control
// characters, names in metadata), which no schema says well.
func TestRequestsFitTheDocument(t *testing.T) {
	reg, doc := openAPI(t)
	s := schema(t, reg, doc, "paths", "/descope/v1/idv", "post", "requestBody", "content", "application/json", "schema")
	good := []string{
		`{}`, `{"document_types":"passport"}`, `{"document_types":["passport",null,""]}`, `{"document_types":null}`, `{"document_types":""}`,
		`{"liveness_mode":null}`, `{"liveness_mode":""}`, `{"liveness_mode":"none"}`, `{"expected":null}`, `{"expected":""}`,
		`{"expected":{"given_name":null,"birth_date":"1990-01-01"}}`, `{"metadata":{"a":"b","c":null}}`, `{"metadata":""}`, `{"metadata":null}`,
		`{"user_identifier":null,"callback_url":"","idempotency_key":null}`,
	}
	for _, body := range good {
		if errs := valid(reg, s, unjson(t, []byte(body))); len(errs) > 0 {
			t.Errorf("the document refuses %s: %v", body, errs)
		}
		if w := post(handler(t, &core{}, nil), "/descope/v1/idv", body); w.Code != 200 {
			t.Errorf("the decoder refuses %s: %s", body, w.Body)
		}
	}
	stricter := map[string]bool{
		"user: control": true, "user: line break": true, "user: lone surrogate": true, "metadata: dotted name": true, "metadata: template name": true,
		"twice": true, "twice inside": true, "twice by escape": true, "not UTF-8": true, // lost in decoding
		"other case": true, // huma's validator does not mind case
	}
	for _, tt := range badStart {
		if !json.Valid([]byte(tt.body)) || !strings.HasPrefix(tt.body, "{") || stricter[tt.name] ||
			strings.HasPrefix(tt.name, "birth date") || strings.HasPrefix(tt.name, "callback: ") && tt.name != "callback: list" {
			continue
		}
		if errs := valid(reg, s, unjson(t, []byte(tt.body))); len(errs) == 0 {
			t.Errorf("%s: the document takes what the decoder refuses: %s", tt.name, tt.body)
		}
	}
}

// TestExamplesFit: what the document shows as examples is what it describes, and
// the decoder takes it.
func TestExamplesFit(t *testing.T) {
	reg, doc := openAPI(t)
	for _, path := range nodes {
		op := doc["paths"].(map[string]any)[path].(map[string]any)["post"].(map[string]any)
		media := op["requestBody"].(map[string]any)["content"].(map[string]any)["application/json"].(map[string]any)
		in := load(t, reg, media["schema"])
		for name, e := range media["examples"].(map[string]any) {
			v := e.(map[string]any)["value"]
			if errs := valid(reg, in, v); len(errs) > 0 {
				t.Errorf("%s %s: %v", path, name, errs)
			}
			body, _ := json.Marshal(v)
			h := handler(t, &core{view: verified(), opened: pending(), challenge: matched()}, nil)
			if strings.HasPrefix(path, riskPath) {
				h = riskHandler(t, &weigher{answer: stepUpDecision()}, nil)
			}
			if w := post(h, path, string(body)); w.Code != 200 {
				t.Errorf("%s %s: %s", path, name, w.Body)
			}
		}
		out := op["responses"].(map[string]any)["200"].(map[string]any)["content"].(map[string]any)["application/json"].(map[string]any)
		if errs := valid(reg, load(t, reg, out["schema"]), out["example"]); len(errs) > 0 {
			t.Errorf("%s: %v", path, errs)
		}
	}
}
