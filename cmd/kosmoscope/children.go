package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// children are the processes that demo and prove start: this same program with
// other arguments. One that dies is started again, because nothing that it had
// acknowledged may be lost by that.
type children struct {
	program string
	logs    string // folder for what they print
	ctx     context.Context
	stop    context.CancelFunc
	wg      sync.WaitGroup
	mu      sync.Mutex
	stopped []chan struct{} // in the order of starting
	cancels []context.CancelFunc
}

func newChildren(ctx context.Context, logs string) (*children, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(logs, 0o700); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	return &children{program: program, logs: logs, ctx: ctx, stop: stop}, nil
}

// start runs the program with args and keeps it running until close.
func (c *children) start(name string, args ...string) error {
	log, err := os.OpenFile(c.log(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(c.ctx)
	done := make(chan struct{})
	c.mu.Lock()
	c.stopped, c.cancels = append(c.stopped, done), append(c.cancels, cancel)
	c.mu.Unlock()
	c.wg.Go(func() {
		defer close(done)
		defer log.Close()
		for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
			started := time.Now()
			cmd := exec.CommandContext(ctx, c.program, args...)
			cmd.Stdout, cmd.Stderr = log, log
			cmd.SysProcAttr = childAttributes()
			cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
			cmd.WaitDelay = 10 * time.Second // then it is killed
			err := cmd.Run()
			if ctx.Err() != nil {
				return
			}
			fmt.Fprintf(log, "%s ended (%v), starting it again\n", name, err)
			if time.Since(started) > 30*time.Second {
				wait = 100 * time.Millisecond
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
		}
	})
	return nil
}

func (c *children) log(name string) string { return filepath.Join(c.logs, name+".log") }

// tail is the end of what a child printed, for error messages.
func (c *children) tail(name string) string {
	b, err := os.ReadFile(c.log(name))
	if err != nil {
		return ""
	}
	if len(b) > 2000 {
		b = b[len(b)-2000:]
	}
	return string(bytes.TrimSpace(b))
}

// close ends them in reverse order, so that nobody calls one that is gone.
func (c *children) close() {
	c.mu.Lock()
	cancels, stopped := c.cancels, c.stopped
	c.mu.Unlock()
	for i := len(cancels) - 1; i >= 0; i-- {
		cancels[i]()
		<-stopped[i]
	}
	c.stop()
	c.wg.Wait()
}

// ready waits until url answers 200.
func (c *children) ready(ctx context.Context, client *http.Client, name, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		res, err := client.Do(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(res.Status)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not come up: %w\n%s", name, err, c.tail(name))
		case <-tick.C:
		}
	}
}
