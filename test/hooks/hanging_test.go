package hooks_test

import (
	"io"
	"net/http"
	"sync"
	"testing"
)

// An endpoint that takes requests and never answers, beside one that works: that one hears
// all there is to hear while the other still hangs, and the other hears it once it answers.
func TestEndpointHangs(t *testing.T) {
	const events, each = 300, 20
	good, late := listen(t), listen(t)
	freed := make(chan struct{})
	free := sync.OnceFunc(func() { close(freed) })
	t.Cleanup(free) // or its server would not end
	hung := make(chan struct{}, 10_000)
	hanging := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-freed:
			late.ServeHTTP(w, r)
			return
		default:
		}
		_, _ = io.Copy(io.Discard, r.Body)
		hung <- struct{}{}
		select {
		case <-freed:
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler) // no answer, ever
	}))
	b := newBridge(t, t.TempDir(), "", map[string]string{tenant: ""})
	b.publish(tenant, notice("LoginFailed"))
	b.endpoint(tenant, hanging)
	b.accepted(tenant, batch("LoginFailed", 0, 1))
	until(t, "the endpoint hangs", func() bool { return len(hung) > 0 })
	b.endpoint(tenant, good.url)
	for from := 1; from < events; from += each {
		b.accepted(tenant, batch("LoginFailed", from, min(each, events-from)))
	}
	until(t, "the endpoint that works has heard all", func() bool { return good.people() == events-1 })
	if late.people() != 0 {
		t.Fatal("the other one did not hang")
	}
	if n := len(hung); n > 50 {
		t.Errorf("the endpoint that hangs was asked %d times", n)
	}
	t.Logf("%d messages came through while %d requests hung", good.people(), len(hung))
	free()
	until(t, "the other one hears it, too", func() bool { return late.people() == events })
	late.once(t, 0, events)
	good.once(t, 1, events-1)
}
