package deliveries

import (
	"context"
	"net/http/httptrace"
	"sync"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// LaneOf is the endpoint that a job goes to, for jobs.Lane, which keeps those of one
// destination from taking all workers; "" for a job that goes nowhere.
func (s *Service) LaneOf(ctx context.Context, j proof.Job) string {
	if j.Kind != JobDeliver {
		return ""
	}
	if e, ok := s.lanes.get(j.Tenant, j.Key); ok {
		return e
	}
	var endpoint string
	err := s.Store.ViewDeliveries(ctx, func(tx Tx) error {
		d, err := tx.Delivery(j.Tenant, j.Key)
		if err == nil {
			endpoint = d.Endpoint
		}
		return err
	})
	if err == nil {
		s.lanes.put(j.Tenant, j.Key, endpoint)
	}
	return endpoint
}

// lanes remembers to which endpoint deliveries go, which never changes.
type lanes struct {
	mu   sync.Mutex
	seen map[[2]string]string
}

const lanesKept = 50_000

func newLanes() *lanes { return &lanes{seen: map[[2]string]string{}} }

func (l *lanes) get(tenant, delivery string) (string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.seen[[2]string{tenant, delivery}]
	return e, ok
}

func (l *lanes) put(tenant, delivery, endpoint string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.seen) >= lanesKept {
		clear(l.seen) // they can be looked up again
	}
	l.seen[[2]string{tenant, delivery}] = endpoint
}

// traced tells when a connection was there, if a new one was needed, and when the answer
// began.
func traced(ctx context.Context, connected, firstByte func()) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) {
			if !i.Reused {
				connected()
			}
		},
		GotFirstResponseByte: firstByte,
	})
}
