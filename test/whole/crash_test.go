package whole_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/kosmoscope/kosmoscope/test/program"
)

// Paths of 1Kosmos, as the bridge calls them.
const (
	pathCommunity = "/api/r1/system/community_info/fetch"
	pathDirectory = "/caas/sd"
	pathKeys      = "/docuverify/publickeys"
	pathCreate    = "/docuverify/document_share_session/create"
	pathResult    = "/docuverify/v3/document_share_session/result"
)

func TestBridgeIsKilledBetweenEveryTwoSteps(t *testing.T) {
	t.Parallel()
	killedBetweenSteps(t, newWorld(t, plan{}))
}

// killedBetweenSteps takes one person through one verification and ends the
// bridge with kill -9 wherever there is a between.
func killedBetweenSteps(t *testing.T, w *world) {
	t.Helper()
	request := fields{"idempotency_key": "once", "user_identifier": "crash.person", "metadata": fields{"order": "4711"}, "callback_url": w.url + "/"}
	s := w.start(request)
	w.crash(0)

	// After the IDV node. The call repeated is the same session.
	if again := w.start(request); again != s {
		t.Fatalf("the same call after a crash answered another session: %s, before %s", again.SessionID, s.SessionID)
	}
	w.becomes(s.SessionID, "pending", "")

	// After opening the link: it belongs to this browser for good.
	p := w.person()
	if pg := p.get(s.SessionURL); pg.step != "consent" {
		t.Fatalf("the link led to %d %s %s", pg.status, pg.step, pg.text)
	}
	w.crash(0)
	pg := p.get(w.url + "/v/" + s.SessionID)
	if pg.status != http.StatusOK || pg.step != "consent" {
		t.Fatalf("after a crash the cookie leads to %d %s %s", pg.status, pg.step, pg.text)
	}
	if other := w.person().get(s.SessionURL); other.status != http.StatusForbidden || other.reason != "link_used" {
		t.Errorf("after a crash another browser gets %d %s", other.status, other.reason)
	}

	// In the middle of consent: 1Kosmos made a session, and nobody heard of it.
	lost := newHeld()
	w.proxy.set(pathCreate, lost.after)
	gone := make(chan error, 1)
	go func() {
		_, err := p.submit(pg, "/consent", url.Values{"consent": {"yes"}})
		gone <- err
	}()
	await(t, "the session is created upstream", lost.arrived)
	w.kill(w.bridges[0])
	if err := await(t, "the browser notices", gone); err == nil {
		t.Error("a bridge that was killed answered")
	}
	w.proxy.set(pathCreate, nil)
	w.again(w.bridges[0])
	w.bridgeReady(0)
	w.becomes(s.SessionID, "pending", "")
	capture := p.agreed(p.consent(p.get(w.url + "/v/" + s.SessionID)))

	// After consent.
	w.crash(0)
	if again := p.get(w.url + "/v/" + s.SessionID).upstream(); again != capture {
		t.Error("after a crash the page leads to another capture page")
	}
	w.becomes(s.SessionID, "pending", "")

	// While the bridge asks for the result, which 1Kosmos has by then.
	asking := newHeld()
	w.proxy.set(pathResult, asking.before)
	p.done(capture)
	await(t, "the bridge polls", asking.arrived)
	w.kill(w.bridges[0])
	w.proxy.set(pathResult, nil)
	w.again(w.bridges[0])
	w.bridgeReady(0)
	if r := w.result(s.SessionID); r.Status != "pending" && r.Status != "verified" {
		t.Errorf("right after the crash: %s", r)
	}
	// The job of the dead process is free again when its lease of 30 s is over.
	eventually(t, "the page of the person comes to an end", func() (bool, string) {
		pg = p.get(w.url + "/v/" + s.SessionID)
		return pg.step == "done", pg.step + " " + pg.state + " " + pg.reason
	})

	// After the verdict, before anybody has read it.
	w.crash(0)
	first := w.verified(s.SessionID)
	if second := w.result(s.SessionID); !bytes.Equal(first.raw, second.raw) {
		t.Errorf("two answers about the same:\n%s\n%s", first.raw, second.raw)
	}
	if !bytes.Contains(first.raw, []byte(`"metadata":{"order":"4711"}`)) {
		t.Errorf("the metadata is lost: %s", first.raw)
	}
	if again := w.start(request); again.SessionID != s.SessionID || again.Status != "verified" {
		t.Errorf("the same call at the end answered %s %s", again.SessionID, again.Status)
	}
	pg = p.get(w.url + "/v/" + s.SessionID)
	if back := attr(pg.find("data-testid", "return"), "href"); back != w.url+"/?session_id="+s.SessionID {
		t.Errorf("the page at the end returns to %q", back)
	}

	if keys := w.proxy.callers(); len(keys) != 1 {
		t.Errorf("1Kosmos saw %d public keys of ours over all these crashes; want one", len(keys))
	}
	w.audited(s.SessionID, "verification.started", "verification.opened", "verification.consented", "verification.verified")
}

// What was acknowledged is there after kill -9, also when the process was killed
// in the middle of much work; what was not may be repeated.
func TestBridgeIsKilledUnderLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{})
	const workers, enough = 8, 120
	type call struct{ key, id string }
	var mu sync.Mutex
	var acknowledged, sent []call
	full := make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var all sync.WaitGroup
	for n := range workers {
		all.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				key := fmt.Sprintf("load-%d-%d", n, i)
				a, err := w.post(w.url, "/descope/v1/idv", fmt.Sprintf(`{"liveness_mode":"none","idempotency_key":%q}`, key), "Authorization", "Bearer "+bearer)
				mu.Lock()
				sent = append(sent, call{key: key})
				if err == nil && a.status == http.StatusOK {
					acknowledged = append(acknowledged, call{key, sessionID(a.body)})
					if len(acknowledged) == enough {
						close(full)
					}
				}
				mu.Unlock()
				if err != nil {
					return // killed
				}
			}
		})
	}
	await(t, "enough calls are acknowledged", full)
	w.kill(w.bridges[0])
	stop()
	all.Wait()
	w.again(w.bridges[0])
	w.bridgeReady(0)
	for _, c := range acknowledged {
		if s := w.start(fields{"document_types": nil, "idempotency_key": c.key}); s.SessionID != c.id {
			t.Fatalf("acknowledged as %s before the crash, after it the same call is %s", c.id, s.SessionID)
		}
		if r := w.result(c.id); r.Status != "pending" || r.Reason != "" {
			t.Fatalf("acknowledged before the crash, after it %s", r)
		}
	}
	for _, c := range sent { // whether acknowledged or not: once and for all
		one, two := w.start(fields{"document_types": nil, "idempotency_key": c.key}), w.start(fields{"document_types": nil, "idempotency_key": c.key})
		if one != two {
			t.Fatalf("the same call twice is %s and %s", one.SessionID, two.SessionID)
		}
	}
	t.Logf("killed after %d acknowledged calls of %d", len(acknowledged), len(sent))
}

func sessionID(body []byte) string {
	_, rest, _ := strings.Cut(string(body), `"session_id":"`)
	id, _, _ := strings.Cut(rest, `"`)
	return id
}

func TestLocal1KosmosIsKilled(t *testing.T) {
	t.Parallel()
	common.open(t)
	verdict := newHeld()
	front := newEngineFront(t, common.url, "/v1/verify", verdict.before)
	w := newWorld(t, plan{engine: front.URL})
	s := w.start(nil)
	p := w.person()
	capture := p.enter(s.SessionURL)
	p.act(capture, "start", "")
	p.act(capture, "document", fixture("passport.jpg"))

	// After the photo of the document: it need not be taken again.
	w.kill(w.kosmos)
	w.becomes(s.SessionID, "pending", "upstream_unavailable")
	if pg := p.get(w.url + "/v/" + s.SessionID); pg.step != "continue" || pg.reason != "upstream_unavailable" {
		t.Errorf("while 1Kosmos is away the page shows %s %s", pg.step, pg.reason)
	}
	w.again(w.kosmos)
	w.kosmosReady()
	w.becomes(s.SessionID, "pending", "")
	if c := p.act(capture, "selfie", fixture("selfie.jpg")); c.State != "captured" {
		t.Fatalf("after the crash and the selfie: %+v", c)
	}

	// While judging.
	if c := p.act(capture, "submit", ""); c.State != "judging" {
		t.Fatalf("after submit: %+v", c)
	}
	await(t, "the engine is asked for a verdict", verdict.arrived)
	w.kill(w.kosmos)
	w.again(w.kosmos)
	w.kosmosReady()
	await(t, "the engine is asked again", verdict.arrived)
	if c := p.state(capture); c.State != "judging" {
		t.Errorf("after the crash and before a verdict: %+v", c)
	}
	close(verdict.free)
	w.verified(s.SessionID)
}

// newEngineFront is a way to the engine that does something with calls of one path.
func newEngineFront(t *testing.T, engine, path string, do fault) *httptest.Server {
	t.Helper()
	target, err := url.Parse(engine)
	if err != nil {
		t.Fatal(err)
	}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, ErrorLog: log.New(io.Discard, "", 0),
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == path {
			do(w, r, forward)
			return
		}
		forward.ServeHTTP(w, r)
	}))
	front.Config.ErrorLog = log.New(io.Discard, "", 0)
	front.Start()
	t.Cleanup(front.Close)
	t.Cleanup(front.CloseClientConnections)
	return front
}

func TestEngineIsKilledWhileItJudges(t *testing.T) {
	t.Parallel()
	common.open(t)
	dir, port := t.TempDir(), program.FreePort(t)
	engine, err := startEngine(t, dir, common.models, port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if engine.Running() {
			if err := engine.Stop(patience); err != nil {
				t.Error(err)
			}
		}
	})
	// The engine is killed the moment it has the whole of a request for a verdict.
	killed := make(chan error, 10)
	deadly := func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		trace := &httptrace.ClientTrace{WroteRequest: func(info httptrace.WroteRequestInfo) {
			if info.Err == nil && engine.Running() {
				killed <- engine.Kill()
			}
		}}
		forward.ServeHTTP(w, r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	}
	var mu sync.Mutex
	lethal := true
	front := newEngineFront(t, fmt.Sprintf("http://127.0.0.1:%d", port), "/v1/verify", func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		mu.Lock()
		now := lethal
		mu.Unlock()
		if now {
			deadly(w, r, forward)
			return
		}
		forward.ServeHTTP(w, r)
	})
	w := newWorld(t, plan{engine: front.URL})

	// It comes back: the verdict is asked for again.
	s := w.start(nil)
	p := w.person()
	capture := p.enter(s.SessionURL)
	p.photos(capture)
	p.act(capture, "submit", "")
	if err := await(t, "the engine is killed", killed); err != nil {
		t.Fatal(err)
	}
	if c := p.state(capture); c.State != "judging" {
		t.Errorf("without a verdict the session is %+v", c)
	}
	mu.Lock()
	lethal = false
	mu.Unlock()
	restart(t, engine, port)
	w.verified(s.SessionID)

	// It stays away: no verdict is no success.
	mu.Lock()
	lethal = true
	mu.Unlock()
	s = w.start(nil)
	capture = p.enter(s.SessionURL)
	p.photos(capture)
	p.act(capture, "submit", "")
	if err := await(t, "the engine is killed", killed); err != nil {
		t.Fatal(err)
	}

	// Nor when it is not there from the beginning.
	absent := w.start(nil)
	capture = p.enter(absent.SessionURL)
	p.photos(capture)
	p.act(capture, "submit", "")
	w.becomes(s.SessionID, "failed", "engine_unavailable")
	w.becomes(absent.SessionID, "failed", "engine_unavailable")
	if pg := p.get(w.url + "/v/" + s.SessionID); pg.step != "done" || pg.state != "failed" {
		t.Errorf("the page shows %s %s", pg.step, pg.state)
	}
}

func restart(t *testing.T, engine *program.Process, port int) {
	t.Helper()
	if err := engine.Again(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := engine.Ready(ctx, http.DefaultClient, fmt.Sprintf("http://127.0.0.1:%d/healthz", port)); err != nil {
		t.Fatal(errors.Join(err, errors.New(engine.Tail())))
	}
}
