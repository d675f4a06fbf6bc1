package oidc_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Modelled on oidcc-userinfo-get, oidcc-userinfo-post-header and
// oidcc-userinfo-post-body.
func TestUserInfo(t *testing.T) {
	t.Parallel()
	w := backWorld(t)
	token := w.signedIn(t).text("access_token")
	header := func(scheme string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", scheme+" "+token) }
	}
	const path = "/federation/t1/userinfo"
	get := func(change ...func(*http.Request)) *http.Request {
		r := httptest.NewRequest("GET", path, nil)
		for _, c := range change {
			c(r)
		}
		return r
	}
	bare := httptest.NewRequest("POST", path, nil)
	header("Bearer")(bare)
	for name, got := range map[string]called{
		"GET":                 w.do(t, get(header("Bearer"))),
		"GET, in small":       w.do(t, get(header("bearer"))),
		"POST, header":        w.send(t, path, url.Values{}, header("Bearer")),
		"POST without a body": w.do(t, bare),
		"POST, body":          w.send(t, path, with("access_token", token)),
	} {
		got.ok(t)
		if got.text("sub") != "pair-1" || !strings.HasPrefix(got.header.Get("Content-Type"), "application/json") {
			t.Errorf("%s: %v %v", name, got.header, got.body)
		}
	}

	w.send(t, path, with("access_token", token), header("Bearer")).failed(t, 400, "invalid_request")
	w.send(t, path, url.Values{"access_token": {token, token}}).failed(t, 400, "invalid_request")
	w.do(t, httptest.NewRequest("GET", path+"?access_token="+token, nil)).failed(t, 400, "invalid_request")
	w.send(t, path, with("access_token", token), func(r *http.Request) { r.URL.RawQuery = "access_token=" + token }).failed(t, 400, "invalid_request")
	w.do(t, get(asBasic)).failed(t, 401, "invalid_token")
	for _, bad := range []string{"abc", strings.Repeat("a", 600), token + "x", strings.ToLower(token)} {
		got := w.userinfoOf(t, bad)
		got.failed(t, 401, "invalid_token")
		if h := got.header.Get("WWW-Authenticate"); !strings.HasPrefix(h, "Bearer ") || !strings.Contains(h, `error="invalid_token"`) {
			t.Errorf("WWW-Authenticate %q (RFC 6750, 3)", h)
		}
	}
	// Nothing tried, nothing told (RFC 6750, 3.1).
	none := w.do(t, get())
	if h := none.header.Get("WWW-Authenticate"); none.status != 401 || !strings.HasPrefix(h, "Bearer") || strings.Contains(h, "error") {
		t.Errorf("without a token: %d %q", none.status, h)
	}
	// Another tenant knows nothing of it.
	r := httptest.NewRequest("GET", "/federation/t2/userinfo", nil)
	header("Bearer")(r)
	w.do(t, r).failed(t, 401, "invalid_token")
}

// An access token ends with its time, its person, its session and its client.
func TestUserInfoEnds(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*world){
		"expired": func(w *world) { w.clock.Advance(5 * time.Minute) },
		"erased": func(w *world) {
			w.store.data.subjects[tenant+"/p1"] = proof.Subject{ID: "p1", Tenant: tenant, ErasedAt: w.clock.Now()}
		},
		"gone":     func(w *world) { delete(w.store.data.subjects, tenant+"/p1") },
		"no data":  func(w *world) { w.store.data.grants[0].Sealed = nil },
		"revoked":  func(w *world) { w.store.data.grants[0].RevokedAt = w.clock.Now() },
		"disabled": func(w *world) { w.core.clients[tenant+"/basic"].Disabled = true },
		"logged out": func(w *world) {
			w.store.data.sessions = append(w.store.data.sessions, federation.Session{ID: "s1", Tenant: tenant, EndedAt: w.clock.Now()})
		},
	}
	for name, end := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := backWorld(t)
			token := w.signedIn(t).text("access_token")
			w.clock.Advance(5*time.Minute - time.Second)
			w.userinfoOf(t, token).ok(t)
			w.clock.Advance(time.Second - 5*time.Minute)
			end(w)
			w.userinfoOf(t, token).failed(t, 401, "invalid_token")
		})
	}
	t.Run("moved to another row", func(t *testing.T) {
		t.Parallel()
		w := backWorld(t)
		first, second := w.signedIn(t), w.signedIn(t)
		w.store.data.grants[1].Sealed = w.store.data.grants[0].Sealed
		w.userinfoOf(t, first.text("access_token")).ok(t)
		if got := w.userinfoOf(t, second.text("access_token")); got.status == http.StatusOK {
			t.Error("what another grant tells was told")
		}
	})
}
