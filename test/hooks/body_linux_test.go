package hooks_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// resident is how much memory the bridge has and has had at most, in kB (proc(5), status).
func (b *bridge) resident() (now, most int) {
	b.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.pid()))
	if err != nil {
		b.t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		_, _ = fmt.Sscanf(line, "VmRSS: %d kB", &now)
		_, _ = fmt.Sscanf(line, "VmHWM: %d kB", &most)
	}
	if now == 0 || most == 0 {
		b.t.Fatalf("no figures in %s", status)
	}
	return now, most
}

// A body of 50 MB, from many at once, with its length told and without: each is refused
// with 413, and neither read to its end nor kept, whoever sends it. Others are heard.
func TestBodyIsTooLarge(t *testing.T) {
	const size, senders = 50 << 20, 16
	b := newBridge(t, t.TempDir(), "", map[string]string{tenant: ""})
	b.accepted(tenant, batch("UserRefresh", 0, 20))
	before, _ := b.resident()
	taken := make([]int64, 2*senders)
	errs := make([]error, 2*senders)
	var all sync.WaitGroup
	for i := range taken {
		head := fmt.Sprintf("Content-Length: %d", size)
		if i%2 == 1 {
			head = "Transfer-Encoding: chunked"
		}
		all.Go(func() { taken[i], errs[i] = flood(strings.TrimPrefix(b.origin, "http://"), head, size) })
	}
	b.accepted(tenant, batch("UserRefresh", 20, 20))
	all.Wait()
	most := int64(0)
	for i, err := range errs {
		if err != nil {
			t.Errorf("sender %d: %v", i, err)
		}
		// The bridge reads 1 MiB at most; a little is on the way.
		if most = max(most, taken[i]); taken[i] > 16<<20 {
			t.Errorf("sender %d could send %d bytes", i, taken[i])
		}
	}
	_, after := b.resident()
	t.Logf("%d senders; at most %d kB of one were sent; the bridge had %d MB, and %d MB at most", len(taken), most>>10, before>>10, after>>10)
	// All of it would be 1.6 GB. The race detector has the bridge take more.
	if grown := after - before; grown > 256<<10 {
		t.Errorf("the bridge grew by %d MB", grown>>10)
	}
	b.accepted(tenant, batch("UserRefresh", 40, 20))
	if n := b.number("SELECT COUNT(*) FROM hooks_events"); n != 60 {
		t.Errorf("%d events are stored, want 60", n)
	}
}

// flood sends a body that is too large until it is answered or cut off; how much of it.
// An error is an answer but 413, none, or a connection that stays open.
func flood(address, length string, size int64) (sent int64, err error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	if _, err := fmt.Fprintf(c, "POST /descope/v1/events HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n%s\r\n\r\n", address, length); err != nil {
		return 0, err
	}
	answered := make(chan error, 1)
	go func() {
		r := bufio.NewReader(c)
		res, err := http.ReadResponse(r, nil)
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			if res.StatusCode != http.StatusRequestEntityTooLarge {
				err = errors.Join(err, errors.New(res.Status))
			}
		}
		if err == nil {
			if _, more := r.ReadByte(); more == nil {
				err = errors.New("something comes after the answer")
			} else if timeout, ok := errors.AsType[net.Error](more); ok && timeout.Timeout() {
				err = errors.New("the connection stays open")
			}
		}
		answered <- err
	}()
	piece := []byte(strings.Repeat(" ", 64<<10))
	chunked := strings.HasSuffix(length, "chunked")
	for sent < size {
		if chunked {
			_, err = fmt.Fprintf(c, "%x\r\n%s\r\n", len(piece), piece)
		} else {
			_, err = c.Write(piece)
		}
		if err != nil {
			break // it does not listen any more
		}
		sent += int64(len(piece))
	}
	return sent, <-answered
}
