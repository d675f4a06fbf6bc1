package deliveries_test

import (
	"context"
	"errors"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/internal/deliveries"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// got is one request as a receiver had it.
type got struct {
	header http.Header
	body   []byte
	path   string
	at     time.Time
}

// world is a Service with receivers in a network of pipes, for synctest.
type world struct {
	t *testing.T
	m *memory
	s *deliveries.Service

	mu    sync.Mutex
	skew  time.Duration // of our clock
	names map[string][]netip.Addr
	hosts map[string]net.Listener // by address and port
	dials []string
	got   map[string][]got // by address
}

type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// newWorld must be called in a bubble.
func newWorld(t *testing.T, more ...func(*deliveries.Options)) *world {
	w := &world{t: t, m: newMemory(), names: map[string][]netip.Addr{}, hosts: map[string]net.Listener{}, got: map[string][]got{}}
	o := deliveries.Options{
		Store: w.m, Vault: plainVault{}, Tenants: []string{"acme"}, Now: w.now, Resolver: w,
		Connect: func(ctx context.Context, _, address string) (net.Conn, error) {
			w.mu.Lock()
			w.dials = append(w.dials, address)
			l, ok := w.hosts[address].(*pipes)
			w.mu.Unlock()
			if !ok {
				return nil, errors.New("nobody is there")
			}
			here, there := net.Pipe()
			select {
			case l.conns <- there:
				return here, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		},
	}
	for _, fn := range more {
		fn(&o)
	}
	var err error
	if w.s, err = deliveries.New(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.s.Close)
	return w
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.skew)
}

func (w *world) jump(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.skew += d
}

func (w *world) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if a, ok := w.names[host]; ok {
		return slices.Clone(a), nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// receiver listens at an address, "10.0.0.1:80".
func (w *world) receiver(address string, h http.HandlerFunc) {
	l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	w.mu.Lock()
	w.hosts[address] = l
	w.mu.Unlock()
	server := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.mu.Lock()
		w.got[address] = append(w.got[address], got{r.Header.Clone(), body, r.URL.Path, time.Now()})
		w.mu.Unlock()
		h(rw, r)
	})}
	go server.Serve(l)
	w.t.Cleanup(func() { server.Close() })
}

func (w *world) received(address string) []got {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.got[address])
}

func ok(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusNoContent) }

func answer(status int) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(status) }
}

// endpoint creates one at a private address over http.
func (w *world) endpoint(url string, more ...func(*deliveries.Input)) (deliveries.EndpointView, string) {
	w.t.Helper()
	in := deliveries.Input{Name: url, URL: url, Shape: deliveries.ShapeStandard, AllowPrivate: true}
	for _, fn := range more {
		fn(&in)
	}
	e, secret, problems, err := w.s.Create(w.t.Context(), "acme", "operator", in)
	if err != nil || len(problems) > 0 {
		w.t.Fatal(err, problems)
	}
	return e, secret
}

// tell stores a message as doors do.
func (w *world) tell(kind string, data map[string]any) *deliveries.Message {
	w.t.Helper()
	return w.tellOf("", kind, data)
}

func (w *world) tellOf(subject, kind string, data map[string]any) *deliveries.Message {
	w.t.Helper()
	m, j, err := w.s.Prepare(w.t.Context(), deliveries.Draft{Tenant: "acme", Type: kind, Subject: subject, Text: "It happened.", Data: data})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.m.UpdateDeliveries(w.t.Context(), func(tx deliveries.Tx) error {
		return errors.Join(tx.InsertMessage(m), tx.Enqueue(j))
	}); err != nil {
		w.t.Fatal(err)
	}
	return m
}

// work runs one job that is due.
func (w *world) work(j *queued) error {
	next, err := w.s.Handlers()[j.Kind](w.t.Context(), j.Job)
	if err != nil {
		next = w.now().Add(time.Second)
	}
	w.m.report(j, next)
	return err
}

// drain runs jobs, at their time, until none is left or d has passed.
func (w *world) drain(d time.Duration) {
	w.t.Helper()
	for end := time.Now().Add(d); ; {
		j, at := w.m.take(w.now())
		if j != nil {
			if err := w.work(j); err != nil {
				w.t.Fatal(err)
			}
			continue
		}
		if at.IsZero() {
			return
		}
		wait := at.Sub(w.now())
		if time.Now().Add(wait).After(end) {
			time.Sleep(time.Until(end))
			return
		}
		time.Sleep(wait) // of the bubble: no time passes
	}
}

// log is all deliveries, oldest first.
func (w *world) log() []deliveries.DeliveryView {
	w.t.Helper()
	all, err := w.s.Deliveries(w.t.Context(), deliveries.DeliveryQuery{Tenant: "acme", Limit: 200})
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Reverse(all)
	return all
}

func (w *world) attempts(id string) []deliveries.AttemptView {
	w.t.Helper()
	_, attempts, err := w.s.Delivery(w.t.Context(), "acme", id)
	if err != nil {
		w.t.Fatal(err)
	}
	return attempts
}

func (w *world) subject(key string) string {
	id := uuid.Must(uuid.NewV7()).String()
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	w.m.subjects["acme/"+id] = proof.Subject{ID: id, Tenant: "acme", WrappedKey: []byte(key)}
	return id
}

// erase does what store.EraseSubject does.
func (w *world) erase(subject string) {
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	s := w.m.subjects["acme/"+subject]
	s.WrappedKey = nil
	w.m.subjects["acme/"+subject] = s
	of := map[string]bool{}
	for k, m := range maps.Clone(w.m.messages) {
		if m.Subject == subject {
			m.Sealed, of[m.ID] = nil, true
			w.m.messages[k] = m
		}
	}
	for i, a := range w.m.state.attempts {
		if of[w.m.deliveries["acme/"+a.Delivery].Message] {
			w.m.state.attempts[i].Sealed = nil
		}
	}
}

func (w *world) audited() (out []string) {
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	for _, r := range w.m.audit {
		out = append(out, r.Actor+" "+r.Action)
	}
	return out
}

// plainWorld is one with real connections, for tests of TLS.
func plainWorld(t *testing.T, more ...func(*deliveries.Options)) *world {
	return newWorld(t, append([]func(*deliveries.Options){func(o *deliveries.Options) { o.Connect = nil }}, more...)...)
}

var discard = log.New(io.Discard, "", 0)

// fixedResolver has one address for every name but nobody's.
type fixedResolver struct{ addr netip.Addr }

func (f fixedResolver) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if host == "nobody.test" {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return []netip.Addr{f.addr}, nil
}
