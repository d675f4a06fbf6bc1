package upstream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/blockid"
	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/upstream"
)

const mailLink = "https://bridge.example.test/s/1?x=a&y=b#secret"

// TestSendLink: the real local 1Kosmos mails the link, once, in a mail that a person can
// follow.
func TestSendLink(t *testing.T) {
	t.Parallel()
	k := startKosmos(t, blockid.Secp256k1)
	m := upstream.NewMessages(k.link, upstream.MessagesConfig{Application: "Tallow & Wick"})
	if m.Effect() != hooks.Unknown {
		t.Errorf("effect %q", m.Effect())
	}
	if err := m.SendLink(t.Context(), "ann@example.com", mailLink, "work-1"); err != nil {
		t.Fatal(err)
	}
	all, err := k.server.Inbox(t.Context(), "ann@example.com")
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	got := all[0]
	if len(got.Links) != 1 || got.Links[0] != mailLink || got.Subject != "Please confirm who you are for Tallow & Wick" {
		t.Errorf("%q, %q", got.Links, got.Subject)
	}
	if !strings.Contains(got.Text, "Tallow & Wick asks you to confirm that it is you.") || strings.Contains(got.HTML, "{{") {
		t.Errorf("%s", got.Text)
	}
	client, err := blockid.NewClient(blockid.Config{DNS: k.dns, Community: "default", LicenseKey: kosmosLicense, HTTPClient: k.web, Now: k.now})
	if err != nil {
		t.Fatal(err)
	}
	code, err := client.AccessCode(t.Context(), got.Code)
	if err != nil || string(code.Extra["createdBy"]) != `"kosmoscope/work-1"` {
		t.Errorf("%+v, %v", code, err)
	}
	k.advance(11 * time.Minute)
	if _, err := client.AccessCode(t.Context(), got.Code); err == nil {
		t.Error("the code that nobody uses is still good")
	}
	// The effect is unknown for a reason.
	if err := m.SendLink(t.Context(), "ann@example.com", mailLink, "work-1"); err != nil {
		t.Fatal(err)
	}
	if all, err := k.server.Inbox(t.Context(), ""); err != nil || len(all) != 2 {
		t.Errorf("%d mails, %v", len(all), err)
	}
	for _, link := range []string{"", "/s/1", "javascript:alert(1)", "mailto:a@b"} {
		if err := m.SendLink(t.Context(), "ann@example.com", link, "k"); proof.ReasonOf(err) != proof.ReasonInvalidRequest {
			t.Errorf("%q: %v", link, err)
		}
	}
	if err := m.SendLink(t.Context(), "nobody", mailLink, "k"); proof.ReasonOf(err) != proof.ReasonUpstreamRejected {
		t.Error(err)
	}
}

// spoiled changes what 1Kosmos answers to the call that mails, or to all.
type spoiled struct {
	next http.RoundTripper

	mu     sync.Mutex
	all    bool
	answer func(*http.Response) (*http.Response, error)
}

func (s *spoiled) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	answer := s.answer
	all := s.all
	s.mu.Unlock()
	res, err := s.next.RoundTrip(r)
	if err != nil || !all && !strings.Contains(r.URL.Path, "/acr/") {
		return res, err
	}
	return answer(res)
}

// TestSendLinkErrors: what an error says of whether the mail went out. Temporary without
// RetryAfter is: nobody knows.
func TestSendLinkErrors(t *testing.T) {
	t.Parallel()
	k := startKosmos(t, blockid.P256)
	become := func(status int, body string) func(*http.Response) (*http.Response, error) {
		return func(res *http.Response) (*http.Response, error) {
			_ = res.Body.Close()
			res.StatusCode, res.ContentLength = status, int64(len(body))
			res.Header = http.Header{"Content-Type": {"application/json"}}
			res.Body = io.NopCloser(bytes.NewReader([]byte(body)))
			return res, nil
		}
	}
	lost := func(res *http.Response) (*http.Response, error) {
		_ = res.Body.Close()
		return nil, errors.New("connection reset")
	}
	mailed := func(result string) string { return fmt.Sprintf(`{"code":"c","link":"l","emailResult":%s}`, result) }
	const never, later, unknown = "never", "later", "unknown"
	for name, c := range map[string]struct {
		all    bool
		answer func(*http.Response) (*http.Response, error)
		want   string
	}{
		"refused":           {false, become(400, `{"message":"emailTo is required"}`), never},
		"no licence":        {false, become(401, `{"message":"Unauthorized"}`), never},
		"too many":          {false, become(429, `{"message":"later"}`), later},
		"broken":            {false, become(500, `{"message":"no"}`), unknown},
		"answer lost":       {false, lost, unknown},
		"yes, unreadable":   {false, become(200, `{"ok":true}`), unknown},
		"yes, no JSON":      {false, become(200, `<html>`), unknown},
		"yes, unopenable":   {false, become(200, `{"data":"AAAA"}`), unknown},
		"page of a gateway": {false, become(404, `<html>`), never},
		"mailbox full":      {false, become(200, mailed(`{"statusCode":550,"error":"mailbox"}`)), never},
		"gateway busy":      {false, become(200, mailed(`{"statusCode":503,"error":"busy"}`)), later},
		"tenant is down":    {true, become(503, `{"message":"no"}`), later},
		"tenant is lost":    {true, lost, later},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &spoiled{next: k.web.Transport, all: c.all, answer: c.answer}
			link := upstream.Connect(blockid.Config{
				DNS: k.dns, Community: "default", LicenseKey: kosmosLicense, HTTPClient: &http.Client{Transport: s}, Now: k.now, Curve: blockid.P256,
			}, func(_ context.Context, c blockid.Curve) (*blockid.PrivateKey, error) { return blockid.GenerateKey(c) })
			err := upstream.NewMessages(link, upstream.MessagesConfig{}).SendLink(t.Context(), "ann@example.com", mailLink, "k")
			e, ok := errors.AsType[*proof.Error](err)
			if !ok {
				t.Fatal(err)
			}
			got := never
			if e.Temporary {
				if got = unknown; e.RetryAfter > 0 {
					got = later
				}
			}
			if got != c.want {
				t.Errorf("%s, want %s: %v (retry after %v)", got, c.want, err, e.RetryAfter)
			}
			if s := err.Error(); strings.Contains(s, "ann@") || strings.Contains(s, "secret") {
				t.Errorf("personal: %s", s)
			}
		})
	}
}
