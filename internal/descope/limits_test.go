package descope_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/descope"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// limited makes a client whose requests are all answered well, and notes when.
func limited(t *testing.T, l descope.Limits, answers func(n int) (*http.Response, error)) (*descope.Client, func() []time.Duration) {
	t.Helper()
	var mu sync.Mutex
	var at []time.Duration
	begun := time.Now()
	c, err := descope.New(descope.Options{BaseURL: "https://api.example", ProjectID: projectID, ManagementKey: key, Limits: l, HTTPClient: &http.Client{
		Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			mu.Lock()
			at = append(at, time.Since(begun))
			n := len(at)
			mu.Unlock()
			return answers(n)
		}),
	}})
	if err != nil {
		t.Fatal(err)
	}
	return c, func() []time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(at)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func fine(int) (*http.Response, error) { return answer(200, someone) }

// most is how many requests any minute had.
func most(at []time.Duration) (n int) {
	for i := range at {
		j := i
		for j < len(at) && at[j]-at[i] < time.Minute {
			j++
		}
		n = max(n, j-i)
	}
	return n
}

// However much there is to do, no minute has more requests than Limits, and nothing is
// lost of them either.
func TestLimits(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]int{"default": 0, "few": 16, "one": 1} {
		synctest.Test(t, func(t *testing.T) {
			c, at := limited(t, descope.Limits{Users: limit}, fine)
			ctx, stop := context.WithTimeout(t.Context(), 10*time.Minute)
			defer stop()
			var done atomic.Int64
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					for ctx.Err() == nil {
						_, err := c.User(ctx, login)
						if err == nil {
							done.Add(1)
							continue
						}
						e := is(t, err, proof.ReasonDescopeUnavailable)
						if !descope.NotDone(err) || e.RetryAfter <= 0 {
							t.Errorf("%v after %v", err, e.RetryAfter)
						}
						select {
						case <-time.After(e.RetryAfter):
						case <-ctx.Done():
						}
					}
				})
			}
			wg.Wait()
			if limit == 0 {
				limit = 480
			}
			if n := most(at()); n > limit || n < limit/2 {
				t.Errorf("%s: %d requests in a minute", name, n)
			}
			if n := len(at()); int64(n) != done.Load() || n < 10*limit/2 {
				t.Errorf("%s: %d requests, %d done", name, n, done.Load())
			}
		})
	}
}

// The two kinds of calls, and those that a person waits for, do not wait for each other.
func TestLimitsAreApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, at := limited(t, descope.Limits{Users: 1, Others: 1, Searches: 1}, func(int) (*http.Response, error) {
			return answer(200, `{"user":{"userId":"U1"},"redirectUrl":"https://app.example/","audits":[]}`)
		})
		_, err := c.User(t.Context(), login)
		if err == nil {
			_, err = c.SetStatus(t.Context(), login, "enabled")
		}
		if err == nil {
			_, _, err = c.SearchAudit(t.Context(), descope.AuditSearch{})
		}
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			if _, err := c.CompleteExternalAuth(t.Context(), ending); err != nil {
				t.Fatal(err)
			}
		}
		for what, run := range map[string]func() error{
			"user":   func() error { _, err := c.User(t.Context(), login); return err },
			"other":  func() error { _, err := c.SetStatus(t.Context(), login, "enabled"); return err },
			"search": func() error { _, _, err := c.SearchAudit(t.Context(), descope.AuditSearch{}); return err },
		} {
			if e := is(t, run(), proof.ReasonDescopeUnavailable); e.RetryAfter != time.Minute {
				t.Errorf("%s: after %v", what, e.RetryAfter)
			}
		}
		if n := len(at()); n != 103 {
			t.Errorf("%d requests", n)
		}
	})
}

// A short wait is waited for, unless the caller has no time for it.
func TestLimitsWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, at := limited(t, descope.Limits{Users: 16}, fine) // two at once, then one every 4.3 s
		for range 3 {
			if _, err := c.User(t.Context(), login); err != nil {
				t.Fatal(err)
			}
		}
		if a := at(); a[1] != 0 || a[2] < 4*time.Second || a[2] > 5*time.Second {
			t.Errorf("at %v", a)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		_, err := c.User(ctx, login)
		if is(t, err, proof.ReasonDescopeUnavailable); !descope.NotDone(err) || time.Since(begun) != 0 {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err = c.User(ctx, login)
		if is(t, err, proof.ReasonDescopeUnavailable); !descope.NotDone(err) || time.Since(begun) != time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		time.Sleep(4 * time.Second) // who gave up has used nothing
		if _, err := c.User(t.Context(), login); err != nil || len(at()) != 4 || time.Since(begun) > 6*time.Second {
			t.Errorf("%v at %v", err, at())
		}
	})
}

// Ten searches in any minute, counted from their answers.
func TestLimitsOfSearches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, at := limited(t, descope.Limits{}, func(int) (*http.Response, error) {
			time.Sleep(2 * time.Second)
			return answer(200, `{"audits":[]}`)
		})
		for range 10 {
			if _, _, err := c.SearchAudit(t.Context(), descope.AuditSearch{}); err != nil {
				t.Fatal(err)
			}
		}
		_, _, err := c.SearchAudit(t.Context(), descope.AuditSearch{})
		if e := is(t, err, proof.ReasonDescopeUnavailable); e.RetryAfter != 42*time.Second || len(at()) != 10 {
			t.Errorf("after %v, at %v", e.RetryAfter, at())
		}
		time.Sleep(40 * time.Second)
		if _, _, err := c.SearchAudit(t.Context(), descope.AuditSearch{}); err != nil || at()[10] != 62*time.Second {
			t.Errorf("%v at %v", err, at())
		}
	})
	synctest.Test(t, func(t *testing.T) { // all at once
		c, at := limited(t, descope.Limits{}, func(int) (*http.Response, error) {
			time.Sleep(2 * time.Second)
			return answer(200, `{"audits":[]}`)
		})
		var wg sync.WaitGroup
		var refused atomic.Int64
		for range 25 {
			wg.Go(func() {
				if _, _, err := c.SearchAudit(t.Context(), descope.AuditSearch{}); err != nil {
					refused.Add(1)
				}
			})
		}
		wg.Wait()
		if len(at()) != 10 || refused.Load() != 15 {
			t.Errorf("%d went out, %d were refused", len(at()), refused.Load())
		}
	})
}

// When Descope says that it is too much, all calls of that kind wait, and no others.
func TestTooMuchHoldsAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, at := limited(t, descope.Limits{}, func(n int) (*http.Response, error) {
			if n == 1 {
				return answer(429, `{"errorCode":"E130429"}`, "Retry-After", "30")
			}
			return fine(n)
		})
		_, err := c.User(t.Context(), login)
		is(t, err, proof.ReasonDescopeUnavailable)
		time.Sleep(10 * time.Second)
		_, err = c.User(t.Context(), login)
		if e := is(t, err, proof.ReasonDescopeUnavailable); e.RetryAfter != 20*time.Second || !descope.NotDone(err) || len(at()) != 1 {
			t.Errorf("after %v, at %v", e.RetryAfter, at())
		}
		if _, err := c.SetStatus(t.Context(), login, "enabled"); err != nil {
			t.Error(err)
		}
		time.Sleep(20 * time.Second)
		if _, err := c.User(t.Context(), login); err != nil {
			t.Error(err)
		}
	})
}

func TestLimitsBelowZero(t *testing.T) {
	t.Parallel()
	for _, l := range []descope.Limits{{Users: -1}, {Others: -1}, {Searches: -1}} {
		if _, err := descope.New(descope.Options{ProjectID: projectID, ManagementKey: key, Limits: l}); err == nil {
			t.Errorf("%+v: taken", l)
		}
	}
}
