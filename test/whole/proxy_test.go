package whole_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// certificates for the proxies, made once.
type certificates struct {
	pem  []byte
	pair tls.Certificate
	err  error
}

var theAuthority = sync.OnceValue(func() (c certificates) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return certificates{err: err}
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "proxy of a test"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return certificates{err: err}
	}
	c.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	c.pair = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return c
})

func authority(t *testing.T) certificates {
	t.Helper()
	c := theAuthority()
	if c.err != nil {
		t.Fatal(c.err)
	}
	return c
}

// trusting makes a client that trusts the certificates in a file and no others.
func trusting(t *testing.T, file string) *http.Client {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		t.Fatalf("%s holds no certificate", file)
	}
	return &http.Client{Timeout: patience, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
	}}
}

// fault answers in place of 1Kosmos; forward asks it.
type fault func(w http.ResponseWriter, r *http.Request, forward http.Handler)

// proxy stands between the bridge and the local 1Kosmos under the name by which
// the bridge knows that.
type proxy struct {
	t       *testing.T
	address string // to listen on
	forward http.Handler

	mu     sync.Mutex
	server *http.Server
	faults map[string]fault // by path; one that ends in a slash is a prefix, one that begins with a star a suffix
	keys   map[string]bool  // public keys under which the bridge called
}

func newProxy(t *testing.T, dns string, port int, caFile string) *proxy {
	t.Helper()
	target := &url.URL{Scheme: "https", Host: "localhost:" + strconv.Itoa(port)}
	transport := trusting(t, caFile).Transport.(*http.Transport)
	p := &proxy{
		t: t, address: "127.0.0.1" + dns[strings.LastIndex(dns, ":"):],
		faults: map[string]fault{}, keys: map[string]bool{},
		forward: &httputil.ReverseProxy{
			Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host },
			Transport:    transport,
			ErrorLog:     log.New(io.Discard, "", 0),
			ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }, // what is broken behind is broken in front
		},
	}
	p.up()
	t.Cleanup(p.down)
	t.Cleanup(transport.CloseIdleConnections)
	return p
}

// up makes the proxy listen, down makes its port refuse connections.
func (p *proxy) up() {
	p.t.Helper()
	server := &http.Server{
		Handler: p, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{authority(p.t).pair}, MinVersion: tls.VersionTLS12},
	}
	l, err := net.Listen("tcp", p.address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	p.server = server
	p.mu.Unlock()
	go func() { _ = server.ServeTLS(l, "", "") }() // ends with Close
}

func (p *proxy) down() {
	p.mu.Lock()
	server := p.server
	p.mu.Unlock()
	_ = server.Close()
}

// set breaks a path; nil mends it.
func (p *proxy) set(path string, f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f == nil {
		delete(p.faults, path)
		return
	}
	p.faults[path] = f
}

// callers are the public keys that the bridge used so far.
func (p *proxy) callers() (all []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key := range p.keys {
		all = append(all, key)
	}
	return all
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	if key := r.Header.Get("publickey"); key != "" {
		p.keys[key] = true
	}
	f := p.faults[r.URL.Path]
	for path, part := range p.faults {
		if f != nil {
			break
		}
		tail, suffix := strings.CutPrefix(path, "*")
		if suffix && strings.HasSuffix(r.URL.Path, tail) || strings.HasSuffix(path, "/") && strings.HasPrefix(r.URL.Path, path) {
			f = part
		}
	}
	p.mu.Unlock()
	if f == nil {
		p.forward.ServeHTTP(w, r)
		return
	}
	f(w, r, p.forward)
}

// held is a call that somebody waits for in vain.
type held struct {
	arrived chan struct{} // one for each call
	free    chan struct{} // closed: they may go on
}

func newHeld() *held { return &held{make(chan struct{}, 100), make(chan struct{})} }

// before holds a call on its way to 1Kosmos.
func (h *held) before(w http.ResponseWriter, r *http.Request, forward http.Handler) {
	h.arrived <- struct{}{}
	select {
	case <-h.free:
	case <-r.Context().Done():
		panic(http.ErrAbortHandler)
	}
	forward.ServeHTTP(w, r)
}

// after holds the answer: 1Kosmos has done what it was asked.
func (h *held) after(w http.ResponseWriter, r *http.Request, forward http.Handler) {
	a := record(r, forward)
	h.arrived <- struct{}{}
	select {
	case <-h.free:
	case <-r.Context().Done():
		panic(http.ErrAbortHandler)
	}
	a.write(w)
}

// balancer shares calls between bridges by turns.
type balancer struct {
	url  string
	only atomic.Int64 // this bridge gets all; -1: none does
}

func newBalancer(t *testing.T, targets []string) *balancer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{url: "http://localhost:" + strconv.Itoa(l.Addr().(*net.TCPAddr).Port)}
	b.only.Store(-1)
	var n atomic.Int64
	server := &http.Server{ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute, Handler: &httputil.ReverseProxy{
		ErrorLog: log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) {
			i := b.only.Load()
			if i < 0 {
				i = n.Add(1) % int64(len(targets))
			}
			to, err := url.Parse(targets[i])
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			r.SetURL(to)
			r.Out.Host = r.In.Host
		},
	}}
	go func() { _ = server.Serve(l) }() // ends with Close
	t.Cleanup(func() { _ = server.Close() })
	return b
}
