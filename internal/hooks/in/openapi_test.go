package in_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/kosmoscope/kosmoscope/internal/hooks/in"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk"
	"github.com/kosmoscope/kosmoscope/internal/risk/decide"
)

type content map[string]struct {
	Schema   json.RawMessage
	Examples map[string]struct{ Value json.RawMessage }
}

type openAPI struct {
	Paths map[string]map[string]struct {
		RequestBody struct{ Content content }
		Responses   map[string]struct{ Content content }
	}
	Components struct {
		Schemas map[string]struct {
			Properties map[string]json.RawMessage
		}
	}
}

func readOpenAPI(t *testing.T) (doc openAPI, schema func(name string) *jsonschema.Schema) {
	t.Helper()
	if err := json.Unmarshal(in.OpenAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	raw, err := jsonschema.UnmarshalJSON(bytes.NewReader(in.OpenAPI()))
	if err != nil {
		t.Fatal(err)
	}
	return doc, func(name string) *jsonschema.Schema {
		t.Helper()
		c := jsonschema.NewCompiler()
		c.DefaultDraft(jsonschema.Draft2020)
		c.AssertFormat()
		if err := c.AddResource("mem:///doc.json", raw); err != nil {
			t.Fatal(err)
		}
		s, err := c.Compile("mem:///doc.json#/components/schemas/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func valid(t *testing.T, s *jsonschema.Schema, body []byte) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err == nil {
		err = s.Validate(v)
	}
	if err != nil {
		t.Errorf("%s: %v", body, err)
	}
}

// TestOpenAPIFields: the fields that are documented are those that are read.
func TestOpenAPIFields(t *testing.T) {
	t.Parallel()
	doc, _ := readOpenAPI(t)
	s := newStage(t)
	for path, name := range map[string]string{in.PreLoginPath: "PreLoginRequest", in.PostRegistrationPath: "PostRegistrationRequest"} {
		var p struct{ Detail string }
		if err := json.Unmarshal(s.post(path, `{"no_such":1}`).Body.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		_, list, _ := strings.Cut(p.Detail, "known: ")
		known := strings.Split(list, ", ")
		slices.Sort(known)
		if told := slices.Sorted(maps.Keys(doc.Components.Schemas[name].Properties)); !slices.Equal(known, told) {
			t.Errorf("%s: documented %v, read %v", path, told, known)
		}
	}
}

// TestOpenAPIExamples: examples of requests are taken, and those of answers are answers.
func TestOpenAPIExamples(t *testing.T) {
	t.Parallel()
	doc, schema := readOpenAPI(t)
	names := map[string][2]string{
		in.EventsPath: {"", "EventsAccepted"}, in.PreLoginPath: {"PreLoginRequest", "HookAnswer"}, in.PostRegistrationPath: {"PostRegistrationRequest", "HookAnswer"},
	}
	if len(doc.Paths) != len(names) {
		t.Fatalf("%d paths", len(doc.Paths))
	}
	s := newStage(t)
	for path, n := range names {
		post := doc.Paths[path]["post"]
		if len(post.RequestBody.Content["application/json"].Examples) == 0 {
			t.Errorf("%s has no example", path)
		}
		for _, e := range post.RequestBody.Content["application/json"].Examples {
			if n[0] != "" {
				valid(t, schema(n[0]), e.Value)
			} else {
				var list []json.RawMessage
				if err := json.Unmarshal(e.Value, &list); err != nil {
					t.Fatal(err)
				}
				for _, item := range list {
					valid(t, schema("Event"), item)
				}
			}
			w := s.post(path, string(e.Value))
			if w.Code != http.StatusOK {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
			valid(t, schema(n[1]), w.Body.Bytes())
		}
		for _, e := range post.Responses["200"].Content["application/json"].Examples {
			valid(t, schema(n[1]), e.Value)
		}
	}
	answers := schema("HookAnswer")
	for _, change := range []func(){
		func() { s.risk.answer = decide.Answer{Verdict: risk.Allow} },
		func() { s.risk.answer = decide.Answer{Verdict: risk.Deny, Reasons: []risk.Reason{"velocity"}} },
		func() { s.risk.err = errors.New("no") },
		func() { s.proofing.refused = proof.ReasonTooManyAttempts },
		func() { s.proofing.err = errors.New("no") },
	} {
		change()
		valid(t, answers, s.post(in.PreLoginPath, login).Body.Bytes())
		valid(t, answers, s.post(in.PostRegistrationPath, `{"user_identifier":"U"}`).Body.Bytes())
	}
}
