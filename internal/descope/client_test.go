package descope_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/descope"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const (
	projectID = "P2abcdefghijklmnopqrstuvwxyz"
	key       = "K2management-key-SECRET"
	requestID = "request-SECRET"
	login     = "ada@example.com"
	address   = "https://app.example/login?descope-login-flow=f%7C%23%7Ce_1.end&code=SECRET"
)

var ending = proof.ExternalAuth{RequestID: requestID, LoginID: login, Claims: map[string]string{"kosmos_result": "match"}}

func client(t *testing.T, base string, hc *http.Client) *descope.Client {
	t.Helper()
	c, err := descope.New(descope.Options{BaseURL: base, ProjectID: projectID, ManagementKey: key, HTTPClient: hc})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// tellsNothing fails the test if an error holds what belongs to nobody who reads logs.
func tellsNothing(t *testing.T, err error) {
	t.Helper()
	for e := err; e != nil; e = errors.Unwrap(e) {
		for _, secret := range []string{"SECRET", login, projectID, "app.example"} {
			if strings.Contains(e.Error(), secret) {
				t.Errorf("%q holds %q", e, secret)
			}
		}
	}
}

func is(t *testing.T, err error, reason proof.Reason) *proof.Error {
	t.Helper()
	tellsNothing(t, err)
	e, ok := errors.AsType[*proof.Error](err)
	if !ok || e.Reason != reason || e.Temporary != (reason == proof.ReasonDescopeUnavailable) {
		t.Fatalf("%v, want %s", err, reason)
	}
	return e
}

func TestComplete(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body map[string]any
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"redirectUrl": address, "somethingNew": []int{1}})
	}))
	defer s.Close()
	to, err := client(t, s.URL+"/", nil).CompleteExternalAuth(t.Context(), ending)
	if err != nil || to != address {
		t.Fatalf("%q %v", to, err)
	}
	if got.Method != "POST" || got.RequestURI != "/v1/mgmt/flow/externalauth/complete" {
		t.Errorf("%s %s", got.Method, got.RequestURI)
	}
	for name, want := range map[string]string{"Authorization": "Bearer " + projectID + ":" + key, "Content-Type": "application/json", "Accept": "application/json"} {
		if have := got.Header.Get(name); have != want {
			t.Errorf("%s: %q", name, have)
		}
	}
	claims, _ := body["customClaims"].(map[string]any)
	if len(body) != 3 || body["externalAuthReqId"] != requestID || body["loginId"] != login || !maps.Equal(claims, map[string]any{"kosmos_result": "match"}) {
		t.Errorf("sent %v", body)
	}
}

// Where an answer sends us to is neither followed nor told.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, to := range []string{"/elsewhere", "https://app.example/?code=SECRET", "http://[app.example/?code=SECRET", ""} {
			asked := 0
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked++
				if to != "" {
					w.Header().Set("Location", to)
				}
				w.WriteHeader(status)
			}))
			_, err := client(t, s.URL, nil).CompleteExternalAuth(t.Context(), ending)
			is(t, err, proof.ReasonDescopeUnavailable)
			if e, ok := errors.AsType[*descope.Error](err); !ok || e.Status != status || asked != 1 {
				t.Errorf("%d to %q: %v, asked %d times", status, to, err, asked)
			}
			s.Close()
		}
	}
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + l.Addr().String()
	l.Close()
	_, err = client(t, base, nil).CompleteExternalAuth(t.Context(), ending)
	is(t, err, proof.ReasonDescopeUnavailable)
}

func TestAnAnswerThatBreaksOff(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"redirectUrl":"`+address)
	}))
	defer s.Close()
	_, err := client(t, s.URL, nil).CompleteExternalAuth(t.Context(), ending)
	is(t, err, proof.ReasonDescopeUnavailable)
}

// wire answers in the place of a network, so that time can be the test's.
type wire func(n int, r *http.Request) (*http.Response, error)

type counted struct {
	wire
	at   []time.Duration // of each request, since the first
	from time.Time
}

func (c *counted) RoundTrip(r *http.Request) (*http.Response, error) {
	if c.at == nil {
		c.from = time.Now()
	}
	c.at = append(c.at, time.Since(c.from))
	return c.wire(len(c.at), r)
}

func answer(status int, body string, headers ...string) (*http.Response, error) {
	h := http.Header{}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func good() (*http.Response, error) { return answer(200, `{"redirectUrl":"`+address+`"}`) }

// played completes a request over w and says when requests went out.
func played(t *testing.T, ctx context.Context, w wire) (string, []time.Duration, error) {
	t.Helper()
	c := &counted{wire: w}
	to, err := client(t, "https://api.example", &http.Client{Transport: c}).CompleteExternalAuth(ctx, ending)
	return to, c.at, err
}

var usual = []time.Duration{0, 100 * time.Millisecond, 5100 * time.Millisecond, 10100 * time.Millisecond}

func TestTriedAgain(t *testing.T) {
	t.Parallel()
	for _, status := range []int{503, 520, 521, 522, 524, 530} {
		synctest.Test(t, func(t *testing.T) {
			to, at, err := played(t, t.Context(), func(n int, r *http.Request) (*http.Response, error) {
				if b, err := io.ReadAll(r.Body); err != nil || !strings.Contains(string(b), requestID) {
					t.Errorf("request %d: %q %v", n, b, err)
				}
				if n < 4 {
					return answer(status, "<html>")
				}
				return good()
			})
			if err != nil || to != address || !slices.Equal(at, usual) {
				t.Errorf("%d: %q %v at %v", status, to, err, at)
			}
		})
		synctest.Test(t, func(t *testing.T) {
			_, at, err := played(t, t.Context(), func(int, *http.Request) (*http.Response, error) { return answer(status, "") })
			is(t, err, proof.ReasonDescopeUnavailable)
			if e, ok := errors.AsType[*descope.Error](err); !ok || e.Status != status || !slices.Equal(at, usual) {
				t.Errorf("%d: %v at %v", status, err, at)
			}
		})
	}
}

func TestNotTriedAgain(t *testing.T) {
	t.Parallel()
	for _, status := range []int{304, 408, 500, 501, 502, 504, 525} {
		synctest.Test(t, func(t *testing.T) {
			_, at, err := played(t, t.Context(), func(int, *http.Request) (*http.Response, error) { return answer(status, "{}") })
			is(t, err, proof.ReasonDescopeUnavailable)
			if len(at) != 1 {
				t.Errorf("%d: at %v", status, at)
			}
		})
	}
}

func TestTooManyRequests(t *testing.T) {
	t.Parallel()
	for after, wait := range map[string]time.Duration{"1": time.Second, " 5 ": 5 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			to, at, err := played(t, t.Context(), func(n int, _ *http.Request) (*http.Response, error) {
				if n == 1 {
					return answer(429, "{}", "Retry-After", after)
				}
				return good()
			})
			if err != nil || to != address || !slices.Equal(at, []time.Duration{0, wait}) {
				t.Errorf("%q: %q %v at %v", after, to, err, at)
			}
		})
	}
	for after, wait := range map[string]time.Duration{
		"6": 6 * time.Second, "3600": time.Hour, "": time.Minute, "0": time.Minute, "-1": time.Minute, "1.5": time.Minute, "soon": time.Minute,
		"99999999999999999999": time.Minute, "Sun, 06 Nov 2044 08:49:37 GMT": time.Minute,
	} {
		synctest.Test(t, func(t *testing.T) {
			_, at, err := played(t, t.Context(), func(int, *http.Request) (*http.Response, error) {
				return answer(429, `{"errorCode":"E130429"}`, "Retry-After", after)
			})
			if e := is(t, err, proof.ReasonDescopeUnavailable); e.RetryAfter != wait || len(at) != 1 {
				t.Errorf("%q: to wait %v, at %v", after, e.RetryAfter, at)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) { // not for ever
		_, at, err := played(t, t.Context(), func(int, *http.Request) (*http.Response, error) { return answer(429, "", "Retry-After", "2") })
		if e := is(t, err, proof.ReasonDescopeUnavailable); e.RetryAfter != 2*time.Second || len(at) != 4 {
			t.Errorf("to wait %v, at %v", e.RetryAfter, at)
		}
	})
}

// A wait that the caller's deadline does not allow is not begun, and one that is
// cancelled ends.
func TestTheCallersTime(t *testing.T) {
	t.Parallel()
	away := func(int, *http.Request) (*http.Response, error) { return answer(503, "") }
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		begun := time.Now()
		_, at, err := played(t, ctx, away)
		is(t, err, proof.ReasonDescopeUnavailable)
		if len(at) != 2 || time.Since(begun) != 100*time.Millisecond {
			t.Errorf("at %v, back after %v", at, time.Since(begun))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(2*time.Second, cancel)
		begun := time.Now()
		_, at, err := played(t, ctx, away)
		is(t, err, proof.ReasonDescopeUnavailable)
		if len(at) != 2 || time.Since(begun) != 2*time.Second {
			t.Errorf("at %v, back after %v", at, time.Since(begun))
		}
	})
	synctest.Test(t, func(t *testing.T) { // Descope does not answer at all
		begun := time.Now()
		_, at, err := played(t, t.Context(), func(_ int, r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		is(t, err, proof.ReasonDescopeUnavailable)
		if len(at) != 1 || time.Since(begun) != 10*time.Second {
			t.Errorf("at %v, back after %v", at, time.Since(begun))
		}
	})
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status     int
		body, code string
	}{
		{400, `{"errorCode":"E011001","errorDescription":"Request is invalid","errorMessage":"externalAuthReqId request-SECRET of ada@example.com"}`, "E011001"},
		{401, `{"errorCode":"E062108"}`, "E062108"},
		{403, `{}`, ""},
		{404, `<html>SECRET`, ""},
		{409, `{"errorCode":"` + strings.Repeat("E", 17) + `"}`, ""},
		{410, `{"errorCode":"ada@example.com SECRET"}`, ""},
		{422, `{"errorCode":["SECRET"]}`, ""},
		{451, `null`, ""},
	} {
		_, at, err := played(t, t.Context(), func(int, *http.Request) (*http.Response, error) { return answer(c.status, c.body) })
		is(t, err, proof.ReasonDescopeRefused)
		e, ok := errors.AsType[*descope.Error](err)
		if !ok || *e != (descope.Error{Status: c.status, Code: c.code}) || len(at) != 1 {
			t.Errorf("%d %s: %+v, at %v", c.status, c.body, e, at)
			continue
		}
		if want := fmt.Sprintf("Descope answered HTTP %d", c.status); !strings.HasPrefix(e.Error(), want) || c.code != "" && !strings.HasSuffix(e.Error(), c.code) {
			t.Errorf("%s", e)
		}
	}
}

func TestOddAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body   string
		reason proof.Reason
	}{
		"empty":                {"", proof.ReasonDescopeUnavailable},
		"no JSON":              {"<html>SECRET", proof.ReasonDescopeUnavailable},
		"a list":               {`["SECRET"]`, proof.ReasonDescopeUnavailable},
		"more than one":        {`{"redirectUrl":"` + address + `"}{}`, proof.ReasonDescopeUnavailable},
		"a number":             {`{"redirectUrl":7}`, proof.ReasonDescopeUnavailable},
		"huge":                 {`{"redirectUrl":"` + address + strings.Repeat("x", 64<<10) + `"}`, proof.ReasonDescopeUnavailable},
		"null":                 {`null`, proof.ReasonDescopeRefused},
		"none":                 {`{"url":"` + address + `"}`, proof.ReasonDescopeRefused},
		"an empty one":         {`{"redirectUrl":""}`, proof.ReasonDescopeRefused},
		"plain http":           {`{"redirectUrl":"http://app.example/?code=SECRET"}`, proof.ReasonDescopeRefused},
		"http on a look-alike": {`{"redirectUrl":"http://localhost.app.example/?code=SECRET"}`, proof.ReasonDescopeRefused},
		"relative":             {`{"redirectUrl":"/login?code=SECRET"}`, proof.ReasonDescopeRefused},
		"without a scheme":     {`{"redirectUrl":"//app.example/?code=SECRET"}`, proof.ReasonDescopeRefused},
		"script":               {`{"redirectUrl":"javascript:alert('SECRET')"}`, proof.ReasonDescopeRefused},
		"script with a host":   {`{"redirectUrl":"javascript://app.example/%0aalert(1)"}`, proof.ReasonDescopeRefused},
		"data":                 {`{"redirectUrl":"data:text/html,SECRET"}`, proof.ReasonDescopeRefused},
		"an app's own scheme":  {`{"redirectUrl":"myapp://login?code=SECRET"}`, proof.ReasonDescopeRefused},
		"opaque":               {`{"redirectUrl":"https:app.example"}`, proof.ReasonDescopeRefused},
		"with a user":          {`{"redirectUrl":"https://app.example@evil.example/SECRET"}`, proof.ReasonDescopeRefused},
		"with a line break":    {`{"redirectUrl":"https://app.example/\nSECRET"}`, proof.ReasonDescopeRefused},
		"with a space":         {`{"redirectUrl":"https://app.example/ SECRET"}`, proof.ReasonDescopeRefused},
		"with a tab before":    {`{"redirectUrl":"\thttps://app.example/SECRET"}`, proof.ReasonDescopeRefused},
	} {
		t.Run(name, func(t *testing.T) {
			to, at, err := played(t, t.Context(), func(int, *http.Request) (*http.Response, error) { return answer(200, c.body) })
			is(t, err, c.reason)
			if to != "" || len(at) != 1 {
				t.Errorf("%q, at %v", to, at)
			}
		})
	}
	for _, to := range []string{address, "http://localhost:3000/?code=1", "http://127.0.0.1:3000/?code=1", "http://[::1]:3000/?code=1"} {
		got, _, err := played(t, t.Context(), func(int, *http.Request) (*http.Response, error) { return answer(200, `{"redirectUrl":"`+to+`"}`) })
		if err != nil || got != to {
			t.Errorf("%q: %q %v", to, got, err)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]descope.Options{
		"no project":            {ManagementKey: key},
		"no key":                {ProjectID: projectID},
		"a colon in the id":     {ProjectID: "P:x", ManagementKey: key},
		"a line end in the key": {ProjectID: projectID, ManagementKey: key + "\n"},
		"another alphabet":      {ProjectID: projectID, ManagementKey: "ключ"},
		"plain http":            {BaseURL: "http://api.descope.com", ProjectID: projectID, ManagementKey: key},
		"a path":                {BaseURL: "https://api.descope.com/v1", ProjectID: projectID, ManagementKey: key},
		"a query":               {BaseURL: "https://api.descope.com?x", ProjectID: projectID, ManagementKey: key},
		"a user":                {BaseURL: "https://u:p@api.descope.com", ProjectID: projectID, ManagementKey: key},
		"no host":               {BaseURL: "https://", ProjectID: projectID, ManagementKey: key},
		"no address":            {BaseURL: "api.descope.com", ProjectID: projectID, ManagementKey: key},
	} {
		c, err := descope.New(o)
		if err == nil || c != nil {
			t.Errorf("%s: taken", name)
		}
		tellsNothing(t, err)
	}
	if _, err := descope.New(descope.Options{ProjectID: projectID, ManagementKey: key}); err != nil {
		t.Error(err)
	}
	for _, base := range []string{descope.DefaultBaseURL, "https://api.descope.com/", "http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"} {
		if err := descope.CheckBaseURL(base); err != nil {
			t.Errorf("%s: %v", base, err)
		}
	}
}

// The client that is given stays as it is.
func TestTheGivenClientIsNotChanged(t *testing.T) {
	t.Parallel()
	given := &http.Client{}
	client(t, "https://api.example", given)
	if given.Transport != nil || given.CheckRedirect != nil || given.Timeout != 0 {
		t.Errorf("%+v", given)
	}
}
