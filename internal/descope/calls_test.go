package descope_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/descope"
	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const (
	token   = "head.body-SECRET.signature"
	secrets = "SECRET"
)

// every makes each call once, and has a good answer to it.
var every = map[descope.Call]struct {
	run  func(ctx context.Context, c *descope.Client) error
	good string
}{
	descope.CallCompleteExternalAuth: {func(ctx context.Context, c *descope.Client) error {
		_, err := c.CompleteExternalAuth(ctx, ending)
		return err
	}, `{"redirectUrl":"` + address + `"}`},
	descope.CallUser: {func(ctx context.Context, c *descope.Client) error { _, err := c.User(ctx, login); return err }, someone},
	descope.CallSearchUsers: {func(ctx context.Context, c *descope.Client) error {
		_, _, err := c.SearchUsers(ctx, descope.UserSearch{Text: secrets})
		return err
	}, `{"users":[],"total":0}`},
	descope.CallPatchUser: {func(ctx context.Context, c *descope.Client) error {
		_, err := c.PatchUser(ctx, login, descope.Patch{Attributes: map[string]any{"a": secrets}})
		return err
	}, someone},
	descope.CallSetAttribute: {func(ctx context.Context, c *descope.Client) error {
		_, err := c.SetAttribute(ctx, login, "a", secrets)
		return err
	}, someone},
	descope.CallSetStatus: {func(ctx context.Context, c *descope.Client) error {
		_, err := c.SetStatus(ctx, login, "disabled")
		return err
	}, someone},
	descope.CallSetRoles: {func(ctx context.Context, c *descope.Client) error {
		_, err := c.SetRoles(ctx, login, []string{secrets})
		return err
	}, someone},
	descope.CallAddRoles: {func(ctx context.Context, c *descope.Client) error {
		_, err := c.AddRoles(ctx, login, []string{secrets})
		return err
	}, someone},
	descope.CallRemoveRoles: {func(ctx context.Context, c *descope.Client) error {
		_, err := c.RemoveRoles(ctx, login, []string{secrets})
		return err
	}, someone},
	descope.CallLogout: {func(ctx context.Context, c *descope.Client) error { return c.Logout(ctx, login) }, ``},
	descope.CallAttributes: {func(ctx context.Context, c *descope.Client) error {
		_, err := c.Attributes(ctx)
		return err
	}, `{"data":[],"total":0}`},
	descope.CallUpdateJWT: {func(ctx context.Context, c *descope.Client) error {
		_, err := c.UpdateJWT(ctx, token, map[string]any{"a": secrets})
		return err
	}, `{"jwt":"` + token + `"}`},
	descope.CallSearchAudit: {func(ctx context.Context, c *descope.Client) error {
		_, _, err := c.SearchAudit(ctx, descope.AuditSearch{Text: secrets})
		return err
	}, `{"audits":[],"total":0}`},
	descope.CallAuditEvent: {func(ctx context.Context, c *descope.Client) error {
		return c.AddAudit(ctx, descope.NewAudit{Action: secrets, Data: map[string]any{"a": secrets}})
	}, `{}`},
	descope.CallFlows: {func(ctx context.Context, c *descope.Client) error { _, err := c.Flows(ctx); return err }, `{"flows":[]}`},
	descope.CallExportFlow: {func(ctx context.Context, c *descope.Client) error {
		_, err := c.ExportFlow(ctx, secrets)
		return err
	}, `{"flow":{}}`},
	descope.CallImportFlow: {func(ctx context.Context, c *descope.Client) error {
		return c.ImportFlow(ctx, json.RawMessage(`{"flowId":"SECRET"}`))
	}, `{"flow":{"x":1},"y":2}`},
	descope.CallRunFlow: {func(ctx context.Context, c *descope.Client) error {
		_, err := c.RunFlow(ctx, secrets, map[string]any{"a": secrets})
		return err
	}, `{"output":{}}`},
	descope.CallStartFlow: {func(ctx context.Context, c *descope.Client) error {
		_, err := c.StartFlow(ctx, secrets, map[string]any{"a": secrets})
		return err
	}, `{"executionId":"e1"}`},
	descope.CallFlowResult: {func(ctx context.Context, c *descope.Client) error {
		_, _, err := c.FlowResult(ctx, secrets)
		return err
	}, `{"output":{}}`},
}

const someone = `{"user":{"userId":"U1","loginIds":["ada@example.com"]}}`

// made makes a call over w and says when its requests went out.
func made(t *testing.T, call descope.Call, w wire) ([]time.Duration, error) {
	t.Helper()
	c := &counted{wire: w}
	err := every[call].run(t.Context(), client(t, "https://api.example", &http.Client{Transport: c}))
	tellsNothing(t, err)
	return c.at, err
}

func TestEveryCall(t *testing.T) {
	t.Parallel()
	for call, e := range every {
		t.Run(string(call), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				at, err := made(t, call, func(_ int, r *http.Request) (*http.Response, error) {
					if r.Header.Get("Authorization") != "Bearer "+projectID+":"+key || !strings.HasPrefix(r.URL.Path, "/v") {
						t.Errorf("%s %v", r.URL, r.Header)
					}
					if body := r.Body != nil; body != (r.Method != "GET") || body != (r.Header.Get("Content-Type") == "application/json") {
						t.Errorf("%s %v with a body: %t", r.Method, r.Header, body)
					}
					return answer(200, e.good)
				})
				if err != nil || len(at) != 1 {
					t.Fatalf("%v at %v", err, at)
				}
			})
			for name, f := range faults {
				t.Run(name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { f(t, call) })
				})
			}
		})
	}
}

// faults are what can go wrong with any call.
var faults = map[string]func(t *testing.T, call descope.Call){
	"away for a moment": func(t *testing.T, call descope.Call) {
		at, err := made(t, call, func(n int, r *http.Request) (*http.Response, error) {
			if r.Body != nil {
				if b, err := io.ReadAll(r.Body); err != nil || len(b) == 0 {
					t.Errorf("request %d: %q %v", n, b, err)
				}
			}
			if n == 1 {
				return answer(503, "")
			}
			return answer(200, every[call].good)
		})
		if descope.EffectOf(call) == hooks.Idempotent {
			if err != nil || len(at) != 2 {
				t.Errorf("%v at %v", err, at)
			}
			return
		}
		is(t, err, proof.ReasonDescopeUnavailable) // it may have been done
		if len(at) != 1 || descope.NotDone(err) {
			t.Errorf("%v at %v", err, at)
		}
	},
	"a proxy's time is over": func(t *testing.T, call descope.Call) {
		at, err := made(t, call, func(int, *http.Request) (*http.Response, error) { return answer(524, "<html>SECRET") })
		is(t, err, proof.ReasonDescopeUnavailable)
		if want := 4; descope.EffectOf(call) == hooks.Idempotent != (len(at) == want) || descope.NotDone(err) {
			t.Errorf("%v at %v", err, at)
		}
	},
	"broken": func(t *testing.T, call descope.Call) {
		at, err := made(t, call, func(int, *http.Request) (*http.Response, error) { return answer(500, `{"errorCode":"E1"}`) })
		if e := is(t, err, proof.ReasonDescopeUnavailable); len(at) != 1 || descope.NotDone(err) || e.RetryAfter != 0 {
			t.Errorf("%v at %v", err, at)
		}
	},
	"too often": func(t *testing.T, call descope.Call) {
		at, err := made(t, call, func(n int, _ *http.Request) (*http.Response, error) {
			if n == 1 {
				return answer(429, `{"errorCode":"E130429"}`, "Retry-After", "2")
			}
			return answer(200, every[call].good)
		})
		if err != nil || !slices.Equal(at, []time.Duration{0, 2 * time.Second}) {
			t.Errorf("%v at %v", err, at)
		}
	},
	"much too often": func(t *testing.T, call descope.Call) {
		at, err := made(t, call, func(int, *http.Request) (*http.Response, error) {
			return answer(429, `{"errorCode":"E130429"}`, "Retry-After", "60")
		})
		if e := is(t, err, proof.ReasonDescopeUnavailable); e.RetryAfter != time.Minute || len(at) != 1 || !descope.NotDone(err) {
			t.Errorf("%v at %v", err, at)
		}
	},
	"a hang": func(t *testing.T, call descope.Call) {
		begun := time.Now()
		at, err := made(t, call, func(_ int, r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		is(t, err, proof.ReasonDescopeUnavailable)
		if len(at) != 1 || time.Since(begun) != 10*time.Second || descope.NotDone(err) {
			t.Errorf("%v at %v after %v", err, at, time.Since(begun))
		}
	},
	"a cut": func(t *testing.T, call descope.Call) {
		_, err := made(t, call, func(int, *http.Request) (*http.Response, error) {
			r, _ := answer(200, "")
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"us`), broken{}))
			return r, nil
		})
		if is(t, err, proof.ReasonDescopeUnavailable); descope.NotDone(err) {
			t.Error(err)
		}
	},
	"nonsense": func(t *testing.T, call descope.Call) {
		for _, body := range []string{"<html>SECRET</html>", `[]`, `["SECRET"]`, `"SECRET"`, `{"user":{"userId":`, `7`, `{}{}`} {
			_, err := made(t, call, func(int, *http.Request) (*http.Response, error) { return answer(200, body) })
			if is(t, err, proof.ReasonDescopeUnavailable); descope.NotDone(err) {
				t.Errorf("%s: %v", body, err)
			}
		}
	},
	"other types": func(t *testing.T, call descope.Call) { // no panic, and no success that says nothing
		for _, body := range []string{
			`null`, `{}`, `{"user":null,"users":null,"data":null,"jwt":null,"audits":null,"flow":null,"flows":null,"output":null,"executionId":null}`,
			`{"user":7,"users":7,"data":7,"jwt":7,"audits":7,"flow":7,"flows":7,"output":7,"executionId":7}`,
			`{"user":{"userId":7},"users":[{}],"data":[7],"jwt":"a.b","audits":[7],"flow":[],"flows":[7],"output":[],"executionId":""}`,
		} {
			_, err := made(t, call, func(int, *http.Request) (*http.Response, error) { return answer(200, body) })
			switch call {
			case descope.CallUser, descope.CallPatchUser, descope.CallSetAttribute, descope.CallSetStatus, descope.CallSetRoles, descope.CallAddRoles, descope.CallRemoveRoles,
				descope.CallUpdateJWT, descope.CallExportFlow, descope.CallStartFlow, descope.CallCompleteExternalAuth:
				if err == nil {
					t.Errorf("%s: taken", body)
				}
			}
		}
	},
	"too long": func(t *testing.T, call descope.Call) {
		_, err := made(t, call, func(int, *http.Request) (*http.Response, error) {
			r, _ := answer(200, "")
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"x":"`), spaces{}))
			return r, nil
		})
		is(t, err, proof.ReasonDescopeUnavailable)
	},
	"elsewhere": func(t *testing.T, call descope.Call) {
		at, err := made(t, call, func(int, *http.Request) (*http.Response, error) {
			return answer(307, "", "Location", "https://elsewhere.example/SECRET")
		})
		is(t, err, proof.ReasonDescopeUnavailable)
		if len(at) != 1 {
			t.Errorf("%v at %v", err, at)
		}
	},
	"refused": func(t *testing.T, call descope.Call) {
		for _, status := range []int{400, 401, 403, 404, 409} {
			at, err := made(t, call, func(int, *http.Request) (*http.Response, error) {
				return answer(status, `{"errorCode":"E011003","errorMessage":"SECRET of ada@example.com"}`)
			})
			is(t, err, proof.ReasonDescopeRefused)
			if e, ok := errors.AsType[*descope.Error](err); !ok || e.Code != "E011003" || len(at) != 1 || !descope.NotDone(err) || errors.Is(err, proof.ErrNotFound) {
				t.Errorf("%d: %v at %v", status, err, at)
			}
		}
	},
	"no such user": func(t *testing.T, call descope.Call) {
		_, err := made(t, call, func(int, *http.Request) (*http.Response, error) { return answer(404, `{"errorCode":"E112102"}`) })
		if is(t, err, proof.ReasonDescopeRefused); !errors.Is(err, proof.ErrNotFound) || proof.CodeOf(err) != proof.CodeNotFound {
			t.Error(err)
		}
	},
	"gone already": func(t *testing.T, call descope.Call) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		c := &counted{wire: func(_ int, r *http.Request) (*http.Response, error) { return nil, r.Context().Err() }}
		err := every[call].run(ctx, client(t, "https://api.example", &http.Client{Transport: c}))
		is(t, err, proof.ReasonDescopeUnavailable)
		if call != descope.CallCompleteExternalAuth && (len(c.at) != 0 || !descope.NotDone(err)) {
			t.Errorf("%v at %v", err, c.at)
		}
	},
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

type spaces struct{}

func (spaces) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}

// What is not known may have been done, and what no table names is not known.
func TestEffects(t *testing.T) {
	t.Parallel()
	if descope.EffectOf("magic") != hooks.Unknown || descope.EffectOf("") != hooks.Unknown {
		t.Error("an unknown call is harmless")
	}
	for call, want := range map[descope.Call]hooks.Effect{
		descope.CallStartFlow: hooks.Unknown, descope.CallRunFlow: hooks.Unknown, descope.CallAuditEvent: hooks.Readback,
		descope.CallDefineAttributes: hooks.Readback, descope.CallPatchUser: hooks.Idempotent, descope.CallLogout: hooks.Idempotent,
	} {
		if got := descope.EffectOf(call); got != want {
			t.Errorf("%s: %s, want %s", call, got, want)
		}
	}
	if descope.NotDone(nil) || descope.NotDone(errors.New("x")) {
		t.Error("not done, by whatever error")
	}
}
