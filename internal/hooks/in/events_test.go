package in_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/hooks/in"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// reference is the example of reference/descope.md 6.2.
const reference = `[{"action":"LoginSucceed","actorId":"U2x","userId":"U2x","projectId":"P2x","occurred":1767225600123,
  "occurred_formatted":"2026-01-01T00:00:00.123Z","device":"Desktop","method":"otp","geo":"US",
  "remoteAddress":"203.0.113.7","loginIds":["a@b.c"],"tenants":null,"data":{}}]`

func TestEventsAccepted(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	w := s.post(in.EventsPath, reference)
	if w.Code != http.StatusOK || w.Body.String() != `{"accepted":1,"new":1,"parked":0}` {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	e := s.events.told[0]
	if e.Action != "LoginSucceed" || !e.OccurredAt.Equal(time.Date(2026, 1, 1, 0, 0, 0, 123e6, time.UTC)) || e.Content.UserID != "U2x" ||
		e.Content.ActorID != "U2x" || e.Content.RemoteAddress != "203.0.113.7" || len(e.Content.LoginIDs) != 1 || e.Content.Geo != "US" || e.Refused != "" {
		t.Fatalf("%+v", e)
	}
	if s.events.from[0] != "acme webhook" {
		t.Fatal(s.events.from)
	}
	for _, private := range []string{"a@b.c", "U2x", "203.0.113.7", bearer} {
		if strings.Contains(s.log.String(), private) {
			t.Errorf("%s is in the log", private)
		}
	}
}

func TestEventsCallers(t *testing.T) {
	t.Parallel()
	const sig = "X-Descope-Webhook-S256"
	for name, tt := range map[string]struct {
		headers []string
		want    int
		tenant  string
	}{
		"bearer":            {[]string{"Authorization", "Bearer " + bearer}, 200, "acme webhook"},
		"bearer of another": {[]string{"Authorization", "Bearer " + bearer + "-other"}, 200, "other webhook"},
		"hmac alone":        {[]string{sig, signature(hmacKey, reference)}, 200, "acme webhook"},
		"hmac of before":    {[]string{sig, signature(oldKey, reference)}, 200, "acme webhook"},
		"hmac of no key":    {[]string{sig, signature("x", reference)}, 401, ""},
		"hmac of no body":   {[]string{sig, signature(hmacKey, "")}, 401, ""},
		"hmac of an object": {[]string{sig, signature(hmacKey, "{}")}, 401, ""},
		"nothing":           {[]string{"X-Nothing", "1"}, 401, ""},
		"wrong bearer":      {[]string{"Authorization", "Bearer x", sig, signature(hmacKey, reference)}, 401, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			w := s.post(in.EventsPath, reference, tt.headers...)
			if w.Code != tt.want || strings.Join(s.events.from, ",") != tt.tenant {
				t.Fatalf("%d %s, told %v", w.Code, w.Body, s.events.from)
			}
		})
	}
	t.Run("hmac alone is for events only", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		body := `{"identifier":"a@b.c"}`
		if w := s.post(in.PreLoginPath, body, sig, signature(hmacKey, body)); w.Code != 401 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
}

func TestEventsRefused(t *testing.T) {
	t.Parallel()
	many := "[" + strings.Repeat(`{},`, hooks.MaxAccept) + `{}]`
	for name, tt := range map[string]struct {
		body  string
		want  int
		field string
	}{
		"empty":           {"", 400, ""},
		"blank":           {" \n ", 400, ""},
		"a number":        {"17", 400, ""},
		"a string":        {`"x"`, 400, ""},
		"null":            {`null`, 400, ""},
		"cut off":         {`[{"action":"A"},{"action":"B`, 400, "[1]"},
		"not closed":      {`[{"action":"A"}`, 400, "[0]"},
		"object, cut":     {`{"action":"A"`, 400, ""},
		"two values":      {`{} {}`, 400, ""},
		"after the array": {`[{}] x`, 400, ""},
		"brace for array": {`[1}`, 400, "[0]"},
		"only a bracket":  {`[`, 400, "[0]"},
		"too many":        {many, 413, "[500]"},
		"too large":       {"[" + strings.Repeat(" ", 1<<20) + "]", 413, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			w := s.post(in.EventsPath, tt.body)
			var p struct{ Field string }
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != tt.want || p.Field != tt.field || len(s.events.from) > 0 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if w.Header().Get("Content-Type") != "application/problem+json" {
				t.Error(w.Header())
			}
		})
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	at := `"occurred":1767225600123`
	for name, tt := range map[string]struct {
		body    string
		n       int
		problem string // of the first, if it is parked
	}{
		"none":                     {`[ ]`, 0, ""},
		"an object":                {` {"action":"A",` + at + `} `, 1, ""},
		"two":                      {`[{"action":"A",` + at + `} , {"action":"B",` + at + `}]`, 2, ""},
		"brackets in a string":     {`[{"action":"A]},{","x":"\"]",` + at + `}]`, 1, ""},
		"time as text":             {`[{"action":"A","occurred":"1767225600123"}]`, 1, ""},
		"time in RFC 3339":         {`[{"action":"A","occurred":"2026-01-01T01:00:00.123456+01:00"}]`, 1, ""},
		"time as a float":          {`[{"action":"A","occurred":1.767225600123e12}]`, 1, ""},
		"time formatted only":      {`[{"action":"A","occurred":null,"occurred_formatted":"2026-01-01T00:00:00.123Z"}]`, 1, ""},
		"unknown fields":           {`[{"action":"A",` + at + `,"new":{"a":[1]}}]`, 1, ""},
		"odd device":               {`[{"action":"A",` + at + `,"device":{"os":"x"},"geo":5}]`, 1, ""},
		"one login id":             {`[{"action":"A",` + at + `,"loginIds":"a@b.c"}]`, 1, ""},
		"data is text":             {`[{"action":"A",` + at + `,"data":"x"}]`, 1, ""},
		"names of the search":      {`[{"action":"A",` + at + `,"externalIds":["a@b.c"]}]`, 1, ""},
		"no action":                {`[{` + at + `}]`, 1, "has no action"},
		"action is a number":       {`[{"action":1,` + at + `}]`, 1, "has action that is not a string"},
		"action too long":          {`[{"action":"` + strings.Repeat("a", 129) + `",` + at + `}]`, 1, "action of more than"},
		"action with controls":     {`[{"action":"a\u0000b",` + at + `}]`, 1, "control characters"},
		"no time":                  {`[{"action":"A"}]`, 1, "must have occurred"},
		"time in seconds":          {`[{"action":"A","occurred":1767225600}]`, 1, "must have occurred"},
		"time is a list":           {`[{"action":"A","occurred":[1]}]`, 1, "must have occurred"},
		"time is NaN":              {`[{"action":"A","occurred":"NaN"}]`, 1, "must have occurred"},
		"user is a number":         {`[{"action":"A",` + at + `,"userId":5}]`, 1, "has userId that is not a string"},
		"login ids of numbers":     {`[{"action":"A",` + at + `,"loginIds":[5]}]`, 1, "has loginIds that is not a list"},
		"null":                     {`[null]`, 1, "is not an object"},
		"a number":                 {`[5]`, 1, "is not an object"},
		"nothing between commas":   {`[,{"action":"A",` + at + `}]`, 2, "is not an object"},
		"comma at the end":         {`[{"action":"A",}]`, 1, "is not well-formed JSON"},
		"too large":                {`[{"action":"A",` + at + `,"x":"` + strings.Repeat("a", 64<<10) + `"}]`, 1, "is larger than"},
		"too deep":                 {`[{"action":"A",` + at + `,"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}]`, 1, "nested too deeply"},
		"a field too long":         {`[{"action":"A",` + at + `,"geo":"` + strings.Repeat("a", 2000) + `"}]`, 1, "a field of more than"},
		"too many login ids":       {`[{"action":"A",` + at + `,"loginIds":["a"` + strings.Repeat(`,"a"`, 100) + `]}]`, 1, "more than 100 login ids"},
		"a bad one beside a good ": {`[7,{"action":"A",` + at + `}]`, 2, "is not an object"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			told, err := in.Decode([]byte(tt.body))
			if err != nil || len(told) != tt.n {
				t.Fatalf("%d, %v", len(told), err)
			}
			for i, e := range told {
				if i == 0 && tt.problem != "" {
					problem, _ := e.Content.Data["problem"].(string)
					if e.Refused != proof.ReasonInvalidRequest || !strings.Contains(problem, tt.problem) || e.Content.Data["element"] == nil {
						t.Errorf("%+v", e)
					}
					continue
				}
				if e.Refused != "" || e.OccurredAt.UnixMilli() != 1767225600123 {
					t.Errorf("element %d: %+v", i, e)
				}
			}
		})
	}
}

// TestParkedKnowsWhom: a bad event goes too when the person in it is erased.
func TestParkedKnowsWhom(t *testing.T) {
	t.Parallel()
	told, err := in.Decode([]byte(`[{"action":"A","userId":"U1","loginIds":["a@b.c"]},{"action":7,"userId":"U1"}]`))
	if err != nil || told[0].Content.UserID != "U1" || len(told[0].Content.LoginIDs) != 1 {
		t.Fatalf("%+v, %v", told, err)
	}
}

// TestEventsNotStored: what was not stored is not accepted, and the sender is told to come again.
func TestEventsNotStored(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"disk full": errors.New("disk full"), "too slow": context.DeadlineExceeded, "stale": proof.ErrStale,
		"unavailable": &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.events.err = err
			w := s.post(in.EventsPath, reference)
			if w.Code != 503 || w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), "disk") {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
		})
	}
}

// TestEventsLarge: of 50 MB hardly anything is read, with a length told or without.
func TestEventsLarge(t *testing.T) {
	t.Parallel()
	for _, told := range []bool{true, false} {
		s := newStage(t)
		body := &counter{left: 50 << 20}
		r := httptest.NewRequestWithContext(t.Context(), "POST", in.EventsPath, body)
		r.Header.Set("Authorization", "Bearer "+bearer)
		if r.ContentLength = -1; told {
			r.ContentLength = 50 << 20
		}
		w := httptest.NewRecorder()
		s.door.ServeHTTP(w, r)
		if w.Code != http.StatusRequestEntityTooLarge || w.Header().Get("Connection") != "close" {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if most := 4 << 20; body.read > most || told && body.read > 0 {
			t.Errorf("%d bytes read", body.read)
		}
	}
}

type counter struct{ left, read int }

func (c *counter) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), c.left)
	for i := range n {
		p[i] = ' '
	}
	c.left, c.read = c.left-n, c.read+n
	return n, nil
}

// TestNoisyTenant: one tenant's requests wait for each other; another's do not wait for them.
func TestNoisyTenant(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, func(o *in.Options) {
			o.InFlight = 2
			o.Tenants = append(o.Tenants, in.Tenant{ID: "other"})
		})
		s.events.wait, s.events.came = make(chan struct{}), make(chan struct{}, 1000)
		var wg sync.WaitGroup
		var mu sync.Mutex
		codes := map[int]int{}
		for range 300 {
			wg.Go(func() {
				w := s.post(in.EventsPath, reference)
				mu.Lock()
				defer mu.Unlock()
				codes[w.Code]++
			})
		}
		synctest.Wait()
		if n := len(s.events.came); n != 2 || codes[503] != 300-2-256 {
			t.Errorf("%d at work, %v", n, codes)
		}
		wg.Go(func() { s.post(in.EventsPath, reference, "Authorization", "Bearer "+bearer+"-other") })
		synctest.Wait()
		if n := len(s.events.came); n != 3 {
			t.Error("the other tenant waits")
		}
		close(s.events.wait)
		wg.Wait()
		if codes[200] != 258 {
			t.Error(codes)
		}
	})
}

func FuzzEvents(f *testing.F) {
	f.Add([]byte(reference))
	f.Add([]byte(`[{"action":"A","occurred":"1767225600123"},7,null,{"a":"\"]}"},[[]]]`))
	f.Add([]byte(`{"action":"A","occurred":1e12,"data":[1]}`))
	f.Add([]byte(`[]`))
	f.Add([]byte(`[{]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		told, err := in.Decode(body)
		if err != nil {
			if len(told) > 0 || proof.CodeOf(err) == proof.CodeInternal {
				t.Fatalf("%d told, %v", len(told), err)
			}
			return
		}
		if len(told) > hooks.MaxAccept {
			t.Fatal(len(told))
		}
		var list []json.RawMessage // where it is JSON, each element is told once
		if json.Unmarshal(body, &list) == nil && len(list) != len(told) && !bytes.Equal(bytes.TrimSpace(body), []byte("null")) {
			t.Fatalf("%d of %d elements", len(told), len(list))
		}
		for _, e := range told {
			if e.Refused == "" && (e.Action == "" || e.OccurredAt.IsZero() || len(e.Action) > 128) {
				t.Fatalf("%+v", e)
			}
			if _, err := json.Marshal(e.Content); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	var list []string
	for i := range 20 {
		list = append(list, fmt.Sprintf(`{"action":"LoginSucceed","actorId":"U%[1]d","userId":"U%[1]d","projectId":"P2x","occurred":1767225600123,"occurred_formatted":"2026-01-01T00:00:00.123Z","device":"Desktop","method":"otp","geo":"US","remoteAddress":"203.0.113.7","loginIds":["u%[1]d@example.com"],"tenants":null,"data":{"count":1}}`, i))
	}
	body := []byte("[" + strings.Join(list, ",") + "]")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := in.Decode(body); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*20)/b.Elapsed().Seconds(), "events/s")
}

// pipes is a listener whose connections are in memory, so that their deadlines go by the
// clock of the bubble.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestSlowBody: a body that does not come holds nothing up for long, and one that came in
// time may be stored for as long as it takes.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	for _, whole := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t)
			s.events.wait, s.events.came = make(chan struct{}), make(chan struct{}, 1)
			listener := make(pipes)
			server := &http.Server{Handler: s.door, ReadHeaderTimeout: time.Minute}
			go func() { _ = server.Serve(listener) }()
			ours, theirs := net.Pipe()
			listener <- theirs
			begin := time.Now()
			go func() {
				fmt.Fprintf(ours, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n", in.EventsPath, bearer, len(reference))
				sent := reference
				if !whole {
					sent = reference[:20]
				}
				_, _ = io.WriteString(ours, sent)
			}()
			if whole {
				<-s.events.came
				time.Sleep(9 * time.Second) // of the bubble
				close(s.events.wait)
			}
			w, err := http.ReadResponse(bufio.NewReader(ours), nil)
			if err != nil {
				t.Fatal(err)
			}
			took := time.Since(begin)
			if whole && w.StatusCode != 200 || !whole && (w.StatusCode != 400 || took != 10*time.Second) {
				t.Errorf("%d after %v", w.StatusCode, took)
			}
			_ = w.Body.Close()
			_ = ours.Close()
			close(listener)
			_ = server.Close()
		})
	}
}
