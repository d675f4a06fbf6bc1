//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	eventsEach = 20      // in one request
	people     = 100_000 // whom the events are about
)

// accept is how events were taken. Times are of requests: in the open loop from when one
// was due, in the closed one from when it was sent, until its whole answer was read.
type accept struct {
	Store     string  `json:"store"`
	Loop      string  `json:"loop"`
	Rate      int     `json:"rate,omitempty"` // events a second that were due
	PerSecond float64 `json:"accepted_per_s"`
	Requests  int64   `json:"requests"`
	Errors    int64   `json:"errors"`
	Late      times   `json:"sent_late"` // behind their time, which is in the latency; in the open loop
	times
	Cores   float64 `json:"cores"`           // of the bridge
	CPU     float64 `json:"cpu_us_an_event"` // of the bridge, with all that it does beside
	Waiting int64   `json:"waiting_at_end"`  // stored, and not evaluated yet when it was stopped
	Stored  int64   `json:"events_in_store"` // of both loops
	First   string  `json:"first_error,omitempty"`
}

func (o *options) accept(ctx context.Context, store string, m *measured) (err error) {
	b, err := o.newBridge(ctx, store, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := o.start(ctx, b); err != nil {
		return err
	}
	rate := o.rate
	if rate == 0 {
		rate = map[string]int{"sqlite": 10_000, "postgres": 4_000}[store]
	}
	warm, err := o.send(ctx, b, rate/2, 2*time.Second)
	if err != nil {
		return err
	}
	open, err := o.send(ctx, b, rate, o.duration)
	if err != nil {
		return err
	}
	closed, err := o.send(ctx, b, 0, o.duration)
	if err != nil {
		return err
	}
	if err := b.stop(); err != nil {
		return err
	}
	states, err := b.stored(ctx)
	if err != nil {
		return err
	}
	accepted := (warm.Requests + open.Requests + closed.Requests) * eventsEach
	all := int64(0)
	for _, n := range states {
		all += n
	}
	for _, f := range []*accept{&open, &closed} {
		f.Store, f.Stored, f.Waiting = store, all, states["waiting"]
	}
	m.Accept = append(m.Accept, open, closed)
	failed := warm.Errors + open.Errors + closed.Errors
	// What was accepted is there; of what failed, nobody knows.
	if all < accepted || failed == 0 && all != accepted {
		return fmt.Errorf("%d events were accepted, and %d are stored", accepted, all)
	}
	return nil
}

// send has all connections send events: rate a second, at constant intervals fixed
// beforehand, or, if it is zero, each the next as soon as it has an answer.
func (o *options) send(ctx context.Context, b *bridge, rate int, duration time.Duration) (f accept, err error) {
	f = accept{Loop: "closed", Rate: rate}
	if rate > 0 {
		f.Loop = "open"
	}
	cpu, err := b.cpu()
	if err != nil {
		return f, err
	}
	var (
		all        sync.WaitGroup
		mu         sync.Mutex
		next       atomic.Int64
		from       = time.Now()
		end        = from.Add(duration)
		took, late = newClock(), newClock()
		last       = from
	)
	for range o.connections {
		all.Go(func() {
			c := &connection{address: strings.TrimPrefix(b.origin, "http://")}
			defer c.close()
			for ctx.Err() == nil {
				c.fill()
				due := time.Now()
				if rate > 0 {
					due = from.Add(time.Duration(float64(next.Add(1)-1) * eventsEach / float64(rate) * float64(time.Second)))
				}
				if !due.Before(end) {
					return
				}
				time.Sleep(time.Until(due))
				sent := time.Now()
				err := c.post()
				done := time.Now()
				mu.Lock()
				if err != nil {
					f.Errors++
					if f.First == "" {
						f.First = err.Error()
					}
				} else {
					f.Requests++
					took.add(done.Sub(due))
					late.add(sent.Sub(due))
					if done.After(last) {
						last = done
					}
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if err := ctx.Err(); err != nil {
		return f, err
	}
	f.times, f.Late = took.times(), late.times()
	f.PerSecond = float64(f.Requests*eventsEach) / max(last.Sub(from), duration).Seconds()
	after, err := b.cpu()
	f.Cores = (after - cpu).Seconds() / time.Since(from).Seconds()
	f.CPU = float64((after - cpu).Microseconds()) / float64(max(f.Requests*eventsEach, 1))
	return f, err
}

// connection is one sender. It is lighter than net/http's client, as it shares
// the processor with what is measured.
type connection struct {
	address string
	conn    net.Conn
	reader  *bufio.Reader
	body    []byte
	head    []byte
}

var (
	serial atomic.Int64 // of events: no two are the same
	kinds  = []string{"LoginSucceed", "LoginSucceed", "LoginSucceed", "LoginSucceed", "OTPVerified", "UserRefresh", "LoginFailed", "UserModified", "UserCreated"}
)

// fill makes the next request.
func (c *connection) fill() {
	b := append(c.body[:0], '[')
	for i := range eventsEach {
		if i > 0 {
			b = append(b, ',')
		}
		n, who := serial.Add(1), rand.IntN(people)
		kind := kinds[rand.IntN(len(kinds))]
		if n%2000 == 0 {
			kind = "UserDeleted" // which the shipped rules do something about
		}
		b = event(b, kind, fmt.Sprintf("u%d@example.com", who), fmt.Sprintf("U2bench%08d", who), n)
	}
	c.body = append(b, ']')
	c.sign()
}

// sign makes the head of a request with the body.
func (c *connection) sign() {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(c.body)
	c.head = fmt.Appendf(c.head[:0], "POST /descope/v1/events HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nx-descope-webhook-s256: %s\r\n\r\n",
		c.address, len(c.body), base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// event is one as Descope's Audit Webhook tells it (reference/descope.md section 6.2).
func event(b []byte, action, login, user string, n int64) []byte {
	now := time.Now()
	b = append(b, `{"action":"`...)
	b = append(b, action...)
	b = append(b, `","actorId":"`...)
	b = append(b, user...)
	b = append(b, `","userId":"`...)
	b = append(b, user...)
	b = append(b, `","projectId":"P2bench","occurred":`...)
	b = strconv.AppendInt(b, now.UnixMilli(), 10)
	b = append(b, `,"occurred_formatted":"`...)
	b = now.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","device":"Desktop","method":"otp","geo":"US","remoteAddress":"203.0.113.7","loginIds":["`...)
	b = append(b, login...)
	b = append(b, `"],"tenants":null,"data":{"serial":`...)
	b = strconv.AppendInt(b, n, 10)
	return append(b, `}}`...)
}

// post sends what fill made. After an error the next one has a new connection.
func (c *connection) post() (err error) {
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if c.conn == nil {
		if c.conn, err = net.Dial("tcp", c.address); err != nil {
			return err
		}
		c.reader = bufio.NewReader(c.conn)
	}
	if err := c.conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	buffers := net.Buffers{c.head, c.body}
	if _, err := buffers.WriteTo(c.conn); err != nil {
		return err
	}
	res, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<16))
	if err != nil {
		return err
	}
	var said struct{ Accepted, New, Parked int }
	if err := json.Unmarshal(answer, &said); err != nil || res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %.200s", res.Status, answer)
	}
	if sent := bytes.Count(c.body, []byte(`"serial"`)); said.Accepted != sent || said.New != sent || said.Parked != 0 {
		return fmt.Errorf("%d events were sent, and the answer is %s", sent, answer)
	}
	return nil
}

func (c *connection) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}
