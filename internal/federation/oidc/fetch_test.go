package oidc_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/federation/oidc"
)

// keyHost is where a client publishes its keys.
type keyHost struct {
	mu     sync.Mutex
	asked  int
	status int
	body   []byte
	err    error
	wait   chan struct{} // if not nil, an answer waits until it is closed
}

func (h *keyHost) RoundTrip(r *http.Request) (*http.Response, error) {
	h.mu.Lock()
	h.asked++
	status, body, err, wait := h.status, h.body, h.err, h.wait
	h.mu.Unlock()
	if wait != nil {
		<-wait
	}
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: status, Header: http.Header{"Location": {"https://elsewhere.example.com/jwks"}}, Body: io.NopCloser(bytes.NewReader(body)), Request: r,
	}, nil
}

func (h *keyHost) set(status int, body []byte, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status, h.body, h.err = status, body, err
}

func (h *keyHost) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked
}

// fetching is a world with the client "far", whose keys are at uri.
func fetching(t testing.TB, uri string, h *keyHost) *world {
	t.Helper()
	w := backWorld(t, func(o *oidc.Options) { o.HTTPClient = &http.Client{Transport: h} })
	w.core.add(federation.Client{ID: "far", OIDC: &federation.OIDCClient{AuthMethod: "private_key_jwt", JWKSURI: uri}})
	return w
}

func (w *world) far(t testing.TB, key any, kid string) called {
	t.Helper()
	return w.send(t, tokenPath, signing(signWith(t, jose.ES256, key, kid, map[string]any{
		"iss": "far", "sub": "far", "aud": issuer, "exp": w.clock.Now().Add(time.Minute).Unix(), "jti": rand.Text(),
	})))
}

const keysURI = "https://rp.example.com/jwks"

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Keys are remembered for ten minutes; one that is not there is looked for, but no
// more than once a minute.
func TestKeysAreCached(t *testing.T) {
	t.Parallel()
	h := &keyHost{status: 200, body: keySet(clientKey(), "k1")}
	w := fetching(t, keysURI, h)
	fetched := func(want int) {
		t.Helper()
		if n := h.count(); n != want {
			t.Fatalf("%d fetches, want %d", n, want)
		}
	}
	for range 3 {
		w.far(t, clientKey(), "k1").failed(t, 400, "invalid_grant")
	}
	fetched(1)
	// A kid that nobody has costs one fetch a minute, however often it comes.
	rotated := newKey(t)
	w.clock.Advance(59 * time.Second)
	w.far(t, rotated, "k2").failed(t, 401, "invalid_client")
	fetched(1)
	w.clock.Advance(time.Second)
	for range 3 {
		w.far(t, rotated, "k2").failed(t, 401, "invalid_client")
	}
	fetched(2)
	// The client rotates: within a minute the new key is known, and the old one is not.
	h.set(200, keySet(rotated, "k2"), nil)
	w.clock.Advance(time.Minute)
	w.far(t, rotated, "k2").failed(t, 400, "invalid_grant")
	fetched(3)
	w.far(t, clientKey(), "k1").failed(t, 401, "invalid_client")
	fetched(3)
	w.clock.Advance(9*time.Minute + 59*time.Second)
	w.far(t, rotated, "k2").failed(t, 400, "invalid_grant")
	fetched(3)
	w.clock.Advance(time.Second)
	w.far(t, rotated, "k2").failed(t, 400, "invalid_grant")
	fetched(4)
}

// Keys that cannot be renewed are not believed for longer than they would have been,
// and a host that is down is not asked all the time.
func TestKeysHostDown(t *testing.T) {
	t.Parallel()
	h := &keyHost{err: errors.New("down")}
	w := fetching(t, keysURI, h)
	for range 3 {
		w.far(t, clientKey(), "k1").failed(t, 503, "temporarily_unavailable")
	}
	if n := h.count(); n != 1 {
		t.Errorf("%d fetches, want 1", n)
	}
	h.set(200, keySet(clientKey(), "k1"), nil)
	w.far(t, clientKey(), "k1").failed(t, 503, "temporarily_unavailable")
	w.clock.Advance(time.Minute)
	w.far(t, clientKey(), "k1").failed(t, 400, "invalid_grant")
	h.set(0, nil, errors.New("down"))
	w.clock.Advance(5 * time.Minute)
	w.far(t, clientKey(), "k2").failed(t, 401, "invalid_client") // looks, gets nothing new, and keeps what it has
	w.far(t, clientKey(), "k1").failed(t, 400, "invalid_grant")
	w.clock.Advance(5 * time.Minute)
	w.far(t, clientKey(), "k1").failed(t, 503, "temporarily_unavailable")
}

func TestKeysRefused(t *testing.T) {
	t.Parallel()
	good := keySet(clientKey(), "k1")
	padded := func(n int) []byte { return append(bytes.Repeat([]byte(" "), n-len(good)), good...) }
	tests := []struct {
		name, uri string
		status    int
		body      []byte
		want      int // of the token endpoint
		asked     int
	}{
		{"good", keysURI, 200, good, 400, 1},
		{"as large as may be", keysURI, 200, padded(256 << 10), 400, 1},
		{"too large", keysURI, 200, padded(256<<10 + 1), 503, 1},
		{"a redirect", keysURI, 302, good, 503, 1},
		{"an error", keysURI, 500, good, 503, 1},
		{"no JSON", keysURI, 200, []byte("<html>"), 503, 1},
		{"no keys", keysURI, 200, []byte(`{}`), 401, 1},
		{"http", "http://rp.example.com/jwks", 200, good, 503, 0},
		{"http on loopback, where we are not", "http://127.0.0.1/jwks", 200, good, 503, 0},
		{"a file", "file:///etc/passwd", 200, good, 503, 0},
		{"credentials", "https://user:pass@rp.example.com/jwks", 200, good, 503, 0},
		{"no host", "https:///jwks", 200, good, 503, 0},
		{"no address", ":", 200, good, 503, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := &keyHost{status: test.status, body: test.body}
			w := fetching(t, test.uri, h)
			got := w.far(t, clientKey(), "k1")
			if got.status != test.want || h.count() != test.asked {
				t.Errorf("answered %d %v after %d fetches, want %d after %d", got.status, got.body, h.count(), test.want, test.asked)
			}
			if strings.Contains(got.text("error_description"), "example.com") {
				t.Errorf("the address is told: %v", got.body)
			}
		})
	}
}

// Many at once fetch once.
func TestKeysFetchedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &keyHost{status: 200, body: keySet(clientKey(), "k1"), wait: make(chan struct{})}
		w := fetching(t, keysURI, h)
		var accepted atomic.Int32
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if got := w.far(t, clientKey(), "k1"); got.text("error") == "invalid_grant" {
					accepted.Add(1)
				}
			})
		}
		synctest.Wait() // all of them wait for the host
		close(h.wait)
		all.Wait()
		if h.count() != 1 || accepted.Load() != 20 {
			t.Errorf("%d fetches and %d accepted, want 1 and 20", h.count(), accepted.Load())
		}
	})
}

// An address inside our own network is refused when it is dialled, whatever its name
// is; unless we are an evaluation on that same machine.
func TestKeysOfPrivateAddresses(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	host := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Write(keySet(clientKey(), "k1"))
	}))
	host.StartTLS()
	defer host.Close()
	plain := httptest.NewServer(host.Config.Handler)
	defer plain.Close()

	serve := func(t *testing.T, public, uri string) called {
		w := backWorld(t, func(o *oidc.Options) { o.PublicURL, o.HTTPClient = public, host.Client() })
		w.core.add(federation.Client{ID: "far", OIDC: &federation.OIDCClient{AuthMethod: "private_key_jwt", JWKSURI: uri}})
		return w.send(t, tokenPath, signing(signWith(t, jose.ES256, clientKey(), "k1", map[string]any{
			"iss": "far", "sub": "far", "aud": public + "/federation/t1", "exp": w.clock.Now().Add(time.Minute).Unix(), "jti": rand.Text(),
		})))
	}
	local := "https://localhost:" + host.URL[strings.LastIndex(host.URL, ":")+1:]
	for _, uri := range []string{host.URL, local, "https://10.0.0.1", "https://169.254.169.254", "https://[::1]", "https://[::ffff:127.0.0.1]", "https://0.0.0.0"} {
		serve(t, origin, uri).failed(t, 503, "temporarily_unavailable")
	}
	if n := asked.Load(); n != 0 {
		t.Fatalf("%d requests reached a private address", n)
	}
	serve(t, "http://127.0.0.1:8080", host.URL).failed(t, 400, "invalid_grant")
	serve(t, "http://localhost:8080", plain.URL).failed(t, 400, "invalid_grant")
	if n := asked.Load(); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}
