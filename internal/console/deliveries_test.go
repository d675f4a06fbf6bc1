package console_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/deliveries"
)

// receiver is somebody's program; it answers with status and keeps what came last.
type receiver struct {
	*httptest.Server
	status atomic.Int64
	last   atomic.Pointer[received]
}

type received struct {
	header http.Header
	body   []byte
}

func newReceiver(t *testing.T) *receiver {
	x := &receiver{}
	x.status.Store(http.StatusOK)
	x.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		x.last.Store(&received{r.Header, body})
		w.WriteHeader(int(x.status.Load()))
		io.WriteString(w, "as you say")
	}))
	t.Cleanup(x.Close)
	return x
}

// keptEndpoint is the answer to a change of an endpoint.
func keptEndpoint(t *testing.T, a answer) (e deliveries.EndpointView, secret string) {
	t.Helper()
	var v struct {
		Endpoint deliveries.EndpointView
		Secret   string
	}
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatal(err, a.body)
	}
	return v.Endpoint, v.Secret
}

func TestEndpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback, built)
	b, viewer := w.signedIn("operator"), w.signedIn("viewer")
	x := newReceiver(t)
	in := map[string]any{
		"name": "Our CRM", "url": x.URL + "/hook", "shape": "standard", "allow_private": true, "events": []string{"verification.*"},
		"headers": map[string]string{"X-Key": "a secret header"}, "signing": "hmac",
	}
	create := call(t, map[string]any{"endpoint": in})
	viewer.expect(viewer.do("POST", acme+"endpoints", create), http.StatusForbidden, "not_allowed")
	got := b.do("POST", acme+"endpoints", create)
	b.expect(got, http.StatusCreated)
	e, secret := keptEndpoint(t, got)
	if !strings.HasPrefix(secret, "whsec_") || e.Version != 1 || e.Name != "Our CRM" || len(e.Headers) != 1 {
		t.Fatalf("%+v, secret %.8s", e, secret)
	}
	listed := viewer.do("GET", acme+"endpoints", "")
	viewer.expect(listed, http.StatusOK)
	for _, never := range []string{secret, "a secret header"} {
		if strings.Contains(listed.body, never) || strings.Contains(w.log.String(), never) {
			t.Error("a secret is shown again, or logged")
		}
	}
	if shapes := listed.json(t)["shapes"].([]any); len(shapes) != 6 {
		t.Errorf("shapes: %v", shapes)
	}

	// The test button says what came of it, and the receiver can check it.
	test := b.do("POST", acme+"endpoints/"+e.ID+"/test", `{}`)
	b.expect(test, http.StatusOK)
	var result struct {
		Delivery deliveries.DeliveryView
		Attempt  deliveries.AttemptView
	}
	if err := json.Unmarshal([]byte(test.body), &result); err != nil {
		t.Fatal(err)
	}
	if result.Delivery.State != deliveries.Delivered || result.Attempt.Status != 200 || result.Attempt.Exchange == nil || !strings.Contains(result.Attempt.Exchange.ResponseBody, "as you say") {
		t.Errorf("the test: %s", test.body)
	}
	last := x.last.Load()
	if last == nil || last.header.Get("X-Key") != "a secret header" {
		t.Fatal("it did not come as it should")
	}
	if err := deliveries.Verify(secret, last.header, last.body, w.time()); err != nil {
		t.Errorf("the receiver cannot check it: %v", err)
	}
	viewer.expect(viewer.do("POST", acme+"endpoints/"+e.ID+"/test", `{}`), http.StatusForbidden, "not_allowed")

	// The log: whole for operators, without what was said for viewers.
	one := b.do("GET", acme+"deliveries/"+result.Delivery.ID, "")
	b.expect(one, http.StatusOK)
	if !strings.Contains(one.body, "as you say") || strings.Contains(one.body, "a secret header") {
		t.Errorf("to an operator: %s", one.body)
	}
	seen := viewer.do("GET", acme+"deliveries/"+result.Delivery.ID, "")
	viewer.expect(seen, http.StatusOK)
	if strings.Contains(seen.body, "as you say") || !strings.Contains(seen.body, `"hidden":true`) {
		t.Errorf("to a viewer: %s", seen.body)
	}

	// Of two who saw the same, the second is told.
	in["name"], in["version"] = "CRM", 1
	delete(in, "signing")
	in["headers"] = map[string]string{"X-Key": ""} // stays
	update := call(t, map[string]any{"endpoint": in})
	got = b.do("PUT", acme+"endpoints/"+e.ID, update)
	b.expect(got, http.StatusOK)
	if changed, more := keptEndpoint(t, got); changed.Name != "CRM" || more != "" || len(changed.Headers) != 1 {
		t.Errorf("%+v", changed)
	}
	b.expect(b.do("PUT", acme+"endpoints/"+e.ID, update), http.StatusConflict, "stale")

	got = b.do("POST", acme+"endpoints/"+e.ID+"/rotate", `{"kind":"ed25519","hours":24}`)
	b.expect(got, http.StatusOK)
	if rotated, key := keptEndpoint(t, got); !strings.HasPrefix(key, "whpk_") || len(rotated.Signing) != 2 {
		t.Errorf("rotated: %+v, %.8s", rotated.Signing, key)
	}
	b.expect(b.do("POST", acme+"endpoints/"+e.ID+"/rotate", `{"kind":"md5"}`), http.StatusBadRequest)
	b.expect(b.do("POST", acme+"endpoints/"+e.ID+"/rotate", `{"kind":"hmac","hours":169}`), http.StatusBadRequest)
	b.expect(b.do("POST", acme+"endpoints/"+e.ID+"/enable", `{}`), http.StatusOK)
	b.expect(b.do("DELETE", acme+"endpoints/"+e.ID, ""), http.StatusNoContent)
	b.expect(b.do("DELETE", acme+"endpoints/"+e.ID, ""), http.StatusNotFound)
	b.expect(b.do("GET", acme+"endpoints/"+e.ID, ""), http.StatusNotFound)
	if trail := w.audited("endpoint:" + e.ID); len(trail) != 6 || trail[0].Actor != "operator:Ada Lovelace" {
		t.Errorf("%d records", len(trail))
	}
}

func TestEndpointFields(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback, built)
	b := w.signedIn("operator")
	for what, c := range map[string]struct {
		in    map[string]any
		field string
	}{
		"no name":          {map[string]any{"url": "https://a.example/x", "shape": "standard"}, "name"},
		"not https":        {map[string]any{"name": "x", "url": "http://a.example/x", "shape": "standard"}, "url"},
		"a private one":    {map[string]any{"name": "x", "url": "https://10.0.0.1/x", "shape": "standard"}, "url"},
		"no such shape":    {map[string]any{"name": "x", "url": "https://a.example/x", "shape": "teams"}, "shape"},
		"no token":         {map[string]any{"name": "x", "url": "https://a.example/x", "shape": "splunk_hec"}, "token"},
		"a bad template":   {map[string]any{"name": "x", "url": "https://a.example/x", "shape": "template", "template": "{{"}, "template"},
		"a header of ours": {map[string]any{"name": "x", "url": "https://a.example/x", "shape": "standard", "headers": map[string]string{"Host": "y"}}, "headers"},
	} {
		body := call(t, map[string]any{"endpoint": c.in})
		checked, refused := b.do("POST", acme+"endpoints/check", body), b.do("POST", acme+"endpoints", body)
		b.expect(checked, http.StatusOK)
		b.expect(refused, http.StatusUnprocessableEntity, "invalid_endpoint")
		for _, a := range []answer{checked, refused} {
			if a.json(t)["fields"].(map[string]any)[c.field] == nil {
				t.Errorf("%s: %s", what, a.body)
			}
		}
	}
	b.expect(b.do("POST", acme+"endpoints", `{"endpoint":{"name":"x","secret":"y"}}`), http.StatusBadRequest)
	b.expect(b.do("POST", acme+"endpoints", `{"endpoint":{"events":"all"}}`), http.StatusBadRequest)
}

func TestDeliveriesAreReplayed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback, built)
	b, viewer := w.signedIn("operator"), w.signedIn("viewer")
	x := newReceiver(t)
	x.status.Store(http.StatusInternalServerError)
	e, _ := keptEndpoint(t, b.do("POST", acme+"endpoints", call(t, map[string]any{"endpoint": map[string]any{"name": "x", "url": x.URL, "shape": "standard", "allow_private": true}})))
	test := b.do("POST", acme+"endpoints/"+e.ID+"/test", `{}`)
	b.expect(test, http.StatusOK)
	if d := test.json(t)["delivery"].(map[string]any); d["state"] != "failed" {
		t.Fatalf("the test: %s", test.body)
	}
	page := viewer.do("GET", acme+"deliveries?state=failed&endpoint="+e.ID+"&limit=1", "")
	viewer.expect(page, http.StatusOK)
	found := page.json(t)["deliveries"].([]any)
	if len(found) != 1 || page.json(t)["next"] == "" {
		t.Fatalf("%s", page.body)
	}
	id := found[0].(map[string]any)["id"].(string)
	viewer.expect(viewer.do("POST", acme+"deliveries/"+id+"/replay", `{}`), http.StatusForbidden, "not_allowed")
	again := b.do("POST", acme+"deliveries/"+id+"/replay", `{}`)
	b.expect(again, http.StatusOK)
	if d := again.json(t)["delivery"].(map[string]any); d["state"] != "waiting" || d["replay"] != true || d["message"] != found[0].(map[string]any)["message"] {
		t.Errorf("replayed: %s", again.body)
	}
	// All that a filter finds: tests are not among them.
	all := b.do("POST", acme+"deliveries/replay", call(t, map[string]any{"state": "failed", "until": w.time().Add(time.Minute).Format(time.RFC3339)}))
	b.expect(all, http.StatusOK)
	if p := all.json(t); p["queued"] != 0.0 || p["skipped"] != 1.0 || p["next"] != "" {
		t.Errorf("all: %s", all.body)
	}
	viewer.expect(viewer.do("POST", acme+"deliveries/replay", `{"state":"failed","until":"2026-11-24T00:00:00Z"}`), http.StatusForbidden, "not_allowed")
	for _, wrong := range []string{`{"state":"waiting","until":"2026-11-24T00:00:00Z"}`, `{"state":"failed"}`, `{"state":"failed","until":"now"}`, `{"states":"failed"}`} {
		b.expect(b.do("POST", acme+"deliveries/replay", wrong), http.StatusBadRequest)
	}
	b.expect(b.do("GET", acme+"deliveries?state=lost", ""), http.StatusBadRequest)
	b.expect(b.do("GET", acme+"deliveries/none", ""), http.StatusNotFound)
}
