package federation_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// A run comes to its end once: who kept its cookie has no session when it was logged out, or
// when it is over, and fills no trail.
func TestRunEndsOnce(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]federation.Ask{"face": {ACR: face, Hint: victim}, "document": {ACR: proofing}} {
		for _, well := range []bool{true, false} {
			t.Run(fmt.Sprint(name, " ", well), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				b := w.browser()
				step, err := b.begin("rp", ask)
				if err != nil {
					t.Fatal(err)
				}
				id := step.Go[strings.LastIndexByte(step.Go, '/')+1:]
				kept := federation.Browser{From: berlin, Cookies: maps.Clone(b.cookies)}
				w.journey.ends(id, well)
				_, first, cookies, err := w.Resume(t.Context(), b.brings(), tenant, id)
				if b.set(cookies); (err == nil) != well {
					t.Fatal(err)
				}
				if well {
					rp, _ := w.Client(tenant, "rp")
					if _, err := w.End(t.Context(), b.brings(), rp, first.Session); err != nil {
						t.Fatal(err)
					}
				}
				w.now = w.now.Add(time.Minute)
				if a, x, set, err := w.Resume(t.Context(), kept, tenant, id); a != nil || x != nil || code(err) != proof.CodeNotFound || len(set) > 0 {
					t.Errorf("again: %v %+v %v %v", a, x, set, err)
				}
			})
		}
	}
}

// What 1Kosmos' provider signed before it was asked is no answer to who wants the person now.
func TestUpstreamOfLongAgo(t *testing.T) {
	t.Parallel()
	hour, nothing := time.Hour, time.Duration(0)
	for name, c := range map[string]struct {
		ask  federation.Ask
		ago  time.Duration
		code proof.Code
	}{
		"no matter when": {federation.Ask{}, 2 * time.Hour, ""},
		"prompt=login":   {federation.Ask{Fresh: true}, 2 * time.Hour, proof.CodeDenied},
		"just now":       {federation.Ask{Fresh: true, MaxAge: &nothing}, 0, ""},
		"clocks differ":  {federation.Ask{Fresh: true}, 30 * time.Second, ""},
		"max_age passed": {federation.Ask{MaxAge: &hour}, 2 * time.Hour, proof.CodeDenied},
		"max_age":        {federation.Ask{MaxAge: &hour}, 30 * time.Minute, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, federation.Client{ID: "rp", Upstream: true})
			w.back.answer = federation.UpstreamAnswer{Identifier: victim, AuthTime: w.now.Add(-c.ago)}
			if _, err := w.upstream(w.browser(), c.ask); code(err) != c.code {
				t.Errorf("%v, want %q", err, c.code)
			}
		})
	}
	t.Run("a clock ahead", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, federation.Client{ID: "rp", Upstream: true})
		w.back.answer = federation.UpstreamAnswer{Identifier: victim, AuthTime: w.now.Add(time.Minute), Notes: federation.SessionNotes{Face: true}}
		b := w.browser()
		if x, err := w.upstream(b, federation.Ask{Hint: victim}); err != nil || x.AuthTime.After(w.now) {
			t.Fatalf("%+v %v", x, err)
		}
		w.now = w.now.Add(30 * time.Second)
		if step, err := b.begin("rp", federation.Ask{Hint: victim, MaxAge: &nothing}); err != nil || step.Answer != nil {
			t.Errorf("a session is younger than max_age=0: %+v %v", step.Answer, err)
		}
	})
}

// upstream goes by 1Kosmos' provider.
func (w *world) upstream(b *browser, ask federation.Ask) (x *federation.Answer, err error) {
	w.t.Helper()
	err = errors.New("it did not end")
	w.Serve(federation.OIDC, finisher(func(_ http.ResponseWriter, _ *http.Request, _ federation.Ask, got *federation.Answer, e error) {
		x, err = got, e
	}))
	if step, e := b.begin("rp", ask); e != nil || step.Answer != nil {
		return step.Answer, e
	}
	r := httptest.NewRequest("GET", "/federation/acme/upstream?code=x&state="+w.back.asked.State, nil)
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	rec := httptest.NewRecorder()
	w.Handler().ServeHTTP(rec, r)
	for _, c := range rec.Result().Cookies() {
		if b.cookies[c.Name] = c.Value; c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		}
	}
	return x, err
}

// A run by 1Kosmos' provider is redeemed once, and counts as one.
func TestUpstreamIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, federation.Client{ID: "rp", Upstream: true})
	w.back.err = &proof.Error{Code: proof.CodeDenied}
	b := w.browser()
	if _, err := b.begin("rp", federation.Ask{}); err != nil {
		t.Fatal(err)
	}
	kept := maps.Clone(b.cookies)
	ends := 0
	w.Serve(federation.OIDC, finisher(func(http.ResponseWriter, *http.Request, federation.Ask, *federation.Answer, error) { ends++ }))
	for range 3 {
		r := httptest.NewRequest("GET", "/federation/acme/upstream?error=access_denied&state="+w.back.asked.State, nil)
		for name, value := range kept {
			r.AddCookie(&http.Cookie{Name: name, Value: value})
		}
		w.Handler().ServeHTTP(httptest.NewRecorder(), r)
	}
	if ends != 1 {
		t.Errorf("it ended %d times", ends)
	}
	var err error
	n := 0
	for ; err == nil && n < 100; n++ {
		_, err = w.browser().begin("rp", federation.Ask{})
	}
	if code(err) != proof.CodeRateLimited {
		t.Errorf("after %d: %v", n, err)
	}
}

// Runs that nobody ends leave no more cookies than proxies let through, and those that
// began last stay.
func TestCookiesAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	b.cookies["kosmoscope_flow_garbage"], b.cookies["kosmoscope_flow_garbage.1"] = "AAAA", "AAAA"
	last := ""
	for range 30 {
		w.now = w.now.Add(time.Second)
		step, err := b.begin("rp", federation.Ask{ACR: face, State: []byte(`"` + strings.Repeat("x", 600) + `"`)})
		if err != nil {
			t.Fatal(err)
		}
		last = step.Go[strings.LastIndexByte(step.Go, '/')+1:]
	}
	size := 0
	for name, value := range b.cookies {
		if size += len(name) + len(value); strings.Contains(name, "garbage") {
			t.Errorf("%s is still there", name)
		}
	}
	if len(b.cookies) < 2 || len(b.cookies) > 8 || size > 8<<10 {
		t.Errorf("%d cookies of %d bytes", len(b.cookies), size)
	}
	if b.cookies["kosmoscope_flow_"+last] == "" {
		t.Error("the run that began last is lost")
	}
}

// Whoever says stop again and again fills no trail.
func TestStopsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stopped := 0
	w.Serve(federation.OIDC, finisher(func(http.ResponseWriter, *http.Request, federation.Ask, *federation.Answer, error) { stopped++ }))
	for range 100 {
		b := w.browser()
		step, err := b.begin("rp", federation.Ask{ACR: face})
		if err != nil {
			t.Fatal(err)
		}
		request := func(method, body string) *http.Request {
			r := httptest.NewRequest(method, step.Go, strings.NewReader(body))
			r.RemoteAddr = "78.55.20.10:1"
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			for name, value := range b.cookies {
				r.AddCookie(&http.Cookie{Name: name, Value: value})
			}
			return r
		}
		w.Handler().ServeHTTP(httptest.NewRecorder(), request("GET", ""))
		w.Handler().ServeHTTP(httptest.NewRecorder(), request("POST", "way=stop&token="+w.pages.who[len(w.pages.who)-1].Token))
	}
	if stopped == 0 || stopped > 60 {
		t.Errorf("stopped %d times", stopped)
	}
}

// Of two service providers of one name that of the configuration is meant, each time.
func TestEntityOfTheConfigurationWins(t *testing.T) {
	t.Parallel()
	sp := federation.Client{ID: "sp", Protocol: federation.SAML, SAML: &federation.SAMLClient{EntityID: "urn:sp", ACS: []string{"https://sp.example/acs"}}}
	w := newWorld(t, sp)
	err := w.store.UpdateFederation(t.Context(), func(tx federation.Tx) error {
		for _, id := range []string{"a", "b", "z"} {
			c := &federation.StoredClient{CreatedAt: w.now, UpdatedAt: w.now, Client: federation.Client{
				ID: id, Tenant: tenant, Name: "Other", Protocol: federation.SAML, SAML: &federation.SAMLClient{EntityID: "urn:sp", ACS: []string{"https://evil.example/acs"}},
			}}
			if err := tx.InsertClient(c); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(2 * time.Second)
	for range 50 {
		if c, ok := w.ClientByEntity(tenant, "urn:sp"); !ok || c.ID != "sp" {
			t.Fatalf("%+v %v", c, ok)
		}
	}
}

// How a name is spelled does not make it another's: blanks count as none, as on our page.
func TestNamesAreTrimmed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var err error
	n := 0
	for ; err == nil && n < 30; n++ {
		_, err = w.browser().begin("rp", federation.Ask{ACR: face, Hint: strings.Repeat(" ", n) + victim})
	}
	if code(err) != proof.CodeRateLimited || n > 10 {
		t.Errorf("after %d: %v", n, err)
	}
	for _, r := range w.journey.started {
		if r.Request.UserIdentifier != victim {
			t.Errorf("asked for %q", r.Request.UserIdentifier)
		}
	}
}

// amr says face where a face was matched, and doc where we examined a document, whatever
// 1Kosmos' provider calls what it did.
func TestMethodsAreOurs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		told  federation.UpstreamAnswer
		wants string
	}{
		"a face of long ago": {federation.UpstreamAnswer{Identifier: victim, Notes: federation.SessionNotes{AMR: []string{"face", "pwd"}}}, "pwd"},
		"a face of nobody":   {federation.UpstreamAnswer{Notes: federation.SessionNotes{Face: true, AMR: []string{"face"}}}, ""},
		"a document":         {federation.UpstreamAnswer{Identifier: victim, Notes: federation.SessionNotes{AMR: []string{"doc", "pwd"}}}, "pwd"},
		"a face":             {federation.UpstreamAnswer{Identifier: victim, Notes: federation.SessionNotes{Face: true, AMR: []string{"face", "otp"}}}, "face otp"},
		"a face by acr":      {federation.UpstreamAnswer{Identifier: victim, Notes: federation.SessionNotes{Face: true, AMR: []string{"otp"}}}, "otp face"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, federation.Client{ID: "rp", Upstream: true})
			w.back.answer = c.told
			w.back.answer.AuthTime = w.now
			x, err := w.upstream(w.browser(), federation.Ask{})
			if err != nil || strings.Join(x.AMR, " ") != c.wants {
				t.Errorf("%v %v, want %q", x.AMR, err, c.wants)
			}
		})
	}
}

// Whoever only looks ends nothing.
func TestLookingEndsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ends := 0
	w.Serve(federation.OIDC, finisher(func(_ http.ResponseWriter, _ *http.Request, _ federation.Ask, _ *federation.Answer, err error) {
		if ends++; err != nil {
			t.Error(err)
		}
	}))
	b := w.browser()
	step, err := b.begin("rp", federation.Ask{ACR: face, Hint: victim})
	if err != nil {
		t.Fatal(err)
	}
	id := step.Go[len("/c/"):]
	w.journey.ends(id, true)
	for _, method := range []string{"HEAD", "GET"} {
		r := httptest.NewRequest(method, "/federation/acme/continue?challenge_id="+id, nil)
		for name, value := range b.cookies {
			r.AddCookie(&http.Cookie{Name: name, Value: value})
		}
		w.Handler().ServeHTTP(httptest.NewRecorder(), r)
		if want := map[string]int{"HEAD": 0, "GET": 1}[method]; ends != want {
			t.Errorf("after %s it ended %d times", method, ends)
		}
	}
}
