package api_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
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
