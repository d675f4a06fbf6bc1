package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

func TestClientAnswers(t *testing.T) {
	const good = `{"verdict":"pass","checks":[{"name":"selfie","outcome":"pass"}]}`
	for name, c := range map[string]struct {
		status      int
		body        string
		unreachable bool
		reason      string // "" means the report is taken
	}{
		"pass":                {200, good, false, ""},
		"fields to come":      {200, `{"verdict":"fail","reason":"x","new":1}`, false, ""},
		"cut off":             {200, good[:20], true, api.ReasonEngineError},
		"nothing":             {200, ``, true, api.ReasonEngineError},
		"null":                {200, `null`, true, api.ReasonEngineError},
		"no verdict":          {200, `{}`, true, api.ReasonEngineError},
		"unknown verdict":     {200, `{"verdict":"sure"}`, true, api.ReasonEngineError},
		"pass, no checks":     {200, `{"verdict":"pass"}`, true, api.ReasonEngineError},
		"pass with reason":    {200, `{"verdict":"pass","reason":"x","checks":[{"outcome":"pass"}]}`, true, api.ReasonEngineError},
		"pass, check failed":  {200, `{"verdict":"pass","checks":[{"outcome":"pass"},{"outcome":"fail"}]}`, true, api.ReasonEngineError},
		"pass, check unknown": {200, `{"verdict":"pass","checks":[{"outcome":"cannot_tell"}]}`, true, api.ReasonEngineError},
		"fail without reason": {200, `{"verdict":"fail"}`, true, api.ReasonEngineError},
		"templates, failed":   {200, `{"verdict":"fail","reason":"x","templates":{"selfie":"AA==","portrait":"AA=="}}`, true, api.ReasonEngineError},
		"templates, unsure":   {200, `{"verdict":"cannot_tell","reason":"x","templates":{"selfie":"AA==","portrait":"AA=="}}`, true, api.ReasonEngineError},
		"half of templates":   {200, `{"verdict":"pass","checks":[{"outcome":"pass"}],"templates":{"selfie":"AA=="}}`, true, api.ReasonEngineError},
		"HTML":                {502, `<html>`, true, api.ReasonEngineError},
		"problem":             {503, `{"reason":"engine_busy","message":"m"}`, false, api.ReasonEngineBusy},
		"timeout":             {504, `{"reason":"engine_timeout","message":"m"}`, false, api.ReasonEngineTimeout},
		"too long":            {200, good + strings.Repeat(" ", 5<<20), true, api.ReasonEngineError},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			}))
			defer srv.Close()
			rep, err := api.New(srv.URL, nil).Selfie(t.Context(), &api.SelfieRequest{})
			if api.Reason(err) != c.reason || (err == nil) != (rep != nil) || errors.Is(err, api.ErrUnreachable) != c.unreachable {
				t.Errorf("%+v, %v", rep, err)
			}
		})
	}
}

func TestVerifyNeedsEveryCheck(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`{"verdict":"pass","checks":[{"name":"selfie","outcome":"pass"}]}`))
	}))
	defer srv.Close()
	if rep, err := api.New(srv.URL, nil).Verify(t.Context(), &api.VerifyRequest{}); !errors.Is(err, api.ErrUnreachable) {
		t.Errorf("%+v, %v", rep, err)
	}
}

// TestMatchWire fixes the JSON of a request to match, and that a pass without the
// checks that were asked for is refused.
func TestMatchWire(t *testing.T) {
	const face = `{"name":"face_match","outcome":"pass"}`
	selfies := &api.MatchRequest{Selfies: [][]byte{{1, 2}}, References: [][]byte{{3}, {4}}, LivenessMode: api.LivenessNone}
	probes := &api.MatchRequest{Probes: [][]byte{{1, 2}}, References: [][]byte{{3}}, LivenessMode: api.LivenessNone}
	for name, c := range map[string]struct {
		req    *api.MatchRequest
		wire   string
		checks string
		taken  bool
	}{
		"selfies":                   {selfies, "match-selfies.json", `{"name":"selfie","outcome":"pass"},` + face, true},
		"selfies, without selfie":   {selfies, "match-selfies.json", face, false},
		"probes":                    {probes, "match-probes.json", face, true},
		"probes, without the match": {probes, "match-probes.json", `{"name":"selfie","outcome":"pass"}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			want, err := os.ReadFile(filepath.Join("testdata", c.wire))
			if err != nil {
				t.Fatal(err)
			}
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if r.Method != "POST" || r.URL.Path != "/v1/match" || string(body)+"\n" != string(want) {
					t.Errorf("%s %s %s", r.Method, r.URL.Path, body)
				}
				fmt.Fprintf(w, `{"verdict":"pass","checks":[%s]}`, c.checks)
			}))
			defer srv.Close()
			rep, err := api.New(srv.URL, nil).Match(t.Context(), c.req)
			if (err == nil) != c.taken || (rep != nil) != c.taken || !c.taken && !errors.Is(err, api.ErrUnreachable) {
				t.Errorf("%+v, %v", rep, err)
			}
		})
	}
}

// TestVerifyTemplates: what was asked for is there, and nothing else.
func TestVerifyTemplates(t *testing.T) {
	const checks = `{"name":"mrz_check_digits","outcome":"pass"},{"name":"document_expiry","outcome":"pass"},{"name":"selfie","outcome":"pass"},{"name":"face_match","outcome":"pass"}`
	for name, c := range map[string]struct {
		asked bool
		body  string
		taken bool
	}{
		"asked, there":   {true, `{"verdict":"pass","checks":[` + checks + `],"templates":{"selfie":"AA==","portrait":"AQ=="}}`, true},
		"asked, missing": {true, `{"verdict":"pass","checks":[` + checks + `]}`, false},
		"asked, failed":  {true, `{"verdict":"fail","reason":"face_mismatch"}`, true},
		"unasked":        {false, `{"verdict":"pass","checks":[` + checks + `],"templates":{"selfie":"AA==","portrait":"AQ=="}}`, false},
		"neither":        {false, `{"verdict":"pass","checks":[` + checks + `]}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if strings.Contains(string(body), `"templates":true`) != c.asked {
					t.Errorf("%s", body)
				}
				_, _ = io.WriteString(w, c.body)
			}))
			defer srv.Close()
			rep, err := api.New(srv.URL, nil).Verify(t.Context(), &api.VerifyRequest{Templates: c.asked})
			if (err == nil) != c.taken || (rep != nil) != c.taken {
				t.Errorf("%+v, %v", rep, err)
			}
		})
	}
}

func TestClientUnreachable(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	_, err := api.New(srv.URL, nil).Selfie(t.Context(), &api.SelfieRequest{})
	if !errors.Is(err, api.ErrUnreachable) || api.Reason(err) != api.ReasonEngineError {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := api.New(srv.URL, nil).Selfie(ctx, &api.SelfieRequest{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if r := api.Reason(context.DeadlineExceeded); r != api.ReasonEngineTimeout {
		t.Error(r)
	}
}

func FuzzParseReport(f *testing.F) {
	f.Add([]byte(`{"verdict":"pass","checks":[{"name":"selfie","outcome":"pass"}]}`))
	f.Add([]byte(`{"verdict":"fail","reason":"x"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := api.ParseReport(b)
		if err == nil && (r.Verdict == api.Pass) != (r.Reason == "") {
			t.Errorf("%+v", r)
		}
	})
}
