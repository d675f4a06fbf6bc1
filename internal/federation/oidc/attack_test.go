package oidc_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"
)

// Anybody can push in the name of a public client, and every push is kept: so one network
// may not without end, and the others go on.
func TestPushesOfStrangersAreBounded(t *testing.T) {
	t.Parallel()
	w := frontWorld()
	n := 0
	for ; n < 200; n++ {
		if g := w.visit("POST", parPath, asking("public")); g.status != http.StatusCreated {
			if g.status != http.StatusTooManyRequests {
				t.Fatalf("%d %s", g.status, g.body)
			}
			break
		}
	}
	if n < 30 || n > 100 {
		t.Errorf("%d were kept", n)
	}
	if got := len(w.store.read().pushed); got != n {
		t.Errorf("%d of %d are kept", got, n)
	}
	if g, _ := w.push(asking("rp"), "rp"); g.status != http.StatusCreated {
		t.Errorf("a client that authenticates: %d %s", g.status, g.body)
	}
	w.clock.Advance(11 * time.Minute)
	if g := w.visit("POST", parPath, asking("public")); g.status != http.StatusCreated {
		t.Errorf("later: %d %s", g.status, g.body)
	}
}

// What was pushed names people, under no key of theirs: used, it is gone.
func TestPushedIsGoneOnceUsed(t *testing.T) {
	t.Parallel()
	w := frontWorld()
	uri := pushedURI(t, w, asking("rp", "login_hint", "ada@example.com"), "rp")
	if g := w.visit("GET", authorizePath, url.Values{"client_id": {"rp"}, "request_uri": {uri}}); g.to != "/c/1" {
		t.Fatalf("to %s", g.to)
	}
	for _, p := range w.store.read().pushed {
		if len(p.Sealed) != 0 {
			t.Error("it is still there")
		}
	}
	w.visit("GET", authorizePath, url.Values{"client_id": {"rp"}, "request_uri": {uri}}).sorry(t, http.StatusBadRequest)
}
