package hooks_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// happened is one event as the webhook tells it.
func happened() hooks.Told {
	return hooks.Told{
		Action: "LoginSucceed", OccurredAt: time.UnixMilli(1767225600123).UTC(),
		Content: hooks.Content{
			UserID: "U2x", ActorID: "U2x", LoginIDs: []string{"a@b.example", "+4912345"}, Method: "otp", Device: "Desktop", Geo: "DE",
			RemoteAddress: "203.0.113.7", Tenants: []string{"T1", "T2"}, Data: map[string]any{"count": 1.0, "ok": true, "deep": map[string]any{"x": "y"}},
		},
	}
}

func (w *stage) take(source hooks.Source, told ...hooks.Told) int {
	w.t.Helper()
	n, err := w.Accept(w.t.Context(), tenant, source, told)
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

func (w *stage) events() (list []*hooks.Event) {
	w.t.Helper()
	if err := w.store.ViewHooks(w.t.Context(), func(tx hooks.Tx) (err error) {
		list, err = tx.Events(hooks.EventQuery{Tenant: tenant, Limit: 1000})
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	return list
}

// TestSameEvent: what the webhook and the audit search tell of one event is one event.
func TestSameEvent(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*hooks.Told)
		same   bool
	}{
		"all the same":             {func(*hooks.Told) {}, true},
		"login ids in other order": {func(e *hooks.Told) { e.Content.LoginIDs = []string{"+4912345", "a@b.example", "+4912345"} }, true},
		"tenants in other order":   {func(e *hooks.Told) { e.Content.Tenants = []string{"T2", "T1"} }, true},
		"a type and another method": {func(e *hooks.Told) {
			e.Content.Type, e.Content.Method, e.Content.Device, e.Content.Geo = "info", "OTP", "", "Germany"
		}, true},
		"below a millisecond":     {func(e *hooks.Told) { e.OccurredAt = e.OccurredAt.Add(900 * time.Microsecond) }, true},
		"another time zone":       {func(e *hooks.Told) { e.OccurredAt = e.OccurredAt.In(time.FixedZone("", 3600)) }, true},
		"address spelled as IPv6": {func(e *hooks.Told) { e.Content.RemoteAddress = "::ffff:203.0.113.7" }, true},
		"data as texts":           {func(e *hooks.Told) { e.Content.Data["count"], e.Content.Data["ok"] = "1", "true" }, true},
		"data as json.Number":     {func(e *hooks.Told) { e.Content.Data["count"] = json.Number("1.0") }, true},
		"data with nothing in it": {func(e *hooks.Told) { e.Content.Data["no"], e.Content.Data["none"] = nil, map[string]any{"a": []any{}} }, true},
		"a subject, from outside": {func(e *hooks.Told) { e.Content.Subject = "s" }, true},
		"another action":          {func(e *hooks.Told) { e.Action = "LoginFailed" }, false},
		"a millisecond later":     {func(e *hooks.Told) { e.OccurredAt = e.OccurredAt.Add(time.Millisecond) }, false},
		"another user":            {func(e *hooks.Told) { e.Content.UserID = "U3" }, false},
		"another actor":           {func(e *hooks.Told) { e.Content.ActorID = "U3" }, false},
		"actor and user moved":    {func(e *hooks.Told) { e.Content.ActorID, e.Content.UserID = "U2", "xU2x" }, false},
		"one login id less":       {func(e *hooks.Told) { e.Content.LoginIDs = e.Content.LoginIDs[:1] }, false},
		"login id among tenants": {func(e *hooks.Told) {
			e.Content.LoginIDs, e.Content.Tenants = nil, append(e.Content.Tenants, e.Content.LoginIDs...)
		}, false},
		"another address": {func(e *hooks.Told) { e.Content.RemoteAddress = "203.0.113.8" }, false},
		"other data":      {func(e *hooks.Told) { e.Content.Data["count"] = 2.0 }, false},
		"data elsewhere": {func(e *hooks.Told) {
			e.Content.Data = map[string]any{"count": 1.0, "ok": true, "deep": map[string]any{}, "x": "y"}
		}, false},
		"list instead of item": {func(e *hooks.Told) { e.Content.Data["count"] = []any{1.0} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newStage(t)
			first, second := happened(), happened()
			tt.change(&second)
			if n := w.take(hooks.SourceWebhook, first); n != 1 {
				t.Fatalf("%d new", n)
			}
			if n := w.take(hooks.SourceSearch, second); n == 1 == tt.same {
				t.Fatalf("told by the search, %d new", n)
			}
		})
	}
}

func TestAccept(t *testing.T) {
	t.Parallel()
	w := newStage(t)
	e := happened()
	if n := w.take(hooks.SourceWebhook, e, e); n != 1 || w.woken != 1 {
		t.Fatalf("%d new of one told twice, woken %d times", n, w.woken)
	}
	if n := w.take(hooks.SourceWebhook, e); n != 0 || w.woken != 1 {
		t.Fatalf("%d new, woken %d times", n, w.woken)
	}
	if n := w.take(hooks.SourceWebhook); n != 0 {
		t.Fatal(n)
	}
	got := w.events()[0]
	if got.State != hooks.EventWaiting || got.Source != hooks.SourceWebhook || !got.OccurredAt.Equal(e.OccurredAt) || !got.ReceivedAt.Equal(w.clock()) {
		t.Fatalf("%+v", got)
	}
	if len(got.Lookups) != 3 || !bytes.Equal(got.Lookups[0], w.journey.Lookup(tenant, "U2x")) || !bytes.Equal(got.Lookups[1], w.journey.Lookup(tenant, "a@b.example")) {
		t.Fatalf("lookups %x", got.Lookups)
	}
	for _, private := range []string{"a@b.example", "203.0.113.7", "U2x"} {
		if bytes.Contains(got.Sealed, []byte(private)) || bytes.Contains(got.Hash, []byte(private)) {
			t.Errorf("%s is stored in the clear", private)
		}
	}
	claimed, err := w.store.Claim(t.Context(), "test", w.clock(), 10, time.Minute)
	if err != nil || len(claimed) != 1 || claimed[0].Kind != hooks.JobPump {
		t.Fatalf("queued: %+v, %v", claimed, err)
	}
	if _, err := w.Accept(t.Context(), "other", hooks.SourceWebhook, []hooks.Told{e}); proof.CodeOf(err) != proof.CodeNotFound {
		t.Errorf("unknown tenant: %v", err)
	}
	if _, err := w.Accept(t.Context(), tenant, hooks.SourceWebhook, make([]hooks.Told, hooks.MaxAccept+1)); proof.CodeOf(err) != proof.CodeTooLarge {
		t.Errorf("too many: %v", err)
	}
}

// TestAcceptParks: a bad event is stored and neither evaluated nor in the way.
func TestAcceptParks(t *testing.T) {
	t.Parallel()
	w := newStage(t)
	good := happened()
	noAction, noTime, forged, refused := happened(), happened(), happened(), happened()
	noAction.Action, noTime.OccurredAt = "", time.Time{}
	forged.Action = hooks.VerificationEnded
	forged.Content.Subject, forged.Content.Object = "s1", "verification:1"
	refused.Refused = proof.ReasonInvalidRequest
	refused.Content.Data = map[string]any{"element": "x"}
	if n := w.take(hooks.SourceWebhook, noAction, noTime, good, forged, refused, refused); n != 5 {
		t.Fatalf("%d new", n)
	}
	got := map[proof.Reason]int{}
	for _, e := range w.events() {
		if (e.State == hooks.EventParked) == (e.Reason == "") {
			t.Errorf("%s is %s (%s)", e.Action, e.State, e.Reason)
		}
		if e.OccurredAt.IsZero() {
			t.Error("stored without a time")
		}
		got[e.Reason]++
	}
	if !maps.Equal(got, map[proof.Reason]int{"": 1, proof.ReasonInvalidRequest: 3, proof.ReasonNotAllowed: 1}) {
		t.Fatal(got)
	}
	// What is told by ourselves is no forgery.
	forged.OccurredAt = forged.OccurredAt.Add(time.Second)
	if w.take(hooks.SourceHere, forged); w.events()[0].State != hooks.EventWaiting {
		t.Fatal("our own event is parked")
	}
}

func TestOnlyBadOnesWakeNobody(t *testing.T) {
	t.Parallel()
	w := newStage(t)
	bad := happened()
	bad.Refused = proof.ReasonInvalidRequest
	w.take(hooks.SourceWebhook, bad)
	claimed, err := w.store.Claim(t.Context(), "test", w.clock(), 10, time.Minute)
	if err != nil || len(claimed) != 0 {
		t.Fatalf("queued: %+v, %v", claimed, err)
	}
}

// TestAcceptAtOnce: whoever tells it first, and however many do, it is one event.
func TestAcceptAtOnce(t *testing.T) {
	t.Parallel()
	w := newStage(t, func(o *hooks.Options) { o.Wake = nil })
	var batch []hooks.Told
	for i := range 60 {
		e := happened()
		e.Content.UserID = fmt.Sprint("U", i)
		batch = append(batch, e)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	fresh := 0
	for i := range 8 {
		wg.Go(func() {
			part := append(append([]hooks.Told(nil), batch[i*5:]...), batch[:i*5]...)
			n, err := w.Accept(t.Context(), tenant, hooks.SourceWebhook, part)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			fresh += n
			mu.Unlock()
		})
	}
	wg.Wait()
	if fresh != 60 || len(w.events()) != 60 {
		t.Fatalf("%d new, %d stored", fresh, len(w.events()))
	}
}
